"""Records of a text file with separated values, read one after the other.

Nothing here builds a table: a file may be read as often as is needed, and no more than one record and one block of
bytes is held at a time.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cmcore.targets.files.bad_table import BadTable

__all__ = ["Layout", "Lines", "Record", "Rows", "records", "without_empty_ends"]

COMMENTS = ("#", "%", "//")
LONGEST_RECORD = 1 << 20
"""Characters; a quote that is never closed would otherwise take the whole file for one cell."""
COMMENTS_HELD = 200


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
    """The lines of a text with their ends, without comments between records; refuses a record that does not end.

    Attributes:
        start: the line in which the present record starts.
        length: characters of that record so far; the reader of records sets it to 0 for the next one.
        quoted: whether it starts with a quotation mark.
        comments: the first comment lines, as (line, text); `commented` counts all.
    """

    def __init__(self, content: bytes, layout: Layout) -> None:
        self._text = io.TextIOWrapper(io.BytesIO(content), encoding=layout.encoding, newline="")
        self._blanks = layout.separator == " "
        self._number = self.start = self.length = self.commented = 0
        self.quoted = False
        self.comments: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while line := self._text.readline(LONGEST_RECORD + 1):
            self._number += 1
            if self.length == 0:
                self.start, first = self._number, line.lstrip()
                if first.startswith(COMMENTS):
                    self._skip(line)
                    continue
                self.quoted = first.startswith('"')
            self.length += len(line)
            if self.length > LONGEST_RECORD:
                raise BadTable(f"Line {self.start} starts a record that does not end; look for an open quotation mark.")
            return " ".join(line.split()) if self._blanks else line
        raise StopIteration

    def _skip(self, line: str) -> None:
        self.commented += 1
        if len(self.comments) < COMMENTS_HELD:
            self.comments.append((self._number, line[:LONGEST_RECORD]))


def records(lines: Lines, layout: Layout) -> Iterator[Record]:
    """The records of a text, as they are written; empty lines, comments and the lines to skip are left out.

    Raises:
        BadTable: a quotation mark that is not closed, or a cell beyond the limit of the csv module.
    """
    reader = csv.reader(lines, delimiter=layout.separator or "\x1f", skipinitialspace=True, strict=True)
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
    """The rows of a file in a given layout, as (line, cells), read anew each time they are asked for.

    Attributes:
        short: how many rows had fewer cells than the layout, and the line of the first; they are not given.
        empty: how many lines hold separators alone, and the first of them; they are not given.
        commented: how many comment lines were left out, and the first of them.
    """

    def __init__(self, content: bytes, layout: Layout) -> None:
        self._content, self._layout = content, layout
        self.short = self.empty = self.commented = (0, 0)

    def peek(self) -> Iterator[tuple[int, list[str]]]:
        """Rows for a look at the first of them."""
        return iter(Rows(self._content, self._layout))

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        layout, width = self._layout, self._layout.width
        lines = Lines(self._content, layout)
        short, empty = [0, 0], [0, 0]
        for line, cells, quoted in records(lines, layout):
            row = cells if len(cells) == width else without_empty_ends(cells, width)
            if len(row) > width:
                raise BadTable(_too_long(line, row, layout))
            blank = not row[0].strip() and not any(map(str.strip, row))
            if blank and not (width == 1 and quoted):  # a single "" in its line is a missing value
                left_out = empty if len(cells) > 1 else [0, 0]  # a line of blanks is none
            elif len(row) < width:
                left_out = short
            else:
                yield line, row[1:] if layout.row_names else row
                continue
            left_out[:] = left_out[0] + 1, left_out[1] or line
        comments = [number for number, _ in lines.comments if number != layout.header]
        self.short, self.empty = (short[0], short[1]), (empty[0], empty[1])
        self.commented = (lines.commented - len(lines.comments) + len(comments), min(comments, default=0))


def _too_long(line: int, cells: list[str], layout: Layout) -> str:
    width = layout.width
    beside = f"line {layout.header} names {len(layout.names)}" if layout.header else f"most rows have {width}"
    if layout.separator == "," and len(cells) == 2 * width:
        return f"Line {line} has {len(cells)} cells and {beside}: decimal commas need semicolons between the numbers."
    extra = cells[width].strip()[:40]
    return f"Line {line} has {len(cells)} cells and {beside}: remove {extra!r}, or quote a cell that holds a separator."
