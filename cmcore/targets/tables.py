"""Real tables as targets: CSV and Parquet files, and a few of scikit-learn's.

A file becomes a target in three steps that limits can be put between: :func:`open_table` finds out how it is laid out
and what its columns hold, and builds nothing; :class:`~cmcore.targets.files.TableFile` checks what is asked for and
reads the chosen columns; :func:`~cmcore.targets.table_fit.fit_table` makes a law of them.
"""

import io
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from cmcore.registry import Registry
from cmcore.targets.files import BadTable, Decimal, TableFile, open_csv, open_parquet, result_of
from cmcore.targets.table_fit import FEWEST_ROWS, Density, fit_table
from cmcore.targets.table_target import TableTarget

Source = str | Path | bytes | io.BufferedIOBase

MOST_BYTES = 64 << 20
MOST_CELLS = 20_000_000
MOST_COLUMNS = 64
WIDEST = 4_096
"""Columns of a file; more are no table of measurements."""


# ---- where tables come from -------------------------------------------------------------------------------------
def read_table(
    path_or_buffer: Source,
    columns: Sequence[str] | None = None,
    *,
    density: Density | str = "kernel_density",
    bandwidth: float | None = None,
    dim: int | None = None,
    held_out: float = 0.2,
    max_rows: int = 20_000,
    max_kernels: int | None = None,
    max_components: int = 12,
    drop_missing: bool = False,
    seed: int = 0,
    name: str | None = None,
    separator: str | None = None,
    decimal: Decimal | None = None,
    header: bool | None = None,
) -> TableTarget:
    """A CSV or Parquet file with numeric columns as a target.

    Args:
        path_or_buffer: a file's path, its bytes, or an open binary file.
        columns: which columns; all numeric ones when not given.
        density: how rows become a law: "kernel_density" (bandwidth by leave-one-out likelihood) or "gaussian_mixture"
            (number of components by BIC).
        bandwidth: of the kernels, in standard deviations of the columns; None: the one of largest leave-one-out
            likelihood.
        dim: project the standardised columns to this many principal components.
        held_out: share of the rows kept out of the fit.
        max_rows: longer tables are sampled down to this many rows, with a note.
        max_kernels: the most kernels of a kernel density; None: as many as cost about what a small network does.
        max_components: cap for "gaussian_mixture".
        drop_missing: leave out rows with missing values, and rows too short, instead of refusing them.
        seed: fixes the sampling of rows, the split and the fit.
        name: what people call it; the file's name when not given.
        separator, decimal, header: of a CSV file, where they are not found out from its rows: the character between
            cells (" " for any run of blanks), "." or ",", and whether the first line holds names.

    Raises:
        ValueError: one sentence on what is wrong with the file or the request.
    """
    content, title = _content(path_or_buffer)
    table = open_table(content, separator=separator, decimal=decimal, header=header)
    values, chosen, notes = read_numbers(table, columns, drop_missing=drop_missing)
    return fit_table(
        values,
        name=name or title,
        columns=chosen,
        notes=notes,
        density=density,
        bandwidth=bandwidth,
        dim=dim,
        held_out=held_out,
        max_rows=max_rows,
        max_kernels=max_kernels,
        max_components=max_components,
        seed=seed,
    )


def numeric_columns(path_or_buffer: Source) -> tuple[str, ...]:
    """The columns of a CSV or Parquet file that :func:`read_table` can use. Raises ValueError as it does."""
    table = open_table(path_or_buffer)
    return tuple(table.check_columns(None, most=WIDEST))


REAL_TABLES: Registry[str] = Registry("table")
"""Tables that come with scikit-learn, by name: the loader's name there."""
for _name in ("iris", "wine", "digits"):
    REAL_TABLES.register(_name)(f"load_{_name}")


