"""Parquet files: which columns hold numbers, and those numbers, decoded in batches of bounded size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmcore.json_input import parse_json
from cmcore.targets.files.bad_table import BadTable
from cmcore.targets.files.parquet_footer import MOST_PAGES, Group, check_pages, row_groups
from cmcore.targets.files.table_file import TableFile, TablePart, distinct, printable

BATCH = 1 << 16
"""Rows that are decoded together."""
FIRST_ROWS, FIRST_COLUMNS = 5, 64
MOST_NOTES = 4
LONGEST_PATH = 1_000
"""Characters of a column's name, with the names of what it is part of."""


def open_parquet(content: bytes, *, most_columns: int, most_cells: int) -> TableFile:
    """What a Parquet file holds, by its schema; of its values only the first rows are decoded.

    Numbers are integers, floats, decimals and categories of them. Text is never decoded: a word repeated takes no room
    in the file and any amount of it in memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, groups = row_groups(content, most_columns=most_columns)
    try:
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        schema = file.schema_arrow
    except Exception as error:
        raise BadTable(f"The file starts as Parquet and could not be read: {_first_line(error)}") from error
    columns = file.metadata.num_columns
    if columns > most_columns:
        raise BadTable(f"The table has more than {most_columns:,} columns; keep those you need.")
    if rows * max(1, columns) > most_cells:
        raise BadTable(f"The table has more than {most_cells:,} cells; keep the rows and columns you need.")
    if any(len(group.chunks) != columns for group in groups):
        raise BadTable("The groups of rows of the Parquet file have other columns than the file: save it anew.")
    names = [field.name for field in schema]
    distinct(names)
    index, notes = _pandas_index(schema.metadata)
    numeric, left_out = [], {}
    leaves = _leaves(file.metadata)
    for field in schema:
        if _holds_numbers(field.type) and (len(leaves.get(field.name, ())) != 1 or field.name != printable(field.name)):
            left_out[field.name] = "its name is part of another's, or has characters that cannot be seen: rename it"
        elif field.name.startswith("__index_level_") and field.name in index:
            left_out[field.name] = "it is an index of pandas without a name"
        elif _holds_numbers(field.type):
            numeric.append(field.name)
        else:
            left_out[field.name] = _why(field.type)
    source = _NumberColumns(content, file, {name: leaves[name][0] for name in numeric}, rows, groups)
    return TableFile(
        layout="Parquet",
        columns=tuple(numeric),
        left_out=left_out,
        rows=rows,
        first_rows=_first_rows(source, names, numeric),
        notes=tuple(notes),
        load=source.parts,
        place="row",
    )


def _leaves(metadata: Any) -> dict[str, list[int]]:
    """Which parts of the schema are read where a column of that name is asked for."""
    leaves: dict[str, list[int]] = {}
    for i in range(metadata.num_columns):
        parts = metadata.schema.column(i).path[:LONGEST_PATH].split(".")
        for depth in range(1, len(parts) + 1):
            leaves.setdefault(".".join(parts[:depth]), []).append(i)
    return leaves


# ---- values -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _NumberColumns:
    """The columns of numbers of an open file; nothing of a column is decoded before its pages have been checked.

    Attributes:
        content: the file.
        file: the same, opened by pyarrow.
        leaves: name → the place of the column in the file's schema.
        rows: how many.
        groups: in which they lie.
    """

    content: bytes
    file: Any
    leaves: Mapping[str, int]
    rows: int
    groups: Sequence[Group]

    def parts(self, columns: Sequence[str]) -> Iterator[TablePart]:
        """The columns one after the other, so that no more than one page is unpacked at a time."""
        for j, column in enumerate(columns):
            start = 0
            for values in self.batches(column, BATCH):
                end = start + len(values)
                share = (j + end / max(1, self.rows)) / len(columns)
                yield TablePart(share, start, (j,), values[:, None], range(start + 1, end + 1))
                start = end
            if start != self.rows:
                raise BadTable(f"Column {column!r} has {start:,} rows, and the file {self.rows:,}: save it anew.")

    def batches(self, column: str, size: int, *, groups: int | None = None) -> Iterator[np.ndarray]:
        """The values of a column, some thousands at a time; of the first groups of rows alone where that is asked."""
        budget = iter(range(MOST_PAGES))
        chosen = list(range(len(self.groups)))[:groups]
        for i in chosen:
            group, chunk = self.groups[i], self.groups[i].chunks[self.leaves[column]]
            if chunk.values != group.rows:
                raise BadTable(
                    f"The file says that a group of its rows has {group.rows:,}, and {chunk.values:,} of column "
                    f"{column!r}: save it anew."
                )
            check_pages(self.content, chunk, column, budget=budget)
        try:
            read = self.file.iter_batches(batch_size=size, row_groups=chosen, columns=[column], use_threads=False)
            rows = 0
            for batch in read:
                rows += len(batch)
                if rows > self.rows:
                    raise BadTable(
                        f"The file holds more rows than the {self.rows:,} that it says it has: save it anew."
                    )
                yield _floats(batch.column(column))
        except BadTable:
            raise
        except Exception as error:  # of pyarrow: many kinds, for bytes that do not fit what the footer says
            raise BadTable(f"The Parquet file could not be read: {_first_line(error)}") from error


def _first_rows(source: _NumberColumns, names: Sequence[str], numeric: Sequence[str]) -> dict[str, list[str]]:
    """The first rows of the columns of numbers as text; of the others only that there is something."""
    count = min(FIRST_ROWS, source.rows)
    text = {}
    for name in numeric[:FIRST_COLUMNS] if count else ():
        values = next(source.batches(name, FIRST_ROWS, groups=1), np.empty(0))[:count]
        text[name] = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
    count = min(map(len, text.values()), default=count)
    return {name: text.get(name, ["…"] * count)[:count] for name in names}


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
        said = parse_json((metadata or {}).get(b"pandas", b"{}"), largest=4 << 20, most_values=100_000)
        index = said.get("index_columns", [])
        columns = [name for name in index if isinstance(name, str)]
        counting = [str(i["name"])[:60] for i in index if isinstance(i, dict) and i.get("name") is not None]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return [], []
    return columns, [f"The index {name!r} counts the rows and was left out." for name in counting[:MOST_NOTES]]


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith(".") else f"{line}."
