"""A table file as it was understood, before its numbers are read."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from cmcore.targets.files.bad_table import BadTable

T = TypeVar("T")


class TablePart(NamedTuple):
    """Some rows of some columns of a file.

    Attributes:
        share: how much of the work is done with it.
        start: the row it starts with, from 0.
        columns: which of the columns that were asked for.
        values: [rows, columns], missing ones NaN.
        places: the line or row of each in the file.
    """

    share: float
    start: int
    columns: Sequence[int]
    values: np.ndarray
    places: Sequence[int]


@dataclass(frozen=True)
class TableFile:
    """A table file: the columns that can be read, and why others cannot.

    Attributes:
        layout: how it was read: "CSV separated by semicolons, decimal comma, names in line 1".
        columns: names of the columns of numbers.
        left_out: the other columns → why, with the first line and value that is no number.
        rows: how many.
        first_rows: the first few rows as they are written, all columns: name → cells.
        notes: what was taken for what.
        load: columns → all of their values, part by part.
        place: what a row's number counts, "line" or "row".
        short: how many rows have too few cells, and the line of the first.
        counters: columns that count the rows.
        problem: why no number can be read, where that is so.
    """

    layout: str
    columns: tuple[str, ...]
    left_out: Mapping[str, str]
    rows: int
    first_rows: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]
    load: Callable[[Sequence[str]], Iterator[TablePart]]
    place: str = "line"
    short: tuple[int, int] = (0, 0)
    counters: tuple[str, ...] = ()
    problem: str = ""

    def check_columns(self, columns: Sequence[str] | None, *, most: int) -> list[str]:
        """The columns asked for, or all that hold numbers. Raises BadTable for what cannot be read."""
        if self.problem:
            raise BadTable(self.problem)
        if not self.rows:
            raise BadTable(self._too_short() if self.short[0] else "The table has names and no rows.")
        if columns is None and not self.columns:
            raise BadTable(f"The table has no numeric column: {listed(self._reasons())}.")
        chosen = (
            list(self.columns) if columns is None else [columns] if isinstance(columns, str) else [*map(str, columns)]
        )
        if not chosen:
            raise BadTable("Choose at least one column.")
        if len(chosen) > most or len(set(chosen)) < len(chosen):
            raise BadTable(f"Choose at most {most} columns, each once.")
        for column in chosen:
            if column in self.left_out:
                raise BadTable(f"Column {column!r} does not hold numbers: {self.left_out[column]}.")
            if column not in self.columns:
                raise BadTable(f"There is no column {column[:60]!r}; the table has {listed(self.columns)}.")
        return chosen

    def left_out_in_words(self) -> str:
        """A sentence on the columns that are left out, with the reasons."""
        return f"Columns left out: {listed(self._reasons())}."

    def _reasons(self) -> list[str]:
        return [f"{name!r} ({why})" for name, why in self.left_out.items()]

    def numbers(
        self, chosen: Sequence[str], *, drop_missing: bool, most_values: int
    ) -> Generator[float, None, tuple[np.ndarray, list[str]]]:
        """Columns that passed :meth:`check_columns` as float64 [n, c], all finite, and notes on rows left out.

        Of more than `most_values` values every second, third, … row is taken. Yields how much is done.
        """
        if self.short[0] and not drop_missing:
            raise BadTable(self._too_short())
        stride = -(-self.rows * len(chosen) // most_values)
        values = np.empty((-(-self.rows // stride), len(chosen)))
        complete = np.ones(self.rows, dtype=bool)
        missing: dict[str, tuple[int, int]] = {}
        for part in self.load(chosen):
            yield part.share
            end, skipped = part.start + len(part.values), -part.start % stride
            bad = ~np.isfinite(part.values)
            for j, count in zip(part.columns, bad.sum(axis=0).tolist(), strict=True):
                if count:
                    first = part.places[int(bad[:, part.columns.index(j)].argmax())]
                    before, first = missing.get(chosen[j], (0, first))
                    missing[chosen[j]] = before + count, first
            complete[part.start : end] &= ~bad.any(axis=1)
            taken = slice(-(-part.start // stride), -(-end // stride))
            values[taken, part.columns[0] : part.columns[-1] + 1] = part.values[skipped::stride]
        if missing and not drop_missing:
            counts = [
                f"{name!r} ({missing[name][0]}, the first in {self.place} {missing[name][1]})"
                for name in sorted(missing, key=chosen.index)
            ]
            raise BadTable(f"Missing or infinite values in {listed(counts)}: fill them, or leave such rows out.")
        values = values[complete[::stride]] if missing else values
        return values, self._row_notes(complete, stride, [place for _, place in missing.values()])

    def _row_notes(self, complete: np.ndarray, stride: int, places: list[int]) -> list[str]:
        """On rows with missing values, the first of which are at `places`, and on a table that is too long."""
        notes = []
        used = int(np.count_nonzero(complete))
        dropped = len(complete) - used + self.short[0]
        if dropped:
            rows = "1 row with missing values was" if dropped == 1 else f"{dropped:,} rows with missing values were"
            places = [*places, *([self.short[1]] if self.short[0] else [])]
            notes.append(f"{rows} left out, the first in {self.place} {min(places)}; {used:,} are used.")
        if stride > 1:
            notes.append(f"Of the {len(complete):,} rows one in {stride} was read, evenly.")
        return notes

    def _too_short(self) -> str:
        count, first = self.short
        rows = f"Line {first} has" if count == 1 else f"{count:,} lines, the first of them {first}, have"
        return f"{rows} fewer cells than the table has columns: complete or remove them, or leave such rows out."


def result_of(steps: Generator[float, None, T]) -> T:
    """The return value of a generator that yields its progress."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def printable(name: str) -> str:
    """A name in one line, without characters that cannot be seen or that turn the text around them."""
    return " ".join("".join(c if c.isprintable() or c in _JOINERS else " " for c in name).split())


_JOINERS = "\u200c\u200d"
"""Between letters of Persian and of Indian scripts, and in emoji."""


def distinct(names: Sequence[str]) -> None:
    """Refuse a name that stands twice."""
    first: dict[str, int] = {}
    for j, name in enumerate(names, 1):
        if name in first:
            raise BadTable(f"Two columns are named {name[:60]!r}, numbers {first[name]} and {j}: rename one.")
        first[name] = j


def listed(names: Sequence[str]) -> str:
    """The first few names in words, and how many more there are."""
    shown = ", ".join(str(name)[:160] for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
