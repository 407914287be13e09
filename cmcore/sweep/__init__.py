"""Many experiments at once: a grid of configs, each trained and measured, here or on a Dask cluster."""

from cmcore.sweep.cell import Cell, CellResult, MeasureConfig, run_cell
from cmcore.sweep.plan import BadSweep, Sweep, make_sweep, read_sweep
from cmcore.sweep.run import Outcome, SweepProgress, run_sweep

__all__ = [
    "BadSweep",
    "Cell",
    "CellResult",
    "MeasureConfig",
    "Outcome",
    "Sweep",
    "SweepProgress",
    "make_sweep",
    "read_sweep",
    "run_cell",
    "run_sweep",
]
