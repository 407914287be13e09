"""A sweep on disk: a folder for each finished cell, named by the hash of its config, and one tidy table.

.. code-block:: text

    sweep.json                  what this folder is
    cells/KEY/result.json       written whole or not at all, when the cell is done
    cells/KEY/run.json, …       the trained map, if models are kept
    table.csv, table.parquet    one row for each cell and N
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cmcore.files import read_plain, taking_turns, write_atomically
from cmcore.json_input import parse_json
from cmcore.model import TrainedModel
from cmcore.spreadsheet import as_csv
from cmcore.store import RUN_FILE, save
from cmcore.sweep.cell import Cell, CellResult
from cmcore.sweep.keys import value_of
from cmcore.sweep.plan import BadSweep, Sweep

MARK, RESULT = "sweep.json", "result.json"
LARGEST_RESULT, MOST_VALUES = 8 << 20, 1 << 18
"""Of what is kept of a cell: bytes, and values."""

OF_CELL = {
    "key": pa.string(),
    "status": pa.string(),
    "message": pa.string(),
    "seconds": pa.float64(),
    "training_steps": pa.int64(),
    "steps": pa.int64(),
}
OF_ESTIMATE = {
    **{name: pa.float64() for name in ("value", "low", "high")},
    **{name: pa.string() for name in ("direction", "estimator")},
    "n": pa.int64(),
    **{name: pa.float64() for name in ("floor", "delta")},
    "trusted": pa.bool_(),
    "note": pa.string(),
}
"""The table's columns after those that vary, in order; of an estimate that there is none of, all are empty."""


class SweepFolder:
    """The output folder of a sweep. Raises :class:`BadSweep` if it holds something else."""

    def __init__(self, path: str | os.PathLike[str], sweep: Sweep) -> None:
        self.path, self.sweep = Path(path), sweep
        self.path.mkdir(parents=True, exist_ok=True)
        with taking_turns(self.path):
            if not (self.path / MARK).exists() and any(not p.name.startswith(".") for p in self.path.iterdir()):
                raise BadSweep(f"{self.path} holds something that is not a sweep: choose another folder.")
            (self.path / "cells").mkdir(exist_ok=True)
            mark = {"format": 1, "source": sweep.source, "cells": len(sweep.cells), "varied": sweep.varied}
            write_atomically(self.path / MARK, (json.dumps(mark, indent=1, ensure_ascii=False) + "\n").encode())

    def result(self, cell: Cell) -> CellResult | None:
        """What was kept of a cell, if it is all that the sweep asks for."""
        folder = self.path / "cells" / cell.digest
        try:
            content = read_plain(folder / RESULT, LARGEST_RESULT)
            result = CellResult.model_validate(parse_json(content, largest=LARGEST_RESULT, most_values=MOST_VALUES))
            result.estimates  # noqa: B018  a curve that cannot be read is a cell to do again
        except (OSError, ValueError):
            return None
        lacks_model = self.sweep.keep_models and result.status != "failed" and not (folder / RUN_FILE).exists()
        return result if result.cell == cell and not lacks_model else None

    def keep(self, result: CellResult, model: TrainedModel | None) -> None:
        """Write what came of a cell; the result last, so that where it is, everything is."""
        folder = self.path / "cells" / result.cell.digest
        folder.mkdir(exist_ok=True)
        if model is not None:
            save(model, folder)
        write_atomically(folder / RESULT, (result.model_dump_json(indent=1) + "\n").encode())

    def write_table(self, results: Mapping[str, CellResult]) -> pa.Table:
        """Write and return the table of the cells there are results of, in the order of the sweep.

        Those that only the folder has are there too: another process may be at work on the same sweep.
        """
        of_cells = (results.get(cell.digest) or self.result(cell) for cell in self.sweep.cells)
        done = [result for result in of_cells if result is not None]
        rows = [row for result in done for row in _rows(result, self.sweep.varied)]
        columns = {key: _column([row[key] for row in rows]) for key in self.sweep.varied}
        columns |= {key: pa.array([row[key] for row in rows], kind) for key, kind in (OF_CELL | OF_ESTIMATE).items()}
        table = pa.table(columns)
        content = pa.BufferOutputStream()
        pq.write_table(table, content)
        with taking_turns(self.path):
            write_atomically(self.path / "table.parquet", content.getvalue().to_pybytes())
            write_atomically(self.path / "table.csv", _csv(table).encode())
        return table


def _rows(result: CellResult, varied: Sequence[str]) -> Iterator[dict[str, Any]]:
    cell = result.cell
    of_cell = {key: value_of(cell, key) for key in varied} | {
        "key": cell.digest,
        "status": result.status,
        "message": result.message,
        "seconds": result.seconds,
        "training_steps": result.training_steps,
    }
    for steps, estimate in zip(cell.measure.steps, result.estimates, strict=True):
        yield of_cell | {"steps": steps} | {name: getattr(estimate, name, None) for name in OF_ESTIMATE}


def _column(values: Sequence[Any]) -> pa.Array:
    """Values of one key: of one kind where they are, else as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        return pa.array([None if value is None else float(value) for value in values])
    if len(kinds) <= 1 and kinds <= {int, float, bool, str}:
        return pa.array(values)
    return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _csv(table: pa.Table) -> str:
    return as_csv(table.column_names, (row.values() for row in table.to_pylist()))
