"""Points and tables as files for other programs."""

import io
from collections.abc import Container
from typing import TYPE_CHECKING

import cmcore as cm
from app.export.program import Shown
from app.quoting import one_line
from cmcore.spreadsheet import as_csv
from cmcore.targets import TableTarget

if TYPE_CHECKING:
    import pandas as pd


def points(shown: Shown) -> "pd.DataFrame":
    """The draw on the stage, a row for each particle: where it stands at each time of the grid, its noise first.

    Columns are x1@3, x2@3, …: the coordinate and the time. Of a table's run, the last columns are in the table's units.
    """
    import pandas as pd

    config, target = shown.config, shown.run.target
    draw = cm.sample(
        shown.run.model,
        shown.particles,
        config.steps,
        seed=shown.seed,
        sampler=config.sampler,
        grid=shown.grids[config.steps],
        renoise=config.renoise,
    )
    columns = {}
    for time, states in zip(draw.grid.times, draw.states, strict=True):
        for i, values in enumerate(states.double().cpu().T):
            columns[f"x{i + 1}@{time:.6g}"] = values.numpy()
    if isinstance(target, TableTarget):
        rows = target.to_table(draw.points.double().cpu()).T
        for name, row in zip(target.columns, rows, strict=True):
            columns[_free(one_line(name) or "column", columns)] = row.numpy()
    return pd.DataFrame(columns)


def _free(name: str, taken: Container[str]) -> str:
    """The name, with as many strokes behind it as it takes to be the only one."""
    while name in taken:
        name += "_"
    return name


def table_of(csv: str) -> "pd.DataFrame":
    """A table of this lab, which was written as CSV."""
    import pandas as pd

    return pd.read_csv(io.StringIO(csv))


def csv_of(frame: "pd.DataFrame") -> bytes:
    """The table as CSV; numbers keep every digit."""
    return as_csv(list(frame), frame.astype(object).where(frame.notna(), "").itertuples(index=False)).encode()


def parquet_of(frame: "pd.DataFrame") -> bytes:
    """The table as Parquet."""
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()
