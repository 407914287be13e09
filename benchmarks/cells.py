"""The cells of a table that a benchmark measures, as a CSV file: to go on where it was cut off, and to show it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_cells(path: Path) -> list[dict[str, Any]]:
    """A row for each cell, every value as text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_cells(rows: Sequence[dict[str, Any]], path: Path, columns: Sequence[str]) -> None:
    """The rows with these columns, in place of what the file held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
