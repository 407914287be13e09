"""The view on screen as a program: it loads the exported run, or trains it again, and prints the page's own numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any

import torch

from app.export.notebook import NotebookCell
from app.export.snippet import target_code
from app.kl.comparison import Asked, View
from app.kl.curve import question_of
from app.kl.question import SEED, how_measured, known_point, landings
from app.kl.run_summary import learned_by
from app.quoting import file_stem, keywords, literal
from app.runs.library import Run
from app.stage.scene import Grids
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction, Estimate


def zip_name(run: Run) -> str:
    """The file that a run is exported as, and that its program looks for."""
    return f"{file_stem(run.key)}.zip"


def title(runs: Sequence[Run]) -> str:
    return f"Consistency Lab: {', '.join(run.label for run in runs)}"


def about(runs: Sequence[Run]) -> str:
    """How each run came about, with the steps and threads that were executed, and what made this file."""
    told = []
    for run in runs:
        model, threads = run.model, run.model.config.threads
        counted = f", {threads} thread{'s' * (threads != 1)}" if threads and "thread" not in model.device else ""
        told.append(
            f"{run.label}: {learned_by(model.config)}, seed {model.config.seed}; {model.steps:,} steps in "
            f"{model.seconds:.1f} s on {model.device}{counted}; {model.status}."
        )
    files = ", ".join(zip_name(run) for run in runs)
    return "\n".join(
        [
            *told,
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
    config, grids, direction = shown.config, shown.grids, shown.direction
    own = f", renoise={literal(config.renoise)}" if config.sampler == "renoise" else ""
    points = {n: (grids[n].times, *_how(shown, n)) for n in sorted(grids)}
    drawn = (
        f"draw = cm.sample(\n    model, {shown.particles}, {config.steps}, seed={shown.seed}, sampler="
        f"{literal(config.sampler)}, grid=cm.TimeGrid(POINTS[{config.steps}][0]){own}\n)\nprint(draw.points[:3])"
    )
    called = (
        f"found = measured(\n    model, model.target, POINTS, sampler={literal(config.sampler)}, "
        f"direction={literal(direction)}{own}\n)"
    )
    return [
        NotebookCell("What is needed: this lab, installed or on the path.", _IMPORTS),
        *_models([shown.run]),
        NotebookCell(
            "By N: the times of the jumps, the seed, and n (None: the estimator’s own).",
            _points("POINTS = ", points),
        ),
        NotebookCell("The samples on the stage: where each noise is taken.", drawn),
        NotebookCell(
            f"{direction.replace('‖', ' ∥ ')} at δ = {config.delta:g} by network calls.", f"{_MEASURED}\n\n\n{called}"
        ),
        NotebookCell(
            "The page’s own numbers, and how far these are from them.",
            _compared({"": _values(shown.estimates)}, "found"),
        ),
        NotebookCell("A picture of it.", _PICTURE),
    ]


def _how(shown: Shown, n: int) -> tuple[int, int | None]:
    """The seed and n of the page's number at N."""
    config = shown.config
    question = question_of(config, shown.direction, config.sampler, n)
    named = shown.grids[n] == question.times()
    return how_measured(shown.run, question) if named else (SEED, landings(question))


def _points(before: str, points: Mapping[int, tuple[object, ...]]) -> str:
    return f"{before}{{\n" + "\n".join(f"    {n}: {literal(point)}," for n, point in points.items()) + "\n}"


_IMPORTS = """from pathlib import Path

import cmcore as cm
from cmcore.measure import kl_points

HERE = Path(__file__).parent if "__file__" in globals() else Path()"""

_PICTURE = """import plotly.express as px

px.line(x=list(found), y=[e.value for e in found.values()], log_x=True, log_y=True, markers=True,
        labels={"x": "network calls", "y": "KL, nats"})"""


def _values(estimates: Mapping[int, Estimate]) -> dict[int, tuple[float, float, float]]:
    told = {n: (e.value, e.low, e.high) for n, e in sorted(estimates.items()) if e.trusted}
    return {n: values for n, values in told.items() if all(map(isfinite, values))}


