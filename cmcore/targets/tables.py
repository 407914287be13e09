"""Real tables as targets: CSV and Parquet files, and a few of scikit-learn's."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmcore.registry import Registry
from cmcore.targets.table_target import FEWEST_ROWS, Density, Memorisation, TableTarget, fit_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REAL_TABLES", "BadTable", "Memorisation", "TableTarget", "numeric_columns", "read_table", "real_table"]


class BadTable(ValueError):
    """A file or a request that makes no target; one sentence says why."""


MOST_BYTES = 64 << 20
MOST_CELLS = 20_000_000
MOST_COLUMNS = 64
WIDEST = 4_096
"""Columns of a file; more are no table of measurements, and reading them takes minutes."""


# ---- where tables come from -------------------------------------------------------------------------------------
def read_table(
    path_or_buffer: str | Path | bytes | io.BufferedIOBase,
    columns: Sequence[str] | None = None,
    *,
    density: Density | str = "kernel_density",
    dim: int | None = None,
    held_out: float = 0.2,
    max_rows: int = 20_000,
    max_components: int = 12,
    drop_missing: bool = False,
    seed: int = 0,
    name: str | None = None,
) -> TableTarget:
    """A CSV or Parquet file with numeric columns as a target.

    Args:
        path_or_buffer: a file's path, its bytes, or an open binary file.
        columns: which columns; all numeric ones when not given.
        density: how rows become a law: "kernel_density" (bandwidth by leave-one-out likelihood) or "gaussian_mixture"
            (number of components by BIC).
        dim: project the standardised columns to this many principal components.
        held_out: share of the rows kept out of the fit.
        max_rows: longer tables are sampled down to this many rows, with a note.
        max_components: cap for "gaussian_mixture".
        drop_missing: leave out rows with missing values instead of refusing them.
        seed: fixes the sampling of rows, the split and the fit.
        name: what people call it; the file's name when not given.

    Raises:
        ValueError: one sentence on what is wrong with the file or the request.
    """
    frame, title = _read_frame(path_or_buffer)
    values, columns, notes = _numeric(frame, columns, drop_missing=drop_missing)
    return fit_table(
        values,
        name=name or title,
        columns=columns,
        notes=notes,
        density=density,
        dim=dim,
        held_out=held_out,
        max_rows=max_rows,
        max_components=max_components,
        seed=seed,
    )


def numeric_columns(path_or_buffer: str | Path | bytes | io.BufferedIOBase) -> tuple[str, ...]:
    """The columns of a CSV or Parquet file that :func:`read_table` can use. Raises ValueError as it does."""
    frame, _ = _read_frame(path_or_buffer)
    return tuple(_chosen(frame, None)[0])


REAL_TABLES: Registry[str] = Registry("table")
"""Tables that come with scikit-learn, by name: the loader's name there."""
for _name in ("iris", "wine", "digits"):
    REAL_TABLES.register(_name)(f"load_{_name}")


def real_table(
    name: str,
    *,
    dim: int | None = 2,
    density: Density | str = "kernel_density",
    held_out: float = 0.2,
    max_components: int = 12,
    seed: int = 0,
) -> TableTarget:
    """A table that comes with scikit-learn, projected to `dim` principal components (None: all columns)."""
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, REAL_TABLES[name])()
    values = np.asarray(bunch.data, dtype=np.float64)
    return fit_table(
        values,
        name=name,
        columns=[str(c) for c in bunch.feature_names],
        notes=[],
        density=density,
        dim=dim,
        held_out=held_out,
        max_rows=len(values),
        max_components=max_components,
        seed=seed,
        one_unit=name == "digits",
    )


# ---- from a file to numbers -------------------------------------------------------------------------------------
def _read_frame(source: str | Path | bytes | io.BufferedIOBase) -> tuple["pd.DataFrame", str]:
    """The table in a file, and the file's name."""
    import pandas as pd

    title = "table"
    if isinstance(source, str | Path):
        path = Path(source)
        title = path.stem
        if not path.is_file():
            raise BadTable(f"There is no file {str(source)!r}.")
        if path.stat().st_size > MOST_BYTES:
            raise BadTable(f"{path.name} is larger than {MOST_BYTES >> 20} MB; keep the rows and columns you need.")
        content = path.read_bytes()
    else:
        content = source if isinstance(source, bytes) else source.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise BadTable(f"The table is larger than {MOST_BYTES >> 20} MB; keep the rows and columns you need.")
    if not content.strip():
        raise BadTable("The table is empty.")
    try:
        frame = _parse_parquet(content) if content[:4] == b"PAR1" else _parse_csv(content)
    except BadTable:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BadTable(f"The file could not be read as CSV or Parquet: {reason}") from error
    frame.columns = pd.Index([str(c).strip() for c in frame.columns])
    return frame, title


