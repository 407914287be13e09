"""CSV files and their like: layout and kinds of columns in one pass over the file, numbers in a second one."""

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice

import numpy as np

from cmcore.targets.files.bad_table import BadTable
from cmcore.targets.files.delimited import Layout, Rows
from cmcore.targets.files.layout import layout_of
from cmcore.targets.files.numerals import Decimal, Tally, clean_all, decimal_sign, oddity, to_floats
from cmcore.targets.files.table_file import TableFile, TablePart, distinct

FIRST_ROWS = 5
LONGEST_NUMERAL = 18
"""Digits of a whole number that int64 holds for sure."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}


def open_csv(
    content: bytes,
    *,
    separator: str | None,
    decimal: Decimal | None,
    header: bool | None,
    most_columns: int,
    most_cells: int,
) -> Generator[float, None, TableFile]:
    """The columns of a text file and how it is written, from one pass that keeps no cells but the first rows.

    Yields the share of the file that has been read.
    """
    layout = layout_of(content, separator=separator, header=header, most_columns=most_columns)
    distinct(layout.names)
    rows = Rows(content, layout)
    tallies, count = yield from _tallies(rows, layout, most_cells)
    numeric = [tally for tally in tallies if tally.numeric]
    left_out = {t.name: _why(t) for t in tallies if not t.numeric and not _nothing(t)}
    if numeric and _names_rows(rows, layout, tallies[0]):
        numeric = [tally for tally in numeric if tally is not tallies[0]]
        left_out[tallies[0].name] = "it has no name and numbers the rows"
    sign, problem = _sign(numeric, layout, decimal)
    return TableFile(
        layout=_layout_in_words(layout, None if problem else sign),
        columns=tuple(tally.name for tally in numeric),
        left_out=left_out,
        rows=count,
        first_rows=_first_rows(rows, layout),
        notes=(*layout.notes, *_notes(numeric, rows)),
        load=_loader(rows, layout, sign),
        short=rows.short,
        counters=tuple(tally.name for tally in numeric if tally.counts_rows),
        problem=problem,
    )


# ---- the first pass ---------------------------------------------------------------------------------------------
def _tallies(rows: Rows, layout: Layout, most_cells: int) -> Generator[float, None, tuple[list[Tally], int]]:
    """What each column holds, and the number of rows."""
    tallies = [Tally(name) for name in layout.names]
    count = 0
    for share, lines, columns in rows.chunks():
        yield share
        count += len(lines)
        if count * len(tallies) > most_cells:
            raise BadTable(f"The table has more than {most_cells:,} cells; keep the rows and columns you need.")
        for tally, cells in zip(tallies, columns, strict=True):
            tally.add(clean_all(cells), lines)
            if tally.open_quote is not None and tally.numbers > tally.others:
                line = tally.open_quote
                raise BadTable(
                    f"Line {line} opens a quotation mark in {tally.name!r} that closes lines later: remove it."
                )
    return tallies, count


def _names_rows(rows: Rows, layout: Layout, first: Tally) -> bool:
    """Whether the first column has no name and holds distinct whole numbers, as R and pandas write beside rows."""
    if not layout.header or layout.width < 2 or first.name not in ("column 1", "Unnamed: 0"):
        return False
    if not first.numeric or first.missing or set(first.first) != {"plain"}:
        return False
    if first.counts_rows:
        return True
    names: list[np.ndarray] = []
    for _, _, columns in rows.chunks():
        cells = clean_all(columns[0])
        if not all(cell.isdecimal() and len(cell) <= LONGEST_NUMERAL for cell in cells):
            return False
        names.append(np.fromiter(map(int, cells), dtype=np.int64, count=len(cells)))
    return len(np.unique(np.concatenate(names))) == first.numbers


def _nothing(tally: Tally) -> bool:
    """Whether a column has no name and nothing in it, as a separator at the end of each line makes one."""
    return not tally.numbers and not tally.others and tally.name.startswith("column ")


def _why(tally: Tally) -> str:
    """Why a column does not hold numbers, with the first line and value that is none."""
    if not tally.others:
        return "it is empty"
    line, cell = tally.first["other"]
    cells = "1 such cell" if tally.others == 1 else f"{tally.others:,} such cells"
    share = f" ({cells} beside {tally.numbers:,} numbers)" if tally.numbers else ""
    return f"line {line} has {cell[:40]!r}, which {oddity(cell)}{share}"


def _first_rows(rows: Rows, layout: Layout) -> dict[str, list[str]]:
    cells = [row for _, row in islice(rows, FIRST_ROWS)]
    return {name: [row[j].strip()[:40] for row in cells] for j, name in enumerate(layout.names)}


def _notes(numeric: Sequence[Tally], rows: Rows) -> list[str]:
    count, first = rows.commented
    comments = "1 comment line was" if count == 1 else f"{count:,} comment lines were"
    notes = [f"{comments} left out, the first in line {first}."] if count else []
    count, first = rows.empty
    empty = "1 line holds" if count == 1 else f"{count:,} lines hold"
    notes += [f"{empty} separators alone, the first is line {first}."] if count else []
    for tally in numeric:
        if tally.counts_rows:
            notes.append(f"{tally.name!r} counts the rows: leave it out if it measures nothing.")
        if tally.rounded:
            line, text = tally.rounded
            words = f"such as {text[:24]} in line {line}: they are rounded"
            notes.append(f"{tally.name!r} has whole numbers above 2^53, {words}.")
    return notes


# ---- the decimal sign -------------------------------------------------------------------------------------------
def _sign(numeric: Sequence[Tally], layout: Layout, asked: Decimal | None) -> tuple[Decimal, str]:
    """The decimal sign, and why the numbers cannot be read where that is so."""
    if asked is None:
        try:
            return decimal_sign(numeric, layout.separator), ""
        except BadTable as problem:
            return ".", str(problem)
    contrary, name = ("comma", "point") if asked == "." else ("point", "comma")
    for tally in numeric:
        if contrary in tally.first:
            line, text = tally.first[contrary]
            words = f"Line {line} has {text[:40]!r} in {tally.name!r}, which is no number with a decimal {name}."
            return asked, words
    return asked, ""


def _layout_in_words(layout: Layout, decimal: Decimal | None) -> str:
    between = SEPARATORS.get(layout.separator or "", f"{layout.separator!r}")
    parts = [f"CSV separated by {between}" if layout.separator else "CSV with one column"]
    parts += [{".": "decimal point", ",": "decimal comma"}[decimal]] if decimal else []
    parts.append(f"names in line {layout.header}" if layout.header else "no names")
    return ", ".join(parts)


# ---- the second pass --------------------------------------------------------------------------------------------
def _loader(rows: Rows, layout: Layout, sign: Decimal) -> Callable[[Sequence[str]], Iterator[TablePart]]:
    places = {name: j for j, name in enumerate(layout.names)}

    def load(columns: Sequence[str]) -> Iterator[TablePart]:
        start, every = 0, range(len(columns))
        for share, lines, cells in rows.chunks():
            values = np.column_stack([to_floats(clean_all(cells[places[column]]), sign) for column in columns])
            yield TablePart(share, start, every, values, lines)
            start += len(lines)

    return load
