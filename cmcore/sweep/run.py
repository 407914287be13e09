"""Running a sweep: every cell that has no result yet, each result written when it arrives, and the table at the end."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
from joblib.externals.loky.process_executor import TerminatedWorkerError

from cmcore.sweep.backends import Backend, workers
from cmcore.sweep.cell import CellResult, run_cell
from cmcore.sweep.folder import SweepFolder
from cmcore.sweep.plan import Sweep, make_sweep, read_sweep


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        total: cells.
        done: cells with a result, those of earlier runs included.
        failed: of these, how many diverged or failed.
        earlier: of these, how many were there before.
        workers: cells computed at once.
        seconds_left: estimate from the mean time of this run's cells; None before there is one.
        last: the result that just arrived; None at the start.
    """

    total: int
    done: int
    failed: int
    earlier: int
    workers: int
    seconds_left: float | None = None
    last: CellResult | None = None


@dataclass(frozen=True)
class Outcome:
    """The results of a sweep, and its table.

    Attributes:
        folder: where it is kept.
        results: one for each cell, in the order of the sweep.
        table: one row for each cell and N, as in table.parquet.
    """

    folder: Path
    results: tuple[CellResult, ...]
    table: pa.Table

    @property
    def failed(self) -> tuple[CellResult, ...]:
        """The cells that diverged or failed."""
        return tuple(result for result in self.results if result.status != "finished")


def run_sweep(
    sweep: Sweep | Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    backend: Backend = "local",
    jobs: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: Callable[[SweepProgress], object] | None = None,
) -> Outcome:
    """Train and measure every cell of a sweep that has no result in the folder `out` yet.

    A result is written when it arrives, so that a sweep that was stopped, even killed, goes on where it was: only the
    cells in flight are lost. Results of cells that the sweep no longer has stay in the folder, and out of the table.

    Args:
        sweep: a file, its content, or what :func:`read_sweep` made of it.
        out: the folder, a new one or that of an earlier run.
        backend: "local", processes of this machine with one thread each; or "dask", the workers of a cluster.
        jobs: how many processes; by default one for each core.
        scheduler: the address of the Dask scheduler; by default the one that `dask scheduler` listens at here.
        retry_failed: whether cells that diverged or failed earlier are tried again.
        progress: called at the start and after each cell.

    Numbers do not depend on the backend: every cell is computed from its config alone, on one thread.
    """
    plan = _plan(sweep)
    folder = SweepFolder(out, plan)
    results = {cell.digest: result for cell in plan.cells if (result := folder.result(cell)) is not None}
    if retry_failed:
        results = {digest: result for digest, result in results.items() if result.status == "finished"}
    waiting = [cell for cell in plan.cells if cell.digest not in results]
    try:
        if waiting:
            with workers(backend, jobs, scheduler, len(waiting)) as count:
                tell = _Teller(progress, results, len(plan.cells), count)
                tell(None)
                calls = [joblib.delayed(run_cell)(cell, keep_model=plan.keep_models) for cell in waiting]
                one_by_one: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
                arriving: Any = joblib.Parallel(**one_by_one)(calls)
                for result, model in arriving:
                    folder.keep(result, model)
                    results[result.cell.digest] = result
                    tell(result)
    except TerminatedWorkerError:
        finished = f"{len(results)} of {len(plan.cells)} cells are kept"
        words = (
            f"A worker process ended without a word, perhaps for lack of memory; {finished}. Try again with fewer jobs."
        )
        raise RuntimeError(words) from None
    finally:
        table = folder.write_table(results)
    return Outcome(folder.path, tuple(results[cell.digest] for cell in plan.cells), table)


def _plan(sweep: Sweep | Mapping[str, Any] | str | os.PathLike[str]) -> Sweep:
    if isinstance(sweep, Sweep):
        return sweep
    return make_sweep(sweep) if isinstance(sweep, Mapping) else read_sweep(sweep)


class _Teller:
    """Tells of each result, with the time left."""

    def __init__(
        self, progress: Callable[[SweepProgress], object] | None, results: dict[str, CellResult], total: int, count: int
    ) -> None:
        self.progress, self.results, self.total, self.workers = progress, results, total, count
        self.earlier, self.seconds = len(results), 0.0

    def __call__(self, last: CellResult | None) -> None:
        if last is not None:
            self.seconds += last.seconds
        if self.progress is None:
            return
        done = len(self.results)
        now = done - self.earlier
        left = self.seconds / now * (self.total - done) / self.workers if now else None
        failed = sum(result.status != "finished" for result in self.results.values())
        self.progress(SweepProgress(self.total, done, failed, self.earlier, self.workers, left, last))
