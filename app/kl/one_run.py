"""The KL of one run drawn as on Explore: its curve, what moved times make of it, baselines and Bound A."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from app.background.jobs import JobView
from app.background.pools import measuring_workers
from app.background.task import Report, Task
from app.kl.curves import RunCurve, View, curves_key, curves_of, measure_curves
from app.kl.question import SEED, Question, problem, quick_estimate
from app.runs.library import Run
from app.stage.custom_times import ChosenTimes, fitting
from app.stage.scene import STEPS, grids_of
from cmcore.config import SamplerConfig
from cmcore.divergences import kl_to_noised
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.theory import initialisation_kl

TASK: Task[None] = Task("kl", measuring_workers, lease=8.0)
"""A page that comes back after its lease measures on where it was."""
BASELINES = ("ddim", "heun")
"""Samplers that take steps with the exact score: nothing learned."""
FURTHEST = 32
"""Calls up to which the baselines are measured."""
MOVED = "moved times"
"""What a curve of moved times is called."""


@dataclass(frozen=True)
class RunKL:
    """What is measured of one run with one sampler in one direction.

    Attributes:
        run: which.
        view: the same as the page KL would have it.
        curves: with the named grid, at moved times where there are some, and of the baselines.
        on_grid: estimates by N with the named grid.
        estimates: by N, with moved times where there are some.
        bound: Bound A by N, where it applies and no times were moved.
        ddim: KL of exact-score DDIM by calls.
        first: the question of the N on screen.
        quick: its estimate from few samples, until its own is there.
        problem: why it has none; empty where it has, or nobody measured it.
        to_measure: the curves without the moved times of other N, which are measured when they are on screen.
    """

    run: Run
    view: View
    curves: tuple[RunCurve, ...]
    on_grid: Mapping[int, Estimate]
    estimates: Mapping[int, Estimate]
    bound: Mapping[int, float]
    ddim: Mapping[int, float]
    first: Question
    quick: Estimate | None
    problem: str
    to_measure: tuple[RunCurve, ...]


def kl_of_run(run: Run, config: SamplerConfig, direction: Direction, times: ChosenTimes | None = None) -> RunKL:
    """What is measured so far; the N of `config` is on screen, and `times` are those that were moved, by N."""
    times, n = fitting(times, config), config.steps
    view = View(
        (run.key,), BASELINES, "exact", config.sampler, config.renoise, config.grid, config.horizon, None, config.delta,
        direction, max(STEPS), further=FURTHEST,
    )  # fmt: skip
    named, *baselines = curves_of(view, {run.key: run})
    named = replace(named, label="learned map")
    baselines = [replace(curve, label=curve.questions[0].kind.label.split(",")[0]) for curve in baselines]
    grids = grids_of(config, times)
    by_hand = {k: Question(config.sampler, k, grids[k], direction, config.renoise) for k in sorted(times)}
    questions = {question.calls: question for question in named.questions} | by_hand
    estimates, first = RunCurve("", run, tuple(questions.values())).estimates, questions[n]
    return RunKL(
        run,
        view,
        (named, *([RunCurve(MOVED, run, tuple(by_hand.values()))] if times else []), *baselines),
        named.estimates,
        estimates,
        {k: part.bound_a.total.value for k, part in named.bounds.items() if k not in times} if view.bounded else {},
        {calls: estimate.value for calls, estimate in baselines[0].estimates.items() if estimate.trusted},
        first,
        None if n in estimates else quick_estimate(run, first),
        problem(run, first),
        (named, *([RunCurve(MOVED, run, (first,))] if n in times else []), *baselines),
    )


def beside(kl: RunKL, other: RunKL, names: Sequence[str]) -> RunKL:
    """The first with the learned curves of the other beside its own, by their names, in one chart and one measuring."""
    parts = ((kl, {"number": 0}), (other, {"number": 1, "bounded": False}))

    def joined(curves_in: Callable[[RunKL], Iterable[RunCurve]]) -> tuple[RunCurve, ...]:
        learned = [
            replace(curve, label=f"{name}, {MOVED}" if curve.label == MOVED else name, **looks)
            for (part, looks), name in zip(parts, names, strict=True)
            for curve in curves_in(part)
            if curve.learned
        ]
        return (*learned, *(curve for curve in curves_in(kl) if not curve.learned))

    return replace(kl, curves=joined(lambda part: part.curves), to_measure=joined(lambda part: part.to_measure))


def measure_run(kl: RunKL) -> JobView[Report[None]] | None:
    """The measuring of what is missing, begun now if need be; None once all is there."""
    return measure_curves(TASK, kl.to_measure, bounded=kl.view.bounded, first=kl.first)


def end_others(kl: RunKL) -> None:
    """End what is being measured for another question than this one: the picture needs the cores."""
    TASK.end(but=curves_key(kl.to_measure, bounded=kl.view.bounded))


@st.cache_data(max_entries=128, show_spinner=False)
def initialisation(run_key: str, horizon: float, _run: Run) -> float:
    """KL(p_T‖γ) in nats: what starting from N(0, I) costs."""
    return initialisation_kl(_run.target, horizon, seed=SEED).value


@st.cache_data(max_entries=128, show_spinner=False)
def stopping(run_key: str, delta: float, _run: Run) -> float:
    """KL(p₀‖p_δ) in nats: how far the law that samples are compared with is from the data itself."""
    return kl_to_noised(_run.target, delta, seed=SEED).value
