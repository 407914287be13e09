"""Parquet files: which columns hold numbers, and those numbers, decoded in batches of bounded size."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cmcore.targets.files.bad_table import BadTable
from cmcore.targets.files.table_file import Part, TableFile, distinct

__all__ = ["open_parquet"]

BATCH = 1 << 16
"""Rows that are decoded together."""
FIRST_ROWS, FIRST_COLUMNS = 5, 64


def open_parquet(content: bytes, *, most_columns: int, most_cells: int) -> TableFile:
    """What a Parquet file holds, by its schema; of its values only the first rows are decoded.

    Numbers are integers, floats, decimals and categories of them. Text is never decoded: a word repeated takes no room
    in the file and any amount of it in memory.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        schema = file.schema_arrow
    except Exception as error:
        raise BadTable(f"The file starts as Parquet and could not be read: {_first_line(error)}") from error
    rows = _rows(file.metadata, most_columns, most_cells)
    names = [field.name for field in schema]
    distinct(names)
    index, notes = _pandas_index(schema.metadata)
    numeric, left_out = [], {}
    for field in schema:
        if field.name.startswith("__index_level_") and field.name in index:
            left_out[field.name] = "it is an index of pandas without a name"
        elif _holds_numbers(field.type):
            numeric.append(field.name)
        else:
            left_out[field.name] = _why(field.type)
    return TableFile(
        layout="Parquet",
        columns=tuple(numeric),
        left_out=left_out,
        rows=rows,
        first_rows=_first_rows(file, names, numeric),
        notes=tuple(notes),
        load=partial(_parts, file, rows),
        place="row",
    )


def _rows(metadata: Any, most_columns: int, most_cells: int) -> int:
    """The number of rows, where the parts of the file agree with it and the table is not too large."""
    if metadata.num_columns > most_columns:
        raise BadTable(f"The table has more than {most_columns:,} columns; keep those you need.")
    rows = metadata.num_rows
    if rows * max(1, metadata.num_columns) > most_cells:
        raise BadTable(f"The table has more than {most_cells:,} cells; keep the rows and columns you need.")
    counted = sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    if counted != rows:
        raise BadTable(f"The file says that it has {rows:,} rows, and its parts have {counted:,}: save it anew.")
    return rows


# ---- values -----------------------------------------------------------------------------------------------------
def _parts(file: Any, rows: int, columns: Sequence[str]) -> Iterator[Part]:
    """The columns one after the other, so that no more than one page is unpacked at a time."""
    for j, column in enumerate(columns):
        start = 0
        for values in _batches(file, [column], BATCH):
            end = start + len(values)
            if end > rows:
                raise BadTable(f"The file holds more rows than the {rows:,} that it says it has: save it anew.")
            share = (j + end / rows) / len(columns)
            yield Part(share, start, (j,), values, range(start + 1, end + 1))
            start = end
        if start < rows:
            raise BadTable(f"The file holds {start:,} rows and says that it has {rows:,}: save it anew.")


def _first_rows(file: Any, names: Sequence[str], numeric: Sequence[str]) -> dict[str, list[str]]:
    """The first rows of the columns of numbers as text; of the others only that there is something."""
    shown = list(numeric[:FIRST_COLUMNS])
    values = next(_batches(file, shown, FIRST_ROWS), np.empty((0, len(shown)))) if shown else np.empty((0, 0))
    text = {
        name: ["" if math.isnan(value) else f"{value:.6g}" for value in values[:FIRST_ROWS, j]]
        for j, name in enumerate(shown)
    }
    return {name: text.get(name, ["…"] * min(FIRST_ROWS, len(values))) for name in names}


def _batches(file: Any, columns: Sequence[str], size: int) -> Iterator[np.ndarray]:
    try:
        for batch in file.iter_batches(batch_size=size, columns=list(columns), use_threads=False):
            yield np.column_stack([_floats(batch.column(name)) for name in columns])
    except BadTable:
        raise
    except Exception as error:  # of pyarrow: many kinds, for bytes that do not fit what the footer says
        raise BadTable(f"The Parquet file could not be read: {_first_line(error)}") from error


def _floats(array: Any) -> np.ndarray:
    """An Arrow array of numbers as float64, missing values as NaN."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


# ---- kinds of columns -------------------------------------------------------------------------------------------
def _holds_numbers(kind: Any) -> bool:
    """Whether a column of this type holds numbers of a few bytes each."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _holds_numbers(kind.value_type)
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _why(kind: Any) -> str:
    """Why a column of this type is left out."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _why(kind.value_type)
    name = str(kind)[:60]
    reasons = (
        (types.is_string(kind) or types.is_large_string(kind), "it holds text: where that is numbers, save numbers"),
        (types.is_boolean(kind), "it holds true and false: save 1 and 0"),
        (types.is_temporal(kind), f"it holds dates or times, {name}: save them as numbers"),
        (types.is_nested(kind), f"it is nested, {name}: save each part as a column"),
        (types.is_null(kind), "it is empty"),
    )
    return next((why for holds, why in reasons if holds), f"it holds {name}")


def _pandas_index(metadata: dict[bytes, bytes] | None) -> tuple[list[str], list[str]]:
    """The columns that pandas took for its index, and a note on an index that is named and only counts rows."""
    try:
        said = json.loads((metadata or {}).get(b"pandas", b"{}"))
        index = said.get("index_columns", [])
        columns = [name for name in index if isinstance(name, str)]
        counting = [str(i["name"])[:60] for i in index if isinstance(i, dict) and i.get("name") is not None]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return [], []
    return columns, [f"The index {name!r} counts the rows and was left out." for name in counting]


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith(".") else f"{line}."
