"""The code that made a chart: a few lines that compute the same numbers without the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import cmcore as cm
from app.export.templates import program
from app.kl.curves import RunCurve, View
from app.kl.question import BOUND_POINTS, LANDINGS, SEED, Question, how_measured
from app.quoting import Code, call, one_line
from app.runs.library import SHIPPED, Run
from app.stage.scene import STEPS, grids_of
from cmcore.config import SamplerConfig, TrainingConfig
from cmcore.divergences.estimate import Direction
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import parameters_of
from cmcore.samplers import SAMPLERS
from cmcore.targets import REAL_TABLES, Empirical, TableTarget
from cmcore.training_defaults import resolved


def snippet(run: Run, config: SamplerConfig, direction: Direction) -> str:
    """Python that computes the curve on screen, or the one estimate at moved times."""
    moved = config.times is not None
    grid = grids_of(config, {config.steps: config.times[1:-1]} if config.times else None)[config.steps]
    seed, n = how_measured(run, Question(config.sampler, config.steps, grid, direction, config.renoise))
    times = {"grid": call("cm.TimeGrid", [config.times], {})} if moved else {"grid": config.grid, "delta": config.delta}
    choices = {"sampler": config.sampler, **times}
    choices |= {"renoise": config.renoise} if SAMPLERS[config.sampler].share_of else {}
    choices |= {"n": n} if n else {}
    choices |= {"direction": direction, "seed": seed}
    steps = [config.steps] if moved else list(STEPS)
    model = model_of(run)
    return program("export/templates/snippet.py.jinja", model=model, at_times=moved, steps=steps, choices=choices)


def curves_snippet(view: View, curves: Sequence[RunCurve]) -> str:
    """Python that computes the curves of KL, and the bounds with their parts where they are drawn."""
    fixed, choices = view.step is None, {"direction": view.direction, "seed": SEED}
    one_delta = len({curve.delta for curve in curves}) == 1
    choices = {"delta": curves[0].delta, **choices} if one_delta else choices
    bound = {"seed": SEED, "sampler": view.sampler, "renoise": view.renoise, "n": BOUND_POINTS}
    runs = {curve.run.key: curve.run for curve in curves}.values()
    return program(
        "export/templates/curves.py.jinja",
        runs=[
            (model_of(run), [_curve(view, curve, own_delta=not one_delta) for curve in curves if curve.run is run])
            for run in runs
        ],
        choices={"grid": view.grid, "horizon": view.horizon, **choices} if fixed else choices,
        grid=view.grid,
        horizon=view.horizon,
        step=view.step,
        bounded=bound if view.bounded else None,
        landings=LANDINGS,
    )


def _curve(view: View, curve: RunCurve, *, own_delta: bool) -> dict[str, Any]:
    """One curve of the model at hand."""
    kind = curve.questions[0].kind
    own: dict[str, Any] = {"sampler": kind.name}
    own |= {"renoise": view.renoise} if kind.share_of else {}
    own |= {"n": LANDINGS} if kind.noisy else {}
    own |= {} if curve.learned else {"score": view.score}
    own |= {"delta": curve.delta} if own_delta else {}
    return {
        "label": curve.label,
        "delta": curve.delta,
        "steps": [question.calls for question in curve.questions],
        "own": own,
        "calls_per_jump": kind.calls_per_jump,
        "bounded": curve.learned and view.bounded,
    }


# ---- the model --------------------------------------------------------------------------------------------------
def model_of(run: Run) -> Mapping[str, Any]:
    """How the run came about: the folder of a shipped one, or its target and its training as far as it was chosen."""
    if run.shipped:
        return {"folder": f"{SHIPPED.parent.name}/{SHIPPED.name}/{run.key}"}
    config = run.model.config
    training = config.model_dump(exclude_defaults=True, exclude={"network", "seconds", "objective_parameters"})
    filled = _filled_in(config, run.target)
    training = {name: value for name, value in training.items() if filled.get(name) != value}
    kind = OBJECTIVES.get(config.objective)
    defaults = {parameter.name: parameter.default for parameter in parameters_of(kind)} if kind else {}
    chosen = config.objective_parameters.items()
    parameters = {name: value for name, value in chosen if name not in defaults or defaults[name] != value}
    training |= {"objective_parameters": parameters} if parameters else {}
    network = config.network.model_dump(exclude_defaults=True, exclude={"second_time"})  # which the objective decides
    training |= {"network": network} if network else {}
    return {"folder": "", "target": target_code(run), "training": training}


def _filled_in(config: TrainingConfig, target: cm.Target) -> dict[str, Any]:
    """What the engine decides by itself where nothing is said: the same again need not be written."""
    left_open = {name for name, field in TrainingConfig.model_fields.items() if field.default is None}
    left_open -= {"steps", "seconds"}
    try:
        filled = resolved(TrainingConfig(**{**config.model_dump(), **dict.fromkeys(left_open)}), target)
    except ValueError:
        return {}
    return {name: getattr(filled, name) for name in left_open}


def target_code(run: Run) -> Code:
    """The call that makes the target."""
    target = run.target
    if isinstance(target, TableTarget) and target.config is None:
        return _table_code(run.label, target)
    if target.config is None:
        return Code(f"...  # {one_line(target.name)}, which the page was given")
    return call("cm.make_target", [target.config.name], target.config.parameters)


def _table_code(label: str, table: TableTarget) -> Code:
    """The call that reads a table; the bandwidth is that of its kernels, whether it was chosen or found."""
    law: dict[str, Any] = {"density": "gaussian_mixture"}
    if isinstance(table.law, Empirical):
        law = {"density": "kernel_density", "bandwidth": table.law.bandwidth}
    if table.name in REAL_TABLES and not label.startswith(f"{table.name}."):
        return call("cm.real_table", [table.name], {"dim": table.dim, **law})
    return call("cm.read_table", [label, list(table.columns)], law)
