"""Records of a text file with separated values, read one after the other.

Nothing here builds a table: a file may be read as often as is needed, and no more than one record and one block of
lines is held at a time.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cmcore.targets.files.bad_table import BadTable

COMMENTS = ("#", "%", "//")
LONGEST_RECORD = 1 << 20
"""Characters; a quote that is never closed would otherwise take the whole file for one cell."""
FIRST_COMMENTS, LONGEST_COMMENT = 200, 1 << 16
"""Comments that may hold names, and how much of each is looked at."""
MOST_IDLE = 10_000
"""Lines that are no rows, beside four for each row: their cost stays within that of the rows."""
BLOCK = 1 << 18
"""Characters of lines that are looked at together."""
ENDS = ("\n", "\r\n", "\r")


class Record(NamedTuple):
    """The line in which a record starts, its cells, and whether it starts with a quotation mark."""

    line: int
    cells: list[str]
    quoted: bool


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out.

    Attributes:
        encoding: as Python names it.
        separator: a character, " " for any run of blanks, None for a single column.
        header: the line of the names; None when there is none.
        names: of the columns; "column 3" where the file has no name for one.
        row_names: whether the first cell of each row is its name and not a value.
        skip: lines that are no rows: the names, and units under them.
        notes: what was taken for what.
    """

    encoding: str
    separator: str | None
    header: int | None = None
    names: tuple[str, ...] = ()
    row_names: bool = False
    skip: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Cells of a row."""
        return len(self.names) + self.row_names


class Lines:
    """The lines of a text with their ends, without empty ones and comments between records.

    Refuses a record that does not end, and a text in which hardly a line is a row.

    Attributes:
        start: the line in which the present record starts.
        length: characters of that record so far; the reader of records sets it to 0 for the next one.
        quoted: whether it starts with a quotation mark.
        comments: the first comment lines, as (line, text); `commented` counts all.
    """

    def __init__(self, content: bytes, layout: Layout) -> None:
        self._bytes = io.BytesIO(content)
        self._text = io.TextIOWrapper(self._bytes, encoding=layout.encoding, newline="")
        self._blanks = layout.separator == " "
        self._block: list[str] = []
        self._at = self._number = self._rows = self._idle = self.start = self.length = self.commented = 0
        self._size = max(1, len(content))
        self.quoted = False
        self.comments: list[tuple[int, str]] = []

    @property
    def share(self) -> float:
        """How much of the text has been read."""
        return min(1.0, self._bytes.tell() / self._size)

    def block(self) -> list[str]:
        """The lines up to the end of the present block, or a new one; they stay to be read. None at the end."""
        if self._at == len(self._block):
            self._block, self._at = self._text.readlines(BLOCK), 0
        return self._block[self._at :] if self._at else self._block

    @property
    def in_block(self) -> bool:
        """Whether the present block has lines to be read."""
        return self._at < len(self._block)

    @property
    def number(self) -> int:
        """Of the line that was read last."""
        return self._number

    def pass_block(self, rows: int) -> None:
        """Take the present block as read, with so many rows and empty lines else."""
        lines = len(self._block) - self._at
        self._number += lines
        self._at = len(self._block)
        self._rows += rows
        self.count_idle(lines - rows)

    def count_idle(self, lines: int = 1) -> None:
        """Count lines that are no rows, and refuse a file that is made of them."""
        self._idle += lines
        if self._idle > MOST_IDLE + 4 * self._rows:
            raise BadTable(
                f"{self._idle:,} of the first {self._number:,} lines are empty, comments or separators: remove them."
            )

    def count_blank(self) -> None:
        """Count the present record as no row after all."""
        self._rows -= 1
        self.count_idle()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while self.in_block or self.block():
            line = self._block[self._at]
            self._at += 1
            self._number += 1
            if self.length == 0:
                if line in ENDS:
                    self.count_idle()
                    continue
                self.start, first = self._number, line.lstrip()
                if first.startswith(COMMENTS):
                    self._skip(line)
                    continue
                self._rows += 1
                self.quoted = first.startswith('"')
            self.length += len(line)
            if self.length > LONGEST_RECORD:
                raise BadTable(f"Line {self.start} starts a record that does not end; look for an open quotation mark.")
            return " ".join(line.split()) if self._blanks else line
        raise StopIteration

    def _skip(self, line: str) -> None:
        self.commented += 1
        if len(self.comments) < FIRST_COMMENTS:
            self.comments.append((self._number, line[:LONGEST_COMMENT]))
        self.count_idle()


def records(lines: Lines, layout: Layout) -> Iterator[Record]:
    """The records of a text, as they are written; empty lines, comments and the lines to skip are left out.

    Raises:
        BadTable: a quotation mark that is not closed, or a cell beyond the limit of the csv module.
    """
    reader = csv.reader(lines, **_dialect(layout))
    skip = layout.skip
    while True:
        lines.length = 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BadTable(_in_words(error, lines.start)) from None
        except UnicodeError:
            raise BadTable("The file is not text of one encoding; save the table as CSV in UTF-8.") from None
        if cells is None:
            return
        if cells and lines.start not in skip:
            yield Record(lines.start, cells, lines.quoted)


def _dialect(layout: Layout) -> dict[str, Any]:
    return {"delimiter": layout.separator or "\x1f", "skipinitialspace": True, "strict": True}


def _in_words(error: csv.Error, line: int) -> str:
    if "unexpected end" in str(error):
        return f"A quotation mark opens in line {line} and is never closed; close or remove it."
    if "limit" in str(error):
        return f"Line {line} holds a cell longer than {csv.field_size_limit():,} characters; look for an open quote."
    return f"Line {line} has text right after a closing quotation mark; double the marks inside a cell, or remove them."


def without_empty_ends(cells: list[str], width: int) -> list[str]:
    """The cells without empty ones beyond the width, which separators at the end of a line make."""
    end = len(cells)
    while end > width and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


class Rows:
    """The rows of a file in a given layout, as (line, cells) or by column, read anew each time they are asked for.

    Attributes:
        short: how many rows had fewer cells than the layout, and the line of the first; they are not given.
        empty: how many lines hold separators alone, and the first of them; they are not given.
        commented: how many comment lines were left out, and the first of them.
    """

    def __init__(self, content: bytes, layout: Layout) -> None:
        self._content, self._layout = content, layout
        self.short = self.empty = self.commented = (0, 0)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for line, row in self._each(Lines(self._content, self._layout)):
            yield line, row[1:] if self._layout.row_names else row

    def chunks(self) -> Iterator[tuple[float, Sequence[int], Sequence[Sequence[str]]]]:
        """The share of the file that has been read, the lines of some thousands of cells, and those cells by column."""
        lines = Lines(self._content, self._layout)
        each = self._each(lines)
        last = max(self._layout.skip, default=0)
        while lines.block():
            above = lines.number < last  # the names, and what stands above them
            even = None if above else _even(lines, self._layout)
            numbers, columns = even or _columns(each, lines, first=above)
            if numbers:
                yield lines.share, numbers, columns[1:] if self._layout.row_names else columns
        deque(each, 0)  # its counts are final only now

    def _each(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        layout, width = self._layout, self._layout.width
        short, empty = [0, 0], [0, 0]
        for line, cells, quoted in records(lines, layout):
            row = cells if len(cells) == width else without_empty_ends(cells, width)
            if len(row) > width:
                raise BadTable(_too_long(line, row, layout))
            if (
                not row[0].strip() and not any(map(str.strip, row)) and not (width == 1 and quoted)
            ):  # a single "" in its line is a missing value
                left_out = empty if len(cells) > 1 else [0, 0]  # a line of blanks is none
                lines.count_blank()
            elif len(row) < width:
                left_out = short
            else:
                yield line, row
                continue
            left_out[:] = left_out[0] + 1, left_out[1] or line
        comments = [number for number, _ in lines.comments if number != layout.header]
        self.short, self.empty = (short[0], short[1]), (empty[0], empty[1])
        self.commented = (lines.commented - len(lines.comments) + len(comments), min(comments, default=0))


def _even(lines: Lines, layout: Layout) -> tuple[Sequence[int], Sequence[Sequence[str]]] | None:
    """The present block by column, where each of its lines is a row or empty; None, and nothing read, otherwise.

    This is what nearly all of a long file is made of, and the way that is as fast as the csv module.
    """
    block, first = lines.block(), lines.number + 1
    if max(map(len, block)) > LONGEST_RECORD or _comments_in(block):
        return None
    cells: list[str] = []
    widths: list[int] = []
    try:
        texts = (" ".join(line.split()) for line in block) if layout.separator == " " else block
        for row in csv.reader(texts, **_dialect(layout)):  # a list of all rows would keep the collector busy
            cells += row
            widths.append(len(row))
    except csv.Error:
        return None
    if len(widths) < len(block) or set(widths) - {0, layout.width}:  # a record of several lines, or an uneven one
        return None
    columns = [cells[j :: layout.width] for j in range(layout.width)]
    starts = [] if all(map(str.strip, columns[0])) else columns[0]
    if any(not any(column[i].strip() for column in columns) for i, cell in enumerate(starts) if not cell.strip()):
        return None
    numbers: Sequence[int] = range(first, first + len(block))
    if 0 in widths:
        numbers = [number for number, width in zip(numbers, widths, strict=True) if width]
    lines.pass_block(len(numbers))
    return numbers, columns


def _comments_in(block: Sequence[str]) -> bool:
    text = "".join(block)
    return any(sign in text for sign in COMMENTS) and any(line.lstrip().startswith(COMMENTS) for line in block)


def _columns(
    each: Iterator[tuple[int, list[str]]], lines: Lines, *, first: bool
) -> tuple[Sequence[int], Sequence[Sequence[str]]]:
    """Rows to the end of the present block by column, the general way; the first row alone where that is asked for."""
    numbers, rows = [], []
    for number, row in each:
        numbers.append(number)
        rows.append(row)
        if first or not lines.in_block:
            break
    return numbers, list(zip(*rows, strict=True))


def _too_long(line: int, cells: list[str], layout: Layout) -> str:
    width = layout.width
    beside = f"line {layout.header} names {len(layout.names)}" if layout.header else f"most rows have {width}"
    if layout.separator == "," and len(cells) == 2 * width:
        return f"Line {line} has {len(cells)} cells and {beside}: decimal commas need semicolons between the numbers."
    extra = cells[width].strip()[:40]
    return f"Line {line} has {len(cells)} cells and {beside}: remove {extra!r}, or quote a cell that holds a separator."
