"""How files write numbers: decimal points and commas, thousands separators, and the spellings of a missing value.

A text such as 1.234 is one number where the comma marks thousands, and another where the point does. Which of the two
a file means is settled by its other numbers: 3.5 or 1,234,567 say that the point is the decimal sign. :class:`Tally`
collects that evidence column by column, and :func:`decimal_sign` decides, or says why nobody can.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from cmcore.targets.files.bad_table import BadTable

Decimal = Literal[".", ","]
Place = tuple[int, str]
"""A line of the file and the text of a cell there."""

MISSING = frozenset(
    (
        *("", "na", "n/a", "#n/a", "#na", "<na>", "n.a.", "nan", "-nan", "null", "(null)", "none", "nil", "missing"),
        *("-", "--", "—", "–", "?", ".", "\\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    )
)
"""Spellings of a missing value, in lower case."""
SHORT = 32
"""Characters of cells whose kind is remembered."""
EXACT = 2**53
"""Whole numbers above this are rounded in float64."""

_MARKS = " '’\u00a0\u2009\u202f"
"""Marks of thousands that are never decimal signs."""
_INTEGER = rf"(?:\d++|\d{{1,3}}(?:[{_MARKS}]\d{{3}})++)"
_EXPONENT = r"(?:[eEdD][+-]?\d++)?"


def _decimal(sign: str, group: str, digits: str) -> str:
    """Numbers that can only be meant with this decimal sign: 3.5, .5, 1234.567, 1,234.5, 1,234,567."""
    grouped = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})"
    return rf"[+-]?(?:{_INTEGER}{sign}{digits}|{sign}\d++|{grouped}+{sign}{digits}){_EXPONENT}|[+-]?{grouped}{{2,}}"


_KINDS = re.compile(
    rf"(?P<plain>[+-]?(?:{_INTEGER}{_EXPONENT}|inf(?:inity)?))"
    r"|(?P<either_point>[+-]?[1-9]\d{0,2}\.\d{3})"
    r"|(?P<either_comma>[+-]?[1-9]\d{0,2},\d{3})"
    rf"|(?P<point>{_decimal('[.]', ',', '[0-9]*+')})"
    rf"|(?P<comma>{_decimal(',', '[.]', '[0-9]++')})",
    re.IGNORECASE | re.ASCII,
)
_SIMPLE = re.compile(r"(?:[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?\n)*+", re.ASCII)
_LONG = re.compile(r"\d{16,}")


def clean_all(cells: Sequence[str]) -> list[str]:
    """:func:`clean` for many cells."""
    text = "".join(cells)
    return [*map(str.strip, cells)] if text.isascii() and "'" not in text else [*map(clean, cells)]


def clean(cell: str) -> str:
    """The text of a cell without blanks and single quotes around it, its minus sign the one of the keyboard."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == "'" == cell[-1]:
        cell = cell[1:-1].strip()
    return cell if cell.isascii() else cell.replace("\u2212", "-")


def kind_of(cell: str) -> str:
    """What a clean cell holds: "missing", "other", or a number.

    Numbers are "plain" (no sign that could be a decimal one), "point" or "comma" (it can be meant in one way only), or
    "either_point" and "either_comma" (1.234: a decimal sign or a mark of thousands).
    """
    return _kind_of_short(cell) if len(cell) < SHORT else _kind_of(cell)


def _kind_of(cell: str) -> str:
    match = _KINDS.fullmatch(cell)
    if match is not None and match.lastgroup is not None:
        return match.lastgroup
    return "missing" if cell.lower() in MISSING else "other"


_kind_of_short = lru_cache(maxsize=1 << 12)(_kind_of)


def is_number(cell: str) -> bool:
    """Whether a clean cell holds a number under one of the decimal signs."""
    return _KINDS.fullmatch(cell) is not None


