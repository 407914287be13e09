"""The view on screen as a program: it loads the exported run, or trains it again, and prints the page's own numbers."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from math import isfinite

import torch

from app.about_run import learned_by
from app.curves import Asked, View
from app.estimates import LANDINGS, SEED, known_point
from app.runs import Run
from app.scene import STEPS, Grids
from app.snippet import target_code
from app.takeaway.cells import Cell
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction, Estimate

__all__ = ["about", "curves_cells", "explore_cells", "title", "zip_name"]


def zip_name(run: Run) -> str:
    """The file that a run is exported as, and that its program looks for."""
    return f"{run.key}.zip"


def title(runs: Sequence[Run]) -> str:
    return f"Consistency Lab: {', '.join(run.label for run in runs)}"


def about(runs: Sequence[Run]) -> str:
    """How each run came about, with the steps and threads that were executed, and what made this file."""
    told = []
    for run in runs:
        model, threads = run.model, run.model.config.threads
        counted = f"{threads} thread{'s' * (threads != 1)}" if threads else "threads not recorded"
        told.append(
            f"{run.label}: {learned_by(model.config)}, seed {model.config.seed}; {model.steps:,} steps in "
            f"{model.seconds:.1f} s on {model.device}, {counted}; {model.status}."
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
def explore_cells(
    run: Run,
    config: SamplerConfig,
    grids: Grids,
    direction: Direction,
    shown: Mapping[int, Estimate],
    *,
    seed: int,
    particles: int,
) -> list[Cell]:
    """The draw on the stage and the KL at every N.

    Args:
        run: the run on show.
        config: how it is drawn, N among it.
        grids: the times by N, moved ones too.
        direction: which divergence.
        shown: the estimates on the page, by N.
        seed: of the noise on the stage.
        particles: how many are on the stage.
    """
    own = f", renoise={config.renoise!r}" if config.sampler == "renoise" else ""
    landings = f", n={LANDINGS}" if config.sampler == "renoise" else ""
    times = {n: grid.times for n, grid in grids.items() if n in STEPS}
    drawn = (
        f"draw = cm.sample(\n    model, {particles}, {config.steps}, seed={seed}, sampler={config.sampler!r}, "
        f"grid=TIMES[{config.steps}]{own}\n)\nprint(draw.points[:3])"
    )
    measured = (
        "found = {}\n"
        "for n, grid in TIMES.items():\n"
        f"    point = next(kl_points(\n        model, model.target, [n], seed={SEED}, sampler={config.sampler!r}, grid=grid"
        f"{own}{landings}, direction={direction!r}\n    ))\n"
        "    found[n] = point.estimate\n"
        "    e = point.estimate\n"
        '    print(f"N = {n}: {e.value!r} nats, 95 % interval [{e.low!r}, {e.high!r}], {e.estimator}, floor {e.floor!r}")'
    )
    listed = "\n".join(f"    {n}: cm.TimeGrid({tuple(grid)!r})," for n, grid in sorted(times.items()))
    return [
        Cell("What is needed: this lab, installed or on the path.", _IMPORTS),
        *_models([run]),
        Cell("The times of the jumps, by N.", f"TIMES = {{\n{listed}\n}}"),
        Cell("The samples on the stage: where each noise is taken.", drawn),
        Cell(f"{direction.replace('‖', ' ∥ ')} at δ = {config.delta:g} by network calls.", measured),
        Cell("The page’s own numbers, and how far these are from them.", _compared(_values(shown))),
        Cell("A picture of it.", _PICTURE),
    ]


_IMPORTS = """from pathlib import Path

import torch

import cmcore as cm
from cmcore.experiments import kl_points

torch.set_num_threads(1)
HERE = Path(__file__).parent if "__file__" in globals() else Path()"""

_PICTURE = """import plotly.express as px

