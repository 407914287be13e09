"""Any runs together: the one way in which all of them are measured, and their losses laid over each other."""

import math
import statistics
from collections.abc import Mapping, Sequence

import streamlit as st

from app.figures.theme import theme
from app.figures.training_curves import TrainingCurve, describe_curves, training_curves
from app.kl.curves import MOST, View, least_delta
from app.kl.seeds import groups_of_seeds, without_seed
from app.runs.names import short_names
from app.runs.run import Run
from app.ui.charts import show_chart
from app.ui.single_choice import single_choice
from cmcore.config import USUAL_GRID
from cmcore.sampling_defaults import delta_for, direction_for, sampling_defaults

MEASURES = {"Loss": 1, "One-jump error (RMS)": 2}
"""What was reported while a run was trained, and its place in the history."""
MOST_POINTS = 300


def view_of(runs: Sequence[Run], *, seeds: bool = False) -> View:
    """One question for all: deterministic jumps, or renoised ones where no run learned anything else."""
    renoised = all(sampling_defaults(run.model.config).sampler == "renoise" for run in runs)
    sampler = "renoise" if renoised else "deterministic"
    return View(
        tuple(run.key for run in runs), (), "exact", sampler, 1.0 if renoised else 0.5, USUAL_GRID,
        min(run.model.horizon for run in runs), None, delta_for(sampler, least_delta(runs)), direction_for(sampler),
        MOST[0], ("bands", "floors", "seeds") if seeds else ("bands", "floors"),
    )  # fmt: skip


def training_charts(runs: Sequence[Run], *, seeds: bool, key: str) -> None:
    """What was reported of each run, in the colours and dashes of its KL curve."""
    measure = single_choice("Reported", list(MEASURES), key=f"{key}_measure")
    curves = training_curves_of(runs, MEASURES[measure], seeds=seeds)
    if not curves:
        st.caption("These runs came without a history of their training.")
        return
    show_chart(
        training_curves(curves, measure, theme=theme(st.context.theme.type)),
        key=f"{key}_chart",
        alt=describe_curves(curves, measure),
    )
    if measure == "Loss" and len({run.model.config.objective for run in runs}) > 1:
        st.caption("Losses of different objectives measure different things: compare when they level off, not where.")


def training_curves_of(runs: Sequence[Run], place: int, *, seeds: bool) -> list[TrainingCurve]:
    """The history of each run, or of each group of seeds."""
    names = short_names(runs)
    numbers = {run.key: number for number, run in enumerate(runs)}
    groups = groups_of_seeds(runs) if seeds else [[run] for run in runs]
    curves = [_of_group(group, place, names, numbers) for group in groups]
    return [curve for curve in curves if curve.points]


def _of_group(group: Sequence[Run], place: int, names: Mapping[str, str], numbers: Mapping[str, int]) -> TrainingCurve:
    first = group[0]
    histories = [
        {report[0]: report[place] for report in run.model.history if math.isfinite(report[place])} for run in group
    ]
    steps = sorted(set.intersection(*(set(history) for history in histories)))
    steps = steps[:: max(1, -(-len(steps) // MOST_POINTS))]
    values = {step: [history[step] for history in histories] for step in steps}
    points = tuple((step, statistics.median(of)) for step, of in values.items())
    if len(group) == 1:
        return TrainingCurve(names[first.key], numbers[first.key], points)
    label = f"{without_seed(names[first.key], first)}, {len(group)} seeds".removeprefix(", ")
    band = tuple((step, min(of), max(of)) for step, of in values.items())
    return TrainingCurve(label, numbers[first.key], points, band)