@dataclass
class Tally:
    """What the cells of one column hold: how many of each kind, and where the first of each kind stands.

    Attributes:
        name: the column.
        numbers, missing, others: how many cells.
        first: kind → the first cell of that kind. A long column of plain decimals need not count each kind.
        rounded: a whole number too long for float64, if there is one.
        open_quote: the line of the first cell that runs over several lines and is no number.
        counting: the number that the next cell must be for the column to count its rows from 0 or 1; −1: it does not.
    """

    name: str
    numbers: int = 0
    missing: int = 0
    others: int = 0
    first: dict[str, Place] = field(default_factory=dict)
    rounded: Place | None = None
    open_quote: int | None = None
    counting: int | None = None

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Count clean cells and the lines they stand in."""
        text = "\n".join(cells) + "\n"
        self._count(cells)
        if _SIMPLE.fullmatch(text):
            self._add_simple(text, cells, lines)
        else:
            self._add(cells, lines)
        if self.rounded is None and _LONG.search(text):
            long = ((line, c) for c, line in zip(cells, lines, strict=True) if c.lstrip("+-").isdecimal())
            self.rounded = next(((line, c) for line, c in long if len(c) > 15 and abs(int(c[:400])) > EXACT), None)

    def _add_simple(self, text: str, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Numbers of digits, points and exponents alone: the first of each kind is looked for, and no more."""
        self.numbers += len(cells)
        if (
            "plain" not in self.first
            and (plain := next((i for i, c in enumerate(cells) if "." not in c), None)) is not None
        ):
            self.first["plain"] = (lines[plain], cells[plain][:200])
        if "point" in self.first or "." not in text:
            return
        for cell, line in zip(cells, lines, strict=True):
            if "." in cell:
                kind = kind_of(cell)
                self.first.setdefault(kind, (line, cell[:200]))
                if kind == "point":
                    return

    def _count(self, cells: Sequence[str]) -> None:
        start = self.counting if self.counting is not None else int(cells[0] == "1")
        if start >= 0:
            end = start + len(cells)
            self.counting = end if all(cell == str(i) for cell, i in zip(cells, range(start, end), strict=True)) else -1

    def _add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        kinds = [_kind_of_short(cell) if len(cell) < SHORT else _kind_of(cell) for cell in cells]
        counts = Counter(kinds)
        for kind in counts.keys() - self.first.keys():
            at = kinds.index(kind)
            self.first[kind] = (lines[at], cells[at][:200])
        self.missing += counts["missing"]
        self.others += counts["other"]
        self.numbers += len(kinds) - counts["missing"] - counts["other"]
        if self.open_quote is None and counts["other"]:
            others = (
                line for kind, cell, line in zip(kinds, cells, lines, strict=True) if kind == "other" and _breaks(cell)
            )
            self.open_quote = next(others, None)

    @property
    def counts_rows(self) -> bool:
        """Whether the cells count the rows, from 0 or 1 on."""
        return (self.counting or -1) > 1

    @property
    def numeric(self) -> bool:
        """Whether all cells are numbers or missing, and some are numbers."""
        return self.numbers > 0 and not self.others


def _breaks(cell: str) -> bool:
    return "\n" in cell or "\r" in cell


# ---- the decimal sign -------------------------------------------------------------------------------------------
def decimal_sign(columns: Sequence[Tally], separator: str | None) -> Decimal:
    """The decimal sign of a file with these numeric columns.

    Points without any evidence are decimal signs between commas and between blanks, where nobody marks thousands by
    them.

    Raises:
        BadTable: both signs are used as decimal ones, or it cannot be told which is.
    """
    first: dict[str, tuple[str, Place]] = {}
    for column in columns:
        for kind, place in column.first.items():
            first.setdefault(kind, (column.name, place))
    if "point" in first and "comma" in first:
        (a, (line_a, text_a)), (b, (line_b, text_b)) = first["point"], first["comma"]
        raise BadTable(
            f"Two decimal signs: line {line_a} has {text_a!r} in {a!r} and line {line_b} has {text_b!r} in {b!r}; "
            "write all numbers with a decimal point, or choose one of the columns."
        )
    if "point" in first or "comma" in first:
        return "." if "point" in first else ","
    unsure = first.get("either_comma") or (first.get("either_point") if separator not in (",", " ") else None)
    if unsure is None:
        return "."
    name, (line, text) = unsure
    raise BadTable(
        f"{text!r} in line {line}, column {name!r}, may have a decimal sign or a mark of thousands: say which decimal "
        "sign the file uses, or write its numbers without marks of thousands."
    )


def to_floats(cells: Sequence[str], decimal: Decimal) -> np.ndarray:
    """Clean cells, each a number under this decimal sign or missing, as float64; missing ones are NaN."""
    text = "\n".join(cells) + "\n"
    if decimal == "." and _SIMPLE.fullmatch(text):
        return np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    drop: dict[str, str | None] = dict.fromkeys(_MARKS + (",." if decimal == "," else ","))
    table = str.maketrans({**drop, "d": "e", "D": "e", **({",": "."} if decimal == "," else {})})
    numbers = ("nan" if cell.lower() in MISSING else cell.translate(table) for cell in cells)
    return np.fromiter(map(float, numbers), dtype=np.float64, count=len(cells))


# ---- what is not a number ---------------------------------------------------------------------------------------
_ODDITIES: tuple[tuple[Callable[[str], object], str], ...] = (
    (re.compile(r"[^%]*\d\s*[%‰]").fullmatch, "has a percent sign: remove it"),
    (re.compile(r".*(?:[$€£¥₹]|\b(?:EUR|USD|GBP|CHF|JPY)\b).*").fullmatch, "has a currency sign: remove it"),
    (re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?").fullmatch, "is a date: write it as a number"),
    (re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?").fullmatch, "is a time of day: write it as a number"),
    (re.compile(r"[+-]?\d[\d.,]*\s*[^\W\d]\S{0,7}").fullmatch, "has a unit: remove it"),
    (re.compile(r"true|false|t|f|yes|no", re.IGNORECASE).fullmatch, "is true or false: write 1 or 0"),
)


def oddity(cell: str) -> str:
    """Why a cell is no number, and what to do, as the end of a clause: "has a percent sign: remove it"."""
    return next((words for matches, words in _ODDITIES if matches(cell[:80])), "is no number")
