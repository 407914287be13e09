"""Runs that differ in their seed alone, drawn as one curve: the median over seeds, in a band from lowest to highest."""

import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from app.figures.kl_curve import Line, Point
from app.kl.curves import RunCurve
from app.runs.run import Run
from app.ui.cards import number

OF_SEED = {"seed", "threads", "device", "matmul_dtype"}
"""Settings of a training in which its seeds may differ."""
OF_CLOCK = {"steps", "hold", "earlier"}
"""What a budget in seconds settles, run by run; of a run that was continued the earlier plans count."""


def training_key(run: Run) -> Hashable:
    """Equal for two runs that were trained alike but for the seed."""
    config = run.model.config
    continued = any(plan.continued for plan in config.earlier)
    left_out = OF_SEED | OF_CLOCK if config.seconds is not None and not continued else OF_SEED
    return run.target_key, config.model_dump_json(exclude=left_out)


def groups_of_seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in their seed alone stand together, each group where its first run was."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(training_key(run), []).append(run)
    return list(groups.values())


def over_seeds(drawn: Sequence[Line], curves: Sequence[RunCurve]) -> list[Line]:
    """The lines with those of several seeds as one; bounds of single runs stay, those of many would say nothing."""
    runs = {curve.number: curve.run for curve in curves if curve.learned}
    keys = {run_number: training_key(run) for run_number, run in runs.items()}
    together = {key: [k for k in keys if keys[k] == key] for key in dict.fromkeys(keys.values())}
    merged = {numbers[0]: numbers for numbers in together.values() if len(numbers) > 1}
    inside = {k for numbers in merged.values() for k in numbers}
    lines: list[Line] = []
    for line in drawn:
        if line.role == "baseline" or line.number not in inside:
            lines.append(line)
        elif line.role == "model" and line.number in merged:
            of_group = {one.number: one for one in drawn if one.role == "model" and one.number in merged[line.number]}
            lines.append(_median(line, list(of_group.values()), runs))
    return lines


def _median(first: Line, lines: Sequence[Line], runs: Mapping[int, Run]) -> Line:
    """One line for several: what no seed lacks."""
    by_calls = [{point.calls: point for point in line.points} for line in lines]
    shared = sorted(set.intersection(*(set(points) for points in by_calls)))
    points = tuple(_over([points[calls] for points in by_calls]) for calls in shared)
    label = f"{without_seed(first.label, runs[first.number])}, {len(lines)} seeds"
    return replace(first, label=label.removeprefix(", "), points=points)


def _over(points: Sequence[Point]) -> Point:
    values = [point.value for point in points]
    widest = max(points, key=lambda point: point.high - point.low)
    about = (
        f"median of {len(points)} training seeds, band from the lowest to the highest\n"
        f"widest 95 % interval of one: {number(widest.low, 2)} … {number(widest.high, 2)}"
    )
    value, floor = statistics.median(values), max(point.floor for point in points)
    return replace(points[0], value=value, low=min(values), high=max(values), floor=floor, about=about)


def without_seed(label: str, run: Run) -> str:
    """A run's name without what its seeds do not share."""
    own = f"seed {run.model.config.seed}", f"{run.model.steps:,} steps"
    return ", ".join(part for part in label.split(", ") if part not in own)
