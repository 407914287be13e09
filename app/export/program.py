"""The view on screen as a program: it loads the exported run, or trains it again, and prints the page's own numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any

import torch

from app.export.notebook import NotebookCell
from app.export.snippet import target_code
from app.export.templates import cells
from app.kl.curves import RunCurve, View
from app.kl.question import Question, how_measured
from app.quoting import Code, file_stem
from app.runs.library import Run
from app.runs.names import learned_by
from app.stage.scene import Grids
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.samplers import SAMPLERS


def zip_name(run: Run) -> str:
    """The file that a run is exported as, and that its program looks for."""
    return f"{file_stem(run.key)}.zip"


def title(runs: Sequence[Run]) -> str:
    return f"Consistency Lab: {', '.join(run.label for run in runs)}"


def about(runs: Sequence[Run]) -> str:
    """How each run came about, with the steps and threads that were executed, and what made this file."""
    lines = []
    for run in runs:
        model, threads = run.model, run.model.config.threads
        counted = f", {threads} thread{'s' * (threads != 1)}" if threads and "thread" not in model.device else ""
        lines.append(
            f"{run.label}: {learned_by(model.config)}, seed {model.config.seed}; {model.steps:,} steps in "
            f"{model.seconds:.1f} s on {model.device}{counted}; {model.status}."
        )
    files = ", ".join(zip_name(run) for run in runs)
    return "\n".join(
        [
            *lines,
            f"Made by Consistency Lab {_version()} with torch {torch.__version__}.",
            f"Export {files} from the lab and put it beside this file; without it, the run is trained again.",
        ]
    )


def _version() -> str:
    try:
        return version("consistency-lab")
    except PackageNotFoundError:
        return "(not installed)"


# ---- Explore ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Shown:
    """What is on screen of one run.

    Attributes:
        run: the run on show.
        config: how it is drawn, N among it.
        grids: the times by N, moved ones too.
        direction: which divergence.
        estimates: those on the page, by N.
        seed: of the noise on the stage.
        particles: how many are on the stage.
    """

    run: Run
    config: SamplerConfig
    grids: Grids
    direction: Direction
    estimates: Mapping[int, Estimate]
    seed: int
    particles: int

    @property
    def drawn(self) -> dict[str, Any]:
        """How the stage draws it, for those who make scenes."""
        return {"config": self.config, "grids": self.grids, "seed": self.seed, "particles": self.particles}


def explore_cells(shown: Shown) -> list[NotebookCell]:
    """The draw on the stage and the KL at every N."""
    config, grids = shown.config, shown.grids
    own = {"renoise": config.renoise} if SAMPLERS[config.sampler].share_of else {}
    grid = Code(f"cm.TimeGrid(POINTS[{config.steps}][0])")
    return cells(
        "export/templates/explore_program.py.jinja",
        runs=_runs([shown.run]),
        points={n: (grids[n].times, *_how(shown, n)) for n in sorted(grids)},
        particles=shown.particles,
        steps=config.steps,
        draw={"seed": shown.seed, "sampler": config.sampler, "grid": grid, **own},
        measures=f"{shown.direction.replace('‖', ' ∥ ')} at δ = {config.delta:g}",
        choices={"sampler": config.sampler, "direction": shown.direction, **own},
        page={"": _values(shown.estimates)},
        curve=Code("curve"),
    )


def _how(shown: Shown, n: int) -> tuple[int, int | None]:
    """The seed and n of the page's number at N."""
    config = shown.config
    return how_measured(shown.run, Question(config.sampler, n, shown.grids[n], shown.direction, config.renoise))


def _values(estimates: Mapping[int, Estimate]) -> dict[int, tuple[float, float, float]]:
    values = {n: (e.value, e.low, e.high) for n, e in sorted(estimates.items()) if e.trusted}
    return {n: ends for n, ends in values.items() if all(map(isfinite, ends))}


# ---- KL ---------------------------------------------------------------------------------------------------------
def curves_cells(view: View, curves: Sequence[RunCurve]) -> list[NotebookCell]:
    """Every curve of the view, on runs that are loaded or trained again."""
    runs = list({curve.run.key: curve.run for curve in curves}.values())
    return cells(
        "export/templates/curves_program.py.jinja",
        runs=_runs(runs),
        measures=f"{view.direction.replace('‖', ' ∥ ')} at {_deltas(curves)}",
        curves=[_curve(curve, _name(curve.run, runs)) for curve in curves],
        page={curve.label: _values(curve.estimates) for curve in curves},
        curve=Code("curves[label]"),
    )


def _deltas(curves: Sequence[RunCurve]) -> str:
    """δ = 0, or of several targets δ = 0 or 0.01."""
    return "δ = " + " or ".join(f"{delta:g}" for delta in sorted({curve.delta for curve in curves}))


def _curve(curve: RunCurve, model: Code) -> dict[str, Any]:
    first = curve.questions[0]
    choices = {"sampler": first.sampler, "direction": first.direction}
    choices |= {"renoise": first.renoise} if first.kind.share_of else {}
    choices |= {} if curve.learned else {"score": first.score}
    return {
        "label": curve.label,
        "model": model,
        "source": model if first.learned else Code(f"{model}.target"),
        "points": {q.calls: (q.grid.times, *how_measured(curve.run, q)) for q in curve.questions},
        "choices": choices,
    }


# ---- the runs ---------------------------------------------------------------------------------------------------
def _name(run: Run, runs: Sequence[Run]) -> Code:
    """The variable that holds its model."""
    return Code("model" if len(runs) == 1 else f"model_{re.sub(r'[^A-Za-z0-9]', '_', run.key)}")


def _runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """How each run is loaded, or trained again exactly as it was: the same config, as many steps and threads."""
    made = []
    for run in runs:
        config = run.model.config
        if config.steps is None:  # it was stopped before its budget in seconds had become steps
            config = config.model_copy(update={"steps": run.model.steps})
        made.append(
            {
                "label": run.label,
                "name": _name(run, runs),
                "file": zip_name(run),
                "config": config.model_dump(mode="json"),
                "target": None if run.target.config is None else target_code(run),
                "steps": run.model.steps,
            }
        )
    return made