def real_table(
    name: str,
    *,
    dim: int | None = 2,
    density: Density | str = "kernel_density",
    bandwidth: float | None = None,
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
        bandwidth=bandwidth,
        dim=dim,
        held_out=held_out,
        max_rows=len(values),
        max_components=max_components,
        seed=seed,
        one_unit=name == "digits",
    )


# ---- from a file to numbers -------------------------------------------------------------------------------------
def open_table(
    source: Source,
    *,
    separator: str | None = None,
    decimal: Decimal | None = None,
    header: bool | None = None,
) -> TableFile:
    """What a CSV or Parquet file holds, before anything is built of it; arguments as of :func:`read_table`.

    Raises:
        BadTable: the file is no table, or is too large; one sentence says where and what to change.
    """
    return result_of(opening_table(source, separator=separator, decimal=decimal, header=header))


def opening_table(
    source: Source,
    *,
    separator: str | None = None,
    decimal: Decimal | None = None,
    header: bool | None = None,
) -> Generator[float, None, TableFile]:
    """:func:`open_table` in steps: yields the share of the file that has been read, and returns what it holds."""
    content, _ = _content(source)
    if content[:4] == b"PAR1":
        return open_parquet(content, most_columns=WIDEST, most_cells=MOST_CELLS)
    if separator is not None and not (isinstance(separator, str) and len(separator) == 1 and separator not in '"\r\n'):
        raise BadTable(f"A separator is one character such as ';' (a blank stands for any run); got {separator!r:.40}.")
    if decimal not in (None, ".", ","):
        raise BadTable(f'The decimal sign is "." or ","; got {decimal!r:.40}.')
    if header not in (None, True, False):
        raise BadTable(f"header says whether the first line holds names, True or False; got {header!r:.40}.")
    return (
        yield from open_csv(
            content,
            separator=separator,
            decimal=decimal,
            header=header,
            most_columns=WIDEST,
            most_cells=MOST_CELLS,
        )
    )


def read_numbers(
    table: TableFile, columns: Sequence[str] | None, *, drop_missing: bool
) -> tuple[np.ndarray, list[str], list[str]]:
    """The chosen columns of a file as float64 [n, c], their names, and notes on all that was left out."""
    return result_of(reading_numbers(table, columns, drop_missing=drop_missing))


def reading_numbers(
    table: TableFile, columns: Sequence[str] | None, *, drop_missing: bool, most_values: int = MOST_CELLS
) -> Generator[float, None, tuple[np.ndarray, list[str], list[str]]]:
    """:func:`read_numbers` in steps: yields how much is done. Of more than `most_values` values some rows are taken."""
    chosen = table.check_columns(columns, most=MOST_COLUMNS)
    if table.rows < FEWEST_ROWS:
        raise BadTable(f"A density needs at least {FEWEST_ROWS} complete rows; the table has {table.rows}.")
    values, notes = yield from table.numbers(chosen, drop_missing=drop_missing, most_values=most_values)
    if len(values) < FEWEST_ROWS:
        raise BadTable(f"A density needs at least {FEWEST_ROWS} complete rows; the table has {len(values)}.")
    left_out = [] if columns is not None or not table.left_out else [table.left_out_in_words()]
    return values, chosen, [*table.notes, *left_out, *notes]


def _content(source: Source) -> tuple[bytes, str]:
    """The bytes of a file, and its name without the ending."""
    title = "table"
    if isinstance(source, str | Path):
        path = Path(source)
        title = path.stem
        if not path.is_file():
            raise BadTable(f"There is no file {str(source)!r}.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    else:
        content = source if isinstance(source, bytes) else source.read(MOST_BYTES + 1)
    if not isinstance(content, bytes):
        raise BadTable("A table is read from bytes: open the file in binary mode.")
    if len(content) > MOST_BYTES:
        raise BadTable(f"The table is larger than {MOST_BYTES >> 20} MB; keep the rows and columns you need.")
    if not content.strip():
        raise BadTable("The table is empty.")
    return content, title
