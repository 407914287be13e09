"""What a Parquet file says of its sizes, read byte by byte, before a library makes anything of it.

A footer names columns, groups of rows and their pages in a few bytes each, and whoever wrote it may have put any number
there. Here its lists are counted and its offsets, sizes and counts of values compared with each other and with the
headers of the pages, in Thrift's compact protocol (parquet.thrift of the format's specification has the numbers of the
fields). Nothing is allocated but the few numbers that are returned.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cmcore.targets.files.bad_table import BadTable

FEWEST_CHUNKS, BYTES_OF_CHUNK = 5_000, 250
"""How many parts of columns and groups of rows any file may have, and of how many bytes for each a larger one. Pyarrow
takes a kilobyte for each."""
MOST_PAGES = 20_000
MOST_VALUES = 2_000_000
"""Numbers in a footer; a part of a column has some forty."""
LARGEST_PAGE = 32 << 20
"""Bytes of a page when it is unpacked; writers make pages of one megabyte."""
DEEPEST = 16
DAMAGED = (
    "The Parquet file's footer or the header of a page is cut off or damaged, and could not be read: save it anew."
)

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
Read = Callable[["_Thrift", int], Any]


class Chunk(NamedTuple):
    """Where the values of one column in one group of rows lie, and how many there are."""

    start: int
    size: int
    values: int


class Group(NamedTuple):
    """The number of rows of a group of rows, and its columns."""

    rows: int
    chunks: list[Chunk]


class _Thrift:
    """A reader of the compact protocol that makes nothing of what it is not asked for."""

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self.content, self.at, self.end = content, at, end
        self.left = MOST_VALUES

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise BadTable(DAMAGED)

    def number(self, _kind: int = _I64) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def items(self) -> tuple[int, int]:
        """The kind and number of a list's items."""
        head = self._byte()
        count = head >> 4
        return head & 15, self.varint() if count == 15 else count

    def _byte(self) -> int:
        if self.at >= self.end:
            raise BadTable(DAMAGED)
        self.at += 1
        return self.content[self.at - 1]

    def struct(self, wanted: dict[int, Read], depth: int = 0) -> dict[int, Any]:
        """The wanted fields of a struct, each as its function reads it."""
        values, field = {}, 0
        while True:
            head = self._byte()
            if head == _STOP:
                return values
            field = field + (head >> 4) if head >> 4 else self.number()
            kind = head & 15
            self._count(1)
            if field in wanted and kind in (_I16, _I32, _I64, _LIST, _STRUCT):
                values[field] = wanted[field](self, kind)
            else:
                self.skip(kind, depth + 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        if depth > DEEPEST:
            raise BadTable(DAMAGED)
        if kind in (_I16, _I32, _I64):
            self.varint()
        elif kind in (_BYTE, _DOUBLE):
            self.at += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            size = self.varint()
            self.at += size
        elif kind in (_LIST, _SET):
            item, count = self.items()
            self._count(count)
            for _ in range(count):
                self.skip(item, depth + 1) if item > _FALSE else self._byte()
        elif kind == _STRUCT:
            self.struct({}, depth)
        elif kind not in (_TRUE, _FALSE):
            raise BadTable(DAMAGED)
        if self.at > self.end:
            raise BadTable(DAMAGED)

    def _count(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise BadTable(
                "The Parquet file's footer is too long: save the table with fewer columns and groups of rows."
            )


# ---- the footer -------------------------------------------------------------------------------------------------
def row_groups(content: bytes, *, most_columns: int) -> tuple[int, list[Group]]:
    """The number of rows that a file says it has, and its groups of rows.

    Refuses a footer that does not fit into the file, that makes too much of it, or whose parts do not agree. Nothing
    of this is asked of pyarrow: its objects for parts of a footer end the process where some fields contradict others.
    """
    size = int.from_bytes(content[-8:-4], "little")
    if content[-4:] != b"PAR1" or size > len(content) - 12:
        raise BadTable("The file starts as Parquet and could not be read: it is cut off or damaged.")
    reader = _Thrift(content, len(content) - 8 - size, len(content) - 8)
    most = left = max(FEWEST_CHUNKS, len(content) // BYTES_OF_CHUNK)

    def parts(reader: _Thrift, kind: int) -> int:
        nonlocal left
        count = _structs(reader, kind)
        left -= count
        if left < 0:
            raise BadTable(f"The file has more than {most:,} parts of columns: save it with fewer groups of rows.")
        return count

    def columns(reader: _Thrift, kind: int) -> list[Chunk]:
        count = parts(reader, kind)
        if count > most_columns:
            raise BadTable(f"The table has more than {most_columns:,} columns; keep those you need.")
        return [_chunk(reader.struct({3: _description}, 2)) for _ in range(count)]

    def groups(reader: _Thrift, kind: int) -> list[Group]:
        fields = [reader.struct({1: columns, 3: _Thrift.number}, 1) for _ in range(parts(reader, kind))]
        return [Group(each.get(3, 0), each.get(1, [])) for each in fields]

    def schema(reader: _Thrift, kind: int) -> None:
        count = _structs(reader, kind)
        if count > 4 * most_columns:
            raise BadTable(f"The table has more than {most_columns:,} columns; keep those you need.")
        for _ in range(count):
            reader.struct({}, 1)

    footer = reader.struct({2: schema, 3: _Thrift.number, 4: groups})
    rows, listed = footer.get(3, 0), footer.get(4, [])
    counted = sum(group.rows for group in listed)
    if counted != rows or rows < 0 or any(group.rows < 0 for group in listed):
        raise BadTable(f"The file says that it has {rows:,} rows, and its parts have {counted:,}: save it anew.")
    return rows, listed


def _structs(reader: _Thrift, kind: int) -> int:
    """The length of a list of structs."""
    item, count = reader.items() if kind == _LIST else (_STOP, 0)
    if item != _STRUCT and count:
        raise BadTable(DAMAGED)
    return count


def _description(reader: _Thrift, kind: int) -> dict[int, int]:
    """Of a part of a column: its number of values, its size, and where its pages of data and of a dictionary start."""
    if kind != _STRUCT:
        raise BadTable(DAMAGED)
    return reader.struct(dict.fromkeys((5, 7, 9, 11), _Thrift.number), 3)


def _chunk(fields: dict[int, Any]) -> Chunk:
    described = fields.get(3, {})
    start, dictionary = described.get(9, 0), described.get(11, 0)
    return Chunk(dictionary if 0 < dictionary < start else start, described.get(7, 0), described.get(5, 0))


# ---- pages ------------------------------------------------------------------------------------------------------
def check_pages(content: bytes, chunk: Chunk, name: str, *, budget: Iterator[int]) -> None:
    """Refuse a part of a column whose pages are too large, or do not hold the values that the footer says they do.

    Args:
        content: the file.
        chunk: where the part lies.
        name: the column.
        budget: an iterator that ends where no more pages may be looked at.
    """
    at, end, values = chunk.start, chunk.start + chunk.size, 0
    if not 4 <= at <= end <= len(content) - 8:
        raise BadTable(f"Column {name[:60]!r} is said to lie outside the file: save it anew.")
    while at < end:
        if next(budget, None) is None:
            raise BadTable(f"The file has more than {MOST_PAGES:,} pages: save it with larger ones.")
        reader = _Thrift(content, at, end)
        page = reader.struct({1: _Thrift.number, 2: _Thrift.number, 3: _Thrift.number, 5: _values, 8: _values})
        unpacked, packed = page.get(2, -1), page.get(3, -1)
        if unpacked < 0 or packed < 0 or reader.at + packed > end:
            raise BadTable(f"A page of column {name[:60]!r} is cut off or damaged: save it anew.")
        if unpacked > LARGEST_PAGE:
            raise BadTable(
                f"A page of column {name[:60]!r} is larger than {LARGEST_PAGE >> 20} MB when unpacked: save it with "
                "smaller pages."
            )
        values += page.get(5, 0) + page.get(8, 0)
        at = reader.at + packed
    if values != chunk.values:
        raise BadTable(
            f"The file says that a part of column {name[:60]!r} has {chunk.values:,} values, and its pages have "
            f"{values:,}: save it anew."
        )


def _values(reader: _Thrift, kind: int) -> int:
    """The number of values in a header of a page of data."""
    if kind != _STRUCT:
        raise BadTable(DAMAGED)
    return max(0, reader.struct({1: _Thrift.number}).get(1, 0))