def _parse_csv(content: bytes) -> "pd.DataFrame":
    import pandas as pd

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadTable("The file is neither Parquet nor UTF-8 text; save the table as CSV in UTF-8.") from None
    header = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    if header.count(separator) >= WIDEST:
        raise BadTable(f"The table has more than {WIDEST:,} columns; keep those you need.")
    return pd.read_csv(io.StringIO(text), sep=separator, skipinitialspace=True, index_col=False)


def _parse_parquet(content: bytes) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    if file.metadata.num_columns > WIDEST:
        raise BadTable(f"The table has more than {WIDEST:,} columns; keep those you need.")
    if file.metadata.num_rows * max(1, file.metadata.num_columns) > MOST_CELLS:
        raise BadTable(f"The table has more than {MOST_CELLS:,} cells; keep the rows and columns you need.")
    numbers = [field.name for field in file.schema_arrow if _is_small(field.type)]
    frame = file.read(columns=numbers).to_pandas()
    for field in file.schema_arrow:  # a word repeated takes no room in the file and any amount of it in memory
        if field.name not in numbers and field.name not in frame.columns:
            frame[field.name] = pd.Series(f"a column of {field.type}", index=frame.index[:1], dtype=object)
    return frame


def _is_small(kind: Any) -> bool:
    """Whether a value of this kind takes a few bytes, whatever it is."""
    from pyarrow import types

    return types.is_primitive(kind) or types.is_decimal(kind)


def _numeric(
    frame: "pd.DataFrame", columns: Sequence[str] | None, *, drop_missing: bool
) -> tuple[np.ndarray, list[str], list[str]]:
    """The chosen columns as float64 [n, c], their names, and notes; refuses what cannot be a continuous variable."""
    chosen, notes = _chosen(frame, columns)
    values = frame[chosen].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if bad.any() and not drop_missing:
        counts = [f"{column!r} ({count})" for column, count in zip(chosen, bad.sum(axis=0), strict=True) if count]
        raise BadTable(f"Missing or infinite values in {_listed(counts)}; fill or remove them, or drop those rows.")
    if bad.any():
        values = values[~bad.any(axis=1)]
        notes.append(f"{int(bad.any(axis=1).sum())} rows with missing values were left out.")
    if len(values) < FEWEST_ROWS:
        raise BadTable(f"A density needs at least {FEWEST_ROWS} complete rows; the table has {len(values)}.")
    return values, chosen, notes


def _chosen(frame: "pd.DataFrame", columns: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The columns asked for, or all that hold numbers, and notes."""
    if not frame.columns.is_unique:
        raise BadTable(f"Two columns are named {frame.columns[frame.columns.duplicated()][0]!r}; rename one.")
    if columns is None:
        chosen = [c for c in frame.columns if _holds_numbers(frame.dtypes[c])]
        left_out = len(frame.columns) - len(chosen)
        notes = [f"Columns without numbers were left out: {left_out}."] if left_out else []
    else:
        chosen, notes = [columns] if isinstance(columns, str) else [str(c) for c in columns], []
    if not chosen:
        raise BadTable("The table has no numeric column." if columns is None else "Choose at least one column.")
    if len(chosen) > MOST_COLUMNS or len(set(chosen)) < len(chosen):
        raise BadTable(f"Choose at most {MOST_COLUMNS} columns, each once.")
    for column in chosen:
        if column not in frame.columns:
            raise BadTable(f"There is no column {column!r}; the table has {_listed(list(frame.columns))}.")
        if not _holds_numbers(frame.dtypes[column]):
            example = next(iter(frame[column].dropna().astype(str)), "nothing")[:40]
            raise BadTable(f"Column {column!r} does not hold numbers (it has {example!r}); choose numeric columns.")
    return chosen, notes


def _holds_numbers(kind: Any) -> bool:
    """Whether this dtype of a column is one of real numbers."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    return is_numeric_dtype(kind) and not is_bool_dtype(kind) and not is_complex_dtype(kind)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(str(name) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