px.line(x=list(found), y=[e.value for e in found.values()], log_x=True, log_y=True, markers=True,
        labels={"x": "network calls", "y": "KL, nats"})"""


def _values(shown: Mapping[int, Estimate]) -> dict[int, tuple[float, float, float]]:
    told = {n: (e.value, e.low, e.high) for n, e in sorted(shown.items()) if e.trusted}
    return {n: values for n, values in told.items() if all(map(isfinite, values))}


def _compared(page: Mapping[int, tuple[float, float, float]]) -> str:
    listed = "\n".join(f"    {n}: {values!r}," for n, values in page.items())
    return (
        f"PAGE = {{\n{listed}\n}}\n"
        "for n, told in PAGE.items():\n"
        "    again = found[n].value, found[n].low, found[n].high\n"
        "    apart = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(again, told))\n"
        '    print(f"N = {n}: {apart:.1e} apart, relative to the page")'
    )


# ---- KL ---------------------------------------------------------------------------------------------------------
def curves_cells(view: View, curves: Sequence[Asked]) -> list[Cell]:
    """Every curve of the view, on runs that are loaded or trained again."""
    runs = list({curve.run.key: curve.run for curve in curves}.values())
    alone = len(runs) == 1
    lines, page = [_MEASURED, "", "", "curves = {}"], {}
    for curve in curves:
        lines.append(_curve(curve, "model" if alone else _name(curve.run)))
        known = {q.calls: point.estimate for q in curve.questions if (point := known_point(curve.run, q))}
        page[curve.label] = _values(known)
    listed = "\n".join(f"    {label!r}: {values!r}," for label, values in page.items())
    compared = (
        f"PAGE = {{\n{listed}\n}}\n"
        "for label, told in PAGE.items():\n"
        "    for n, (value, low, high) in told.items():\n"
        "        e = curves[label][n]\n"
        "        apart = max(abs(e.value - value), abs(e.low - low), abs(e.high - high)) / max(abs(value), 1e-12)\n"
        '        print(f"{label}, N = {n}: {apart:.1e} apart, relative to the page")'
    )
    words = f"{view.direction.replace('‖', ' ∥ ')} at δ = {view.delta:g} by network calls; the times are those of the jumps."
    return [
        Cell("What is needed: this lab, installed or on the path.", _IMPORTS),
        *_models(runs),
        Cell(words, "\n".join(lines)),
        Cell("The page’s own numbers, and how far these are from them.", compared),
    ]


_MEASURED = f"""def measured(source, target, times, **choices):
    found = {{}}
    for n, grid in times.items():
        e = found[n] = next(kl_points(source, target, [n], grid=cm.TimeGrid(grid), seed={SEED}, **choices)).estimate
        print(f"N = {{n}}: {{e.value!r}} nats, 95 % interval [{{e.low!r}}, {{e.high!r}}], {{e.estimator}}, floor {{e.floor!r}}")
    return found"""


def _curve(curve: Asked, model: str) -> str:
    """The lines that measure one curve."""
    first = curve.questions[0]
    learned = curve.learned or first.score == "model"
    choices = {"sampler": first.sampler, "direction": first.direction}
    choices |= {"renoise": first.renoise} if first.sampler == "renoise" else {}
    choices |= {} if curve.learned else {"score": first.score}
    choices |= {"n": LANDINGS} if first.kind.noisy else {}
    times = "\n".join(f"    {question.calls}: {question.times().times!r}," for question in curve.questions)
    source = model if learned else f"{model}.target"
    settings = ", ".join(f"{name}={value!r}" for name, value in choices.items())
    return (
        f"print({curve.label!r})\n"
        f"curves[{curve.label!r}] = measured({source}, {model}.target, {{\n{times}\n}}, {settings})"
    )


# ---- the runs ---------------------------------------------------------------------------------------------------
def _name(run: Run) -> str:
    return "model_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in run.key)


def _models(runs: Sequence[Run]) -> list[Cell]:
    """Loading each run, or training it again exactly as it was: the same config, as many steps, as many threads."""
    cells = [Cell("Training again, where a run was not exported: as many steps, threads and seeds as then.", _TRAINED)]
    for run in runs:
        config = run.model.config
        if config.steps is None:  # it was stopped before its budget in seconds had become steps
            config = config.model_copy(update={"steps": run.model.steps})
        name = "model" if len(runs) == 1 else _name(run)
        if run.target.config is None:
            again = (
                f'    raise SystemExit("Export {zip_name(run)} and put it beside this file: it carries its target.")'
            )
        else:
            again = f"    {name} = trained({target_code(run)}, CONFIG, steps={run.model.steps})"
        code = (
            f"CONFIG = cm.TrainingConfig.model_validate({config.model_dump(mode='json')!r})\n"
            f"exported = HERE / {zip_name(run)!r}\n"
            f"if exported.exists():\n    {name} = cm.load(exported)\nelse:\n{again}"
        )
        cells.append(Cell(f"The run {run.label}.".replace("\n", " "), code))
    return cells


_TRAINED = """def trained(target, config, *, steps):
    for event in cm.training(target, config):
        if event.step >= steps:
            break
    return event.model()"""
