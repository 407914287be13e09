"""`cmcore sweep`: a grid of configs, trained and measured on all cores or on a Dask cluster."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmcore.cli.outcome import INTERRUPTED, Failed, say, write_json

if TYPE_CHECKING:
    from cmcore.sweep import Outcome, SweepProgress

OFTEN = 10.0
"""Seconds between lines of progress where no person is watching."""
NAMED = 10
"""Failed cells that are named one by one."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; runs/FILE by default.")
@click.option("--backend", type=click.Choice(["local", "dask"]), default="local", show_default=True)
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes of this machine; one for each core by default.")
@click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster; tcp://127.0.0.1:8786 by default.")
@click.option("--retry-failed", is_flag=True, help="Try cells that diverged or failed in an earlier run again.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def sweep(file: Path, out: Path | None, as_json: bool, **choices: Any) -> None:
    r"""Train and measure every config in FILE, a .toml or .json file of lists.

    \b
        steps = 2000
        target = ["eight_gaussians", "moons"]
        objective = ["lsd", "psd"]
        seed = [0, 1, 2]
        [measure]
        steps = [1, 2, 4, 8]

    The product of the lists is trained, and KL measured at every N of [measure]; several [[grid]] tables make several
    products. Other keys: delta, training.batch, network.width, parameters.NAME, objective_parameters.NAME. Stopped or
    killed, the same command goes on where it was. Exit code 1 says that some cell diverged or failed; the table,
    table.csv and table.parquet in OUT, says which.

    On a cluster, start `dask scheduler` and on each machine `dask worker ADDRESS --nworkers auto --nthreads 1`. Dask
    runs what it is sent, so keep its port to a network you trust.
    """  # fmt: skip
    from cmcore.sweep import read_sweep, run_sweep

    if choices["backend"] == "dask" and choices["jobs"] is not None:
        raise click.UsageError("--jobs is for --backend local: a cluster has the workers that were started.")
    if choices["backend"] == "local" and choices["scheduler"] is not None:
        raise click.UsageError("--scheduler is for --backend dask.")
    plan, folder = read_sweep(file), out or Path("runs") / file.stem
    try:
        with _progress() as show:
            outcome = run_sweep(plan, folder, progress=show, **choices)
    except KeyboardInterrupt:
        words = f"Interrupted; finished cells are kept in {folder}, and the same command goes on with the others."
        say(words, err=True)
        click.get_current_context().exit(INTERRUPTED)
    summary = _summary(outcome)
    write_json(summary) if as_json else say(_in_words(summary))
    if outcome.failed:
        raise Failed("\n".join(_failures(outcome, plan.varied)))


@contextmanager
def _progress() -> Iterator[Callable[["SweepProgress"], None]]:
    """Shows progress on standard error: a bar when a person is watching, else a line now and then."""
    watched = sys.stderr.isatty()
    bar = click.progressbar(length=1000, file=sys.stderr, hidden=not watched, show_eta=False, show_percent=True)
    spoken = 0.0

    def show(progress: "SweepProgress") -> None:
        nonlocal spoken
        if progress.last is None:
            earlier = f", {progress.earlier} of them done before" if progress.earlier else ""
            say(f"{progress.total} cells{earlier}; {progress.workers} at a time.", err=True)
        words = _so_far(progress)
        if watched:
            bar.label = words
            bar.update(1000 * progress.done // progress.total - bar.pos)
        elif progress.last is not None and (time.monotonic() - spoken > OFTEN or progress.done == progress.total):
            say(words, err=True)
            spoken = time.monotonic()

    with bar:
        yield show


def _so_far(progress: "SweepProgress") -> str:
    left = "" if progress.seconds_left is None else f", about {_duration(progress.seconds_left)} left"
    return f"{progress.done} of {progress.total} done, {progress.failed} failed{left}"


def _duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _summary(outcome: "Outcome") -> dict[str, Any]:
    return {
        "folder": str(outcome.folder),
        "cells": len(outcome.results),
        "finished": len(outcome.results) - len(outcome.failed),
        "failed": [
            {"key": result.cell.digest, "status": result.status, "message": result.message} for result in outcome.failed
        ],
        "table": [str(outcome.folder / f"table.{kind}") for kind in ("csv", "parquet")],
        "rows": outcome.table.num_rows,
    }


def _in_words(summary: dict[str, Any]) -> str:
    csv, parquet = summary["table"]
    done = f"{summary['finished']} of {summary['cells']} cells finished"
    return f"{done}. {summary['rows']} rows, one for each cell and N, in {csv} and {parquet}."


def _failures(outcome: "Outcome", varied: Sequence[str]) -> Iterator[str]:
    """How many cells failed, and of the first few which ones and why."""
    from cmcore.sweep.keys import value_of

    yield f"{len(outcome.failed)} of {len(outcome.results)} cells diverged or failed:"
    for result in outcome.failed[:NAMED]:
        which = ", ".join(f"{key} {value_of(result.cell, key)}" for key in varied)
        yield f"  {result.cell.digest} ({which}): {result.message}"
    if len(outcome.failed) > NAMED:
        yield f"  and {len(outcome.failed) - NAMED} more; the table says which."