def _compared(page: Mapping[str, Mapping[int, tuple[float, float, float]]], found: str) -> str:
    """Lines that hold what the page showed against what was computed now, curve by curve."""
    listed = "\n".join(f"    {literal(label)}: {literal(values)}," for label, values in page.items())
    return (
        f"PAGE = {{\n{listed}\n}}\n"
        "for label, told in PAGE.items():\n"
        "    for n, (value, low, high) in told.items():\n"
        f"        e = {found}[n]\n"
        "        apart = max(abs(e.value - value), abs(e.low - low), abs(e.high - high)) / max(abs(value), 1e-12)\n"
        '        print(f"{label} N = {n}: {apart:.1e} apart, relative to the page".strip())'
    )


# ---- KL ---------------------------------------------------------------------------------------------------------
def curves_cells(view: View, curves: Sequence[Asked]) -> list[NotebookCell]:
    """Every curve of the view, on runs that are loaded or trained again."""
    runs = list({curve.run.key: curve.run for curve in curves}.values())
    alone = len(runs) == 1
    lines, page = [_MEASURED, "", "", "curves = {}"], {}
    for curve in curves:
        lines.append(_curve(curve, "model" if alone else _name(curve.run)))
        known = {q.calls: point.estimate for q in curve.questions if (point := known_point(curve.run, q))}
        page[curve.label] = _values(known)
    told = view.direction.replace("‖", " ∥ ")
    words = f"{told} at δ = {view.delta:g} by network calls; the times are those of the jumps."
    return [
        NotebookCell("What is needed: this lab, installed or on the path.", _IMPORTS),
        *_models(runs),
        NotebookCell(words, "\n".join(lines)),
        NotebookCell("The page’s own numbers, and how far these are from them.", _compared(page, "curves[label]")),
    ]


_MEASURED = """def measured(source, target, points, **choices):
    found = {}
    for calls, (times, seed, n) in points.items():
        grid = cm.TimeGrid(times)
        e = found[calls] = next(kl_points(source, target, [calls], grid=grid, seed=seed, n=n, **choices)).estimate
        interval = f"95 % interval [{e.low!r}, {e.high!r}]"
        print(f"N = {calls}: {e.value!r} nats, {interval}, {e.estimator}, floor {e.floor!r}")
    return found"""


def _curve(curve: Asked, model: str) -> str:
    """The lines that measure one curve."""
    first = curve.questions[0]
    learned = curve.learned or first.score == "model"
    choices = {"sampler": first.sampler, "direction": first.direction}
    choices |= {"renoise": first.renoise} if first.sampler == "renoise" else {}
    choices |= {} if curve.learned else {"score": first.score}
    points = {q.calls: (q.times().times, *how_measured(curve.run, q)) for q in curve.questions}
    source = model if learned else f"{model}.target"
    settings = ", ".join(keywords(choices))
    return (
        f"print({literal(curve.label)})\n"
        f"curves[{literal(curve.label)}] = measured({source}, {model}.target, {_points('', points)}, {settings})"
    )


# ---- the runs ---------------------------------------------------------------------------------------------------
def _name(run: Run) -> str:
    return "model_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in run.key)


def _models(runs: Sequence[Run]) -> list[NotebookCell]:
    """Loading each run, or training it again exactly as it was: the same config, as many steps, as many threads."""
    cells = [
        NotebookCell(
            "Training again, where a run was not exported: as many steps, threads and seeds as then.", _TRAINED
        )
    ]
    for run in runs:
        config = run.model.config
        if config.steps is None:  # it was stopped before its budget in seconds had become steps
            config = config.model_copy(update={"steps": run.model.steps})
        name = "model" if len(runs) == 1 else _name(run)
        if run.target.config is None:
            words = f"Export {zip_name(run)} and put it beside this file: it carries its target."
            again = f"    raise SystemExit({literal(words)})"
        else:
            again = f"    {name} = trained({target_code(run)}, CONFIG, steps={run.model.steps})"
        code = (
            f"CONFIG = cm.TrainingConfig.model_validate({literal(config.model_dump(mode='json'))})\n"
            f"exported = HERE / {literal(zip_name(run))}\n"
            f"if exported.exists():\n    {name} = cm.load(exported)\nelse:\n{again}"
        )
        cells.append(NotebookCell(f"The run {run.label}.", code))
    return cells


_TRAINED = """def trained(target, config, *, steps):
    for event in cm.training(target, config):
        if event.step >= steps:
            break
    return event.model()"""
