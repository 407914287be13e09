"""A file of columns, as it was understood, before any number is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmcore.targets.files.bad_table import BadTable

__all__ = ["TableFile", "distinct", "listed"]


@dataclass(frozen=True)
class TableFile:
    """What can be read from a file of columns, and what cannot, and why.

    Attributes:
        layout: how it was read: "CSV separated by semicolons, decimal comma, names in line 1".
        columns: names of the columns of numbers.
        left_out: the other columns → why, with the first line and value that is no number.
        rows: how many.
        first_rows: the first few rows as they are written, all columns: name → cells.
        notes: what was taken for what.
        load: columns → their values [n, c] as float64, and the line or row of each in the file [n].
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
    load: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]
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

    def numbers(self, chosen: Sequence[str], *, drop_missing: bool) -> tuple[np.ndarray, list[str]]:
        """Columns that passed :meth:`check_columns` as float64 [n, c], all finite, and notes on rows left out."""
        short, first = self.short
        if short and not drop_missing:
            raise BadTable(self._too_short())
        values, places = self.load(chosen)
        bad = ~np.isfinite(values)
        incomplete = bad.any(axis=1)
        if incomplete.any() and not drop_missing:
            counts = [
                f"{column!r} ({count}, the first in {self.place} {places[bad[:, j].argmax()]})"
                for j, (column, count) in enumerate(zip(chosen, bad.sum(axis=0), strict=True))
                if count
            ]
            raise BadTable(f"Missing or infinite values in {listed(counts)}: fill them, or leave such rows out.")
        dropped = int(incomplete.sum()) + short
        if not dropped:
            return values, []
        lines = ([int(places[incomplete.argmax()])] if incomplete.any() else []) + ([first] if short else [])
        rows = "1 row with missing values was" if dropped == 1 else f"{dropped:,} rows with missing values were"
        values = values[~incomplete]
        return values, [f"{rows} left out, the first in {self.place} {min(lines)}; {len(values):,} are used."]

    def _too_short(self) -> str:
        count, first = self.short
        rows = f"Line {first} has" if count == 1 else f"{count:,} lines, the first of them {first}, have"
        return f"{rows} fewer cells than the table has columns: complete or remove them, or leave such rows out."


def distinct(names: Sequence[str]) -> None:
    """Refuse a name that stands twice."""
    first: dict[str, int] = {}
    for j, name in enumerate(names, 1):
        if name in first:
            raise BadTable(f"Two columns are named {name[:60]!r}, numbers {first[name]} and {j}: rename one.")
        first[name] = j


def listed(names: Sequence[str]) -> str:
    """The first few of them in words, and how many more there are."""
    shown = ", ".join(str(name)[:160] for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
