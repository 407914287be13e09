"""How a text file is laid out: its separator, its names, and what stands around its rows, by the first rows.

Each separator is tried on the first rows. The best one leaves rows of one width that fits the names, and cells that
are values rather than pieces of values: under a comma, "3,02;4,11" falls into "3", "02;4" and "11". csv.Sniffer and its
like look at the separator alone; in a file of numbers it is settled together with the decimal sign.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cmcore.targets.files.bad_table import BadTable
from cmcore.targets.files.delimited import MOST_IDLE, Layout, Lines, Record, records, without_empty_ends
from cmcore.targets.files.encoding import encoding_of
from cmcore.targets.files.numerals import clean, clean_all, is_number, kind_of
from cmcore.targets.files.table_file import printable

SEPARATORS = (",", ";", "\t", "|", " ", None)
SAMPLE_ROWS, SAMPLE_CHARACTERS, MOST_LOOKED = 200, 1 << 18, 1_000
ENOUGH = 200
"""Characters of a cell that say whether it falls into numbers."""
UNNAMED = "column {}"
LONGEST_NAME = 200
MOST_LINES_ABOVE = 20


def layout_of(content: bytes, *, separator: str | None, header: bool | None, most_columns: int) -> Layout:
    """The layout that fits the first rows best; `separator` and `header` are taken as given where they are.

    Raises:
        BadTable: the text is empty, its rows are laid out in two ways, or it has more columns than allowed.
    """
    encoding = encoding_of(content)
    asked, skip = _asked_for(content, encoding)
    wanted = (separator,) if separator is not None else (asked,) if asked else SEPARATORS
    samples, problem = [], None
    for each in wanted:
        try:
            samples.append(_sample(content, Layout(encoding, each, skip=skip), most_columns))
        except BadTable as error:
            problem = problem or error
    best = max(samples, key=_score, default=None)
    if best is None or (problem and best.layout.separator is None):
        raise problem or BadTable("The table is empty.")
    layout = _laid_out(best, header, asked=separator is not None)
    if encoding in ("cp1252", "latin-1"):
        return replace(layout, notes=(*layout.notes, "The file is not UTF-8; its text was read as Windows-1252."))
    return layout


def _asked_for(content: bytes, encoding: str) -> tuple[str | None, frozenset[int]]:
    """The separator that a first line such as "sep=;" names, which Excel writes and reads, and that line."""
    first = content[:64].decode(encoding, errors="ignore").splitlines()[:1]
    line = first[0].strip().strip('"') if first else ""
    if len(line) == 5 and line.lower().startswith("sep="):
        return line[4], frozenset((1,))
    return None, frozenset()


# ---- the separator ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Sample:
    """The first records of a file under one separator, their cells clean, and the comments between them."""

    layout: Layout
    records: list[Record]
    comments: list[tuple[int, str]]


def _sample(content: bytes, layout: Layout, most_columns: int) -> _Sample:
    lines = Lines(content, layout)
    sample, size = [], 0
    for looked, record in enumerate(records(lines, layout)):
        if len(record.cells) > most_columns:
            raise BadTable(f"The table has more than {most_columns:,} columns; keep those you need.")
        cells = clean_all(record.cells)
        if any(cells):
            sample.append(record._replace(cells=cells))
        size += sum(map(len, cells)) + len(cells)
        if len(sample) >= SAMPLE_ROWS or size > SAMPLE_CHARACTERS or looked > (MOST_LOOKED if sample else MOST_IDLE):
            break
    if not sample:
        raise BadTable("The table is empty." if not lines.commented else "The file holds comment lines alone.")
    return _Sample(layout, sample, lines.comments)


def _score(sample: _Sample) -> float:
    """How well rows agree in width, hold values rather than pieces of them, and fit their names: 0 to 1."""
    rows = [record.cells for record in sample.records]
    body = rows[1:] or rows
    width, agreeing = Counter(map(len, body)).most_common(1)[0]
    fits = {0: 1.0, 1: 0.9}.get(width - len(without_empty_ends(rows[0], width)), 0.3)
    others = {",", ";", "\t", "|"} - {sample.layout.separator}
    fits *= 0.5 if any(sign in name for name in rows[0] for sign in others if not is_number(name)) else 1.0
    values = [cell for row in body if len(row) == width for cell in row]
    worth = sum(map(_worth, values)) / len(values)
    more = min(width, 10) - (width == 1 and sample.layout.separator is not None)
    return (agreeing / len(body)) ** 2 * worth * fits + 0.001 * more


def _worth(cell: str) -> float:
    """1 for a number, less for words, 0 for what falls into numbers under another separator."""
    if kind_of(cell) != "other":
        return 1.0 if cell else 0.8
    parts = cell[:ENOUGH].translate(_TO_BLANKS).split()
    return 0.0 if len(parts) > 1 and 2 * sum(map(is_number, parts)) >= len(parts) else 0.6


_TO_BLANKS = str.maketrans(dict.fromkeys(",;\t|", " "))


# ---- the names --------------------------------------------------------------------------------------------------
def _laid_out(sample: _Sample, header: bool | None, *, asked: bool) -> Layout:
    """The layout with its names, row names and lines that are no rows."""
    layout, notes = sample.layout, []
    width = _width([record.cells for record in sample.records])
    table, above = _without_title(sample.records, width)
    if above:
        notes.append(f"What stands above the names was left out (line {above[0].line}: {above[0].cells[0][:40]!r}).")
    layout = replace(layout, skip=layout.skip | {record.line for record in above})
    first, rows = table[0], [record.cells for record in table]
    body = rows[1:] or rows
    numeric = _numeric(body, width)
    names = without_empty_ends(first.cells, width)
    row_names = width - len(names) == 1
    if header is None:
        header, note = _is_header([""] * row_names + names, rows[1:], numeric)
        notes += [note.format(first.line)] if note else []
    if not header:
        return _without_header(replace(layout, notes=tuple(notes)), sample.comments, table, width, asked=asked)
    skip = {first.line}
    if row_names:
        _check_row_names(table, width, layout.separator)
        notes.append("The rows have one cell more than there are names: the first was taken for the name of the row.")
    if len(rows) > 2 and _are_units(rows[1], numeric):
        skip.add(table[1].line)
        notes.append(
            f"Line {table[1].line} ({', '.join(filter(None, rows[1]))[:60]}) was taken for units and left out."
        )
    if layout.separator is None:
        _check_single_column(table[1:])
    return replace(
        layout,
        header=first.line,
        names=_named(names),
        row_names=row_names,
        skip=layout.skip | skip,
        notes=tuple(notes),
    )


def _without_header(
    layout: Layout, comments: list[tuple[int, str]], table: list[Record], width: int, *, asked: bool
) -> Layout:
    """The layout of a file whose first row holds values: names from a comment above it, or numbers."""
    line, first = table[0].line, table[0].cells
    width = max(width, len(without_empty_ends(first, width)))
    if layout.separator == "," and not asked and _may_be_decimals([record.cells for record in table], width):
        raise BadTable(
            f"Line {line}, {','.join(first)[:40]!r}, may hold decimal commas: use decimal points, separate columns by "
            "semicolons, or name them in a first line."
        )
    for place, text in reversed(comments):
        names = _cells_of(text.strip().lstrip("#%/ "), layout.separator)
        if place < line and len(names) == width and not any(map(is_number, names)):
            notes = (*layout.notes, f"The names were taken from the comment in line {place}.")
            return replace(layout, header=place, names=_named(names), notes=notes)
    note = f"There are no names: line {line} holds values. Columns are named by their number."
    return replace(layout, names=_named([""] * width), notes=(*layout.notes, note))


def _may_be_decimals(rows: list[list[str]], width: int) -> bool:
    """Whether rows of two whole numbers may be one number each; or of more, with decimals that start with 0."""
    if width == 2 and all(kind_of(",".join(row)) in ("comma", "either_comma") for row in rows):
        return True
    whole = all(kind_of(cell) in ("plain", "missing") for row in rows for cell in row)
    return whole and any(_is_padded(cell) for row in rows for cell in row[1:])


def _cells_of(text: str, separator: str | None) -> list[str]:
    line = " ".join(text.split()) if separator == " " else text
    return [clean(cell) for cell in next(csv.reader([line], delimiter=separator or "\x1f", skipinitialspace=True), [])]


def _named(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(printable(name)[:LONGEST_NAME].rstrip() or UNNAMED.format(j + 1) for j, name in enumerate(names))


def _width(rows: list[list[str]]) -> int:
    """Cells of most rows, less columns beyond the names in which nothing stands."""
    body = rows[1:] or rows
    width = Counter(map(len, body)).most_common(1)[0][0]
    while width > len(rows[0]) and not any(row[width - 1] for row in body if len(row) >= width):
        width -= 1
    return width


def _without_title(table: list[Record], width: int) -> tuple[list[Record], list[Record]]:
    """The records from the names on, and those above them: fewer cells, and names with numbers below follow."""
    sizes = [sum(map(bool, record.cells)) for record in table[: MOST_LINES_ABOVE + 1]]
    for above in range(1, min(len(sizes), len(table) - 2)):
        if max(sizes[:above]) >= sizes[above]:
            continue
        names, below = table[above].cells, [record.cells for record in table[above + 1 : above + 1 + MOST_LINES_ABOVE]]
        numeric = _numeric(below, width)
        if numeric and len(names) == width and all(kind_of(names[j]) == "other" for j in numeric):
            return table[above:], table[:above]
    return table, []


def _numeric(body: list[list[str]], width: int) -> list[int]:
    """Columns in which most of what stands there is a number."""
    rows = [row for row in body if len(row) >= width]
    kinds = [Counter(kind_of(row[j]) for row in rows) for j in range(width)]
    return [j for j, k in enumerate(kinds) if k.total() - k["missing"] > k["other"] and k.total() >= 2 * k["other"]]


def _is_header(names: list[str], body: list[list[str]], numeric: list[int]) -> tuple[bool, str]:
    """Whether a first row holds names, and a note where numbers were taken for names."""
    above = [names[j] for j in numeric if j < len(names) and kind_of(names[j]) != "missing"]
    numbers = [name for name in above if is_number(name)]
    if not above:
        missing = any(kind_of(name) == "missing" for name in names if name)
        return not missing and not any(name in _column(body, j) for j, name in enumerate(names) if name), ""
    if not numbers:
        return True, ""
    if len(numbers) < len(above):
        return all(kind_of(name) == "plain" for name in numbers), ""
    unlike = not any(_is_whole(row[j]) for row in body for j in numeric if j < len(row) and j < len(names) and names[j])
    beside_index = not names[0] and 0 in numeric and _count([row[0] for row in body])
    if _run(numbers) and (unlike or beside_index):
        return True, "The numbers in line {} were taken for names."
    return False, ""


def _column(rows: list[list[str]], j: int) -> set[str]:
    return {row[j] for row in rows if j < len(row)}


def _run(names: list[str]) -> bool:
    """Whether these are 0, 1, 2 … or consecutive years, as they stand above columns."""
    if not all(name.isdecimal() and len(name) < 5 for name in names):
        return False
    whole = [int(name) for name in names]
    years = len(whole) > 1 and 1800 <= whole[0] <= 2100
    return (whole[0] == 0 or years) and all(b - a == 1 for a, b in pairwise(whole))


# ---- what is no row ---------------------------------------------------------------------------------------------
def _are_units(row: list[str], numeric: list[int]) -> bool:
    """Whether a row under the names holds words, or the unit 1, where numbers follow."""
    cells = [row[j] for j in numeric if j < len(row)]
    words = [cell for cell in cells if kind_of(cell) == "other"]
    return bool(words) and all(cell in words or cell == "1" or kind_of(cell) == "missing" for cell in cells)


def _check_row_names(table: list[Record], width: int, separator: str | None) -> None:
    """Refuse rows with one cell more than there are names, where the first cell may be a value.

    R writes names of rows that are distinct, in quotation marks by default. Between commas one more cell may be the
    decimals of a number as well.
    """
    body = [record for record in table[1:] if len(record.cells) == width]
    first = [record.cells[0] for record in body]
    sure = len(set(first)) == len(first)
    quoted = all(record.quoted for record in body) or any(kind_of(cell) == "other" for cell in first)
    if separator == "," and not quoted:
        rest = [cell for record in body for cell in record.cells[1:]]
        counted = width > 2 and _count(first) and not any(map(_is_padded, rest))
        sure = sure and (counted or any("." in cell for cell in rest))
    if not sure:
        raise BadTable(
            f"Line {body[0].line} has {width} cells and line {table[0].line} has {width - 1} names: give every column "
            "a name; numbers with decimal commas need semicolons between them."
        )


def _check_single_column(body: list[Record]) -> None:
    """Refuse 1,5 and 2,7 and 3,9 in one column: decimals, or the number of the row and a value."""
    parts = [record.cells[0].partition(",") for record in body]
    if len(parts) > 1 and all(comma for _, comma, _ in parts) and _count([whole for whole, _, _ in parts]):
        raise BadTable(
            f"Line {body[0].line}, {body[0].cells[0][:40]!r}, may be a number with a decimal comma, or the number of a "
            "row and a value: use decimal points, or give both columns a name."
        )


def _count(cells: Sequence[str]) -> bool:
    """Whether the cells count rows, from 0 or 1 on."""
    start = cells[0] if cells else ""
    return start in ("0", "1") and all(cell == str(i) for i, cell in enumerate(cells, int(start)))


def _is_whole(cell: str) -> bool:
    return cell.lstrip("+-").isdecimal()


def _is_padded(cell: str) -> bool:
    """Whether a cell is a whole number that starts with 0, as the decimals of a number may."""
    return len(cell) > 1 and cell[0] == "0" and cell.isdecimal()
