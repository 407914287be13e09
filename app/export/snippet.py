"""The code that made a chart: a few lines that compute the same numbers without the page."""

from collections.abc import Sequence
from typing import Any

import cmcore as cm
from app.kl.comparison import Asked, View
from app.kl.curve import question_of
from app.kl.question import BOUND_POINTS, LANDINGS, SEED, how_measured, landings
from app.quoting import keywords, literal, one_line
from app.runs.library import SHIPPED, Run
from app.stage.scene import STEPS
from cmcore.config import SamplerConfig, TrainingConfig
from cmcore.divergences.estimate import Direction
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import parameters_of
from cmcore.targets import REAL_TABLES, Empirical, TableTarget
from cmcore.training_run import resolved


def snippet(run: Run, config: SamplerConfig, direction: Direction) -> str:
    """Python that computes the curve on screen."""
    question = question_of(config, direction, config.sampler, config.steps)
    named = config.times is None
    seed, n = how_measured(run, question)[:2] if named else (SEED, landings(question))
    choices = [
        *keywords({"sampler": config.sampler}),
        *(
            keywords({"grid": config.grid, "delta": config.delta})
            if config.times is None
            else [f"grid=cm.TimeGrid({literal(config.times)})"]
        ),
        *keywords({"renoise": config.renoise} if config.sampler == "renoise" else {}),
        *keywords({**({"n": n} if n else {}), "direction": direction, "seed": seed}),
    ]
    if not named:
        return _at_times(run, config.steps, choices)
    return "\n".join(
        [
            "import cmcore as cm",
            "",
            *model_code(run),
            "curve = cm.kl_versus_steps(",
            f"    model, model.target, steps={list(STEPS)},",
            *(f"    {choice}," for choice in choices),
            ")",
            "print(curve.to_frame())",
        ]
    )


def _at_times(run: Run, steps: int, choices: list[str]) -> str:
    """The one estimate at moved times."""
    return "\n".join(
        [
            "import cmcore as cm",
            "from cmcore.measure import kl_points",
            "",
            *model_code(run),
            "points = kl_points(",
            f"    model, model.target, [{steps}],",
            *(f"    {choice}," for choice in choices),
            ")",
            "print(next(points).estimate)",
        ]
    )


def curves_snippet(view: View, curves: Sequence[Asked]) -> str:
    """Python that computes the curves of KL, and Bound A with its parts where it is drawn."""
    shared = {"delta": view.delta, "direction": view.direction, "seed": SEED}
    if view.step is None:
        shared = {"grid": view.grid, "horizon": view.horizon, **shared}
    lines = ["import cmcore as cm"]
    if view.step is not None:
        lines += ["from cmcore.measure import kl_points", "from cmcore.grids import growing_horizon"]
    if view.bounded:
        lines += ["from cmcore.theory import decomposition"]
    lines += ["", f"choices = {literal(shared)}", "curves = {}"]
    for run in {curve.run.key: curve.run for curve in curves}.values():
        lines += ["", *model_code(run)]
        for curve in (curve for curve in curves if curve.run is run):
            lines += _curve(view, curve)
    return "\n".join(lines)


def _curve(view: View, curve: Asked) -> list[str]:
    """The lines for one curve of the model at hand."""
    sampler, steps = curve.questions[0].sampler, [question.calls for question in curve.questions]
    own: dict[str, Any] = {"sampler": sampler}
    own |= {"renoise": view.renoise} if sampler == "renoise" else {}
    own |= {"n": LANDINGS} if curve.questions[0].kind.noisy else {}
    own |= {} if curve.learned else {"score": view.score}
    name, settings = f"curves[{literal(curve.label)}]", ", ".join(keywords(own))
    growing = {"step": view.step, "delta": view.delta}
    if view.step is None:
        lines = [f"{name} = cm.kl_versus_steps(model, model.target, {steps}, {settings}, **choices)"]
        lines.append(f"print({name}.to_frame())")
    else:
        jumps = f"n // {curve.questions[0].kind.calls_per_jump}"
        grid = f"grid=growing_horizon({jumps}, {', '.join(keywords(growing))})"
        point = f"next(kl_points(model, model.target, [n], {settings}, {grid}, **choices))"
        lines = [f"{name} = [", f"    {point}", f"    for n in {steps}", "]"]
    if curve.learned and view.bounded:
        times = ", ".join(keywords({"horizon": view.horizon, "delta": view.delta} if view.step is None else growing))
        grid = (
            f"cm.make_grid({literal(view.grid)}, n, {times})" if view.step is None else f"growing_horizon(n, {times})"
        )
        settings = f"seed={SEED}, renoise={literal(view.renoise)}, n={BOUND_POINTS}, landings={LANDINGS}"
        lines += [
            f"for n in {steps}:",
            f"    print(decomposition(model, model.target, {grid}, {settings}))",
        ]
    return lines


def model_code(run: Run) -> list[str]:
    """The lines that make the model: how the run came about: a shipped folder, or a target and its training."""
    if run.shipped:
        return [f"model = cm.load({literal(f'{SHIPPED.parent.name}/{SHIPPED.name}/{run.key}')})"]
    config = run.model.config
    trained = config.model_dump(exclude_defaults=True, exclude={"network", "seconds"})
    filled = _filled_in(config, run.target)
    trained = {name: value for name, value in trained.items() if filled.get(name) != value}
    kind = OBJECTIVES.get(config.objective)
    defaults = {parameter.name: parameter.default for parameter in parameters_of(kind)} if kind else {}
    told = config.objective_parameters.items()
    parameters = {name: value for name, value in told if name not in defaults or defaults[name] != value}
    trained.pop("objective_parameters", None)
    trained |= {"objective_parameters": parameters} if parameters else {}
    network = config.network.model_dump(exclude_defaults=True, exclude={"second_time"})  # which the objective decides
    trained |= {"network": network} if network else {}
    settings = (f"    {setting}," for setting in keywords(trained))
    return [f"target = {target_code(run)}", "model = cm.train(", "    target,", *settings, ")"]


def _filled_in(config: TrainingConfig, target: cm.Target) -> dict[str, Any]:
    """What the engine decides by itself where nothing is said: the same again need not be written."""
    left_open = {name for name, field in TrainingConfig.model_fields.items() if field.default is None}
    left_open -= {"steps", "seconds"}
    try:
        filled = resolved(TrainingConfig(**{**config.model_dump(), **dict.fromkeys(left_open)}), target)
    except ValueError:
        return {}
    return {name: getattr(filled, name) for name in left_open}


def target_code(run: Run) -> str:
    """The call that makes the target."""
    target = run.target
    if isinstance(target, TableTarget) and target.config is None:
        return _table_code(run.label, target)
    made = target.config
    if made is None:
        return f"...  # {one_line(target.name)}, which the page was given"
    return f"cm.make_target({', '.join([literal(made.name), *keywords(made.parameters)])})"


def _table_code(label: str, table: TableTarget) -> str:
    """The call that reads a table; the bandwidth is that of its kernels, whether it was chosen or found."""
    told: dict[str, Any] = {"density": "gaussian_mixture"}
    if isinstance(table.law, Empirical):
        told = {"density": "kernel_density", "bandwidth": table.law.bandwidth}
    settings = ", ".join(keywords(told))
    if table.name in REAL_TABLES and not label.startswith(f"{table.name}."):
        return f"cm.real_table({literal(table.name)}, dim={table.dim}, {settings})"
    return f"cm.read_table({literal(label)}, {literal(list(table.columns))}, {settings})"
