"""KL versus network calls of any runs and baselines together: the curves of a view, and the measuring of them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.background.jobs import JobView
from app.background.once import Measurable
from app.background.task import Report, Task
from app.kl.question import (
    CUSTOM,
    Question,
    bounds_of,
    estimate_of,
    measurement,
    paper_bound_at,
    quick_estimate_of,
)
from app.runs.library import Run
from app.runs.names import run_names, short_names
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Direction, Estimate
from cmcore.samplers import SAMPLERS, Score
from cmcore.samplers.adaptive import AdaptiveSampler
from cmcore.sampling_defaults import sampling_defaults
from cmcore.theory import Decomposition, PaperBound

DIRECTIONS: tuple[Direction, ...] = (MODEL_DATA, DATA_MODEL)
BASELINES: tuple[str, ...] = tuple(name for name, sampler in SAMPLERS.items() if sampler.needs == "score")
"""Every sampler that follows a score, by name."""

SEEN_FROM = dict(zip(("model", "data"), DIRECTIONS, strict=True))
"""The law that the divergence is an average over → the direction."""
MOST = (16, 32, 64)
SHOWN = {"bands": "Intervals", "floors": "Floors", "bound": "Bounds", "seeds": "Seeds together"}
SHOWN_FIRST = ("bands", "floors", "bound")


@dataclass(frozen=True)
class View:
    """All that is chosen on the page.

    Attributes:
        runs: their keys.
        baselines: names in `SAMPLERS`.
        score: what the baselines follow.
        sampler, renoise: how the runs are drawn.
        grid, horizon, step, delta: the times, as in :meth:`~app.kl.question.Question.on_grid`; of several runs those
            that were not trained down to δ end earlier, with all that learned the same target (:func:`deltas_of`).
        direction: which divergence.
        most: the largest N.
        shown: of `SHOWN`, what is drawn, and whether runs that differ in their seed alone are drawn as one.
        further: the largest N of the baselines, where that is larger.
    """

    runs: tuple[str, ...]
    baselines: tuple[str, ...]
    score: Score
    sampler: str
    renoise: float
    grid: str
    horizon: float
    step: float | None
    delta: float
    direction: Direction
    most: int
    shown: tuple[str, ...] = SHOWN_FIRST
    further: int = 0

    @property
    def steps(self) -> tuple[int, ...]:
        """The N asked for: powers of two."""
        return _powers(self.most)

    @property
    def bounded(self) -> bool:
        """Whether Bound A and the paper's bound speak of what is measured, and are asked for."""
        return "bound" in self.shown and SAMPLERS[self.sampler].noisy and self.direction == DATA_MODEL

    def questions(self, sampler: str) -> tuple[Question, ...]:
        """One for every N at which the sampler takes a step; a solver that chooses its own steps is asked once."""
        kind = SAMPLERS[sampler]
        steps = self.steps if kind.needs == "map" else _powers(max(self.most, self.further))
        settings: dict[str, Any] = {"grid": self.grid, "horizon": self.horizon, "step": self.step}
        settings |= {"renoise": self.renoise, "score": self.score}
        return tuple(
            Question.on_grid(sampler, n, self.direction, self.delta, **settings)
            for n in (steps[-1:] if isinstance(kind, AdaptiveSampler) else steps)
            if n >= kind.calls_per_jump
        )


def _powers(most: int) -> tuple[int, ...]:
    return tuple(2**k for k in range(most.bit_length()))


@dataclass(frozen=True)
class RunCurve:
    """One curve of a view: its name, the run that it is measured on, and a question for every point.

    `number` counts the runs of the view, from 0, `short` is its name among the curves of one target, and `bounded` says
    whether bounds of it are asked for.
    """

    label: str
    run: Run
    questions: tuple[Question, ...]
    number: int = 0
    short: str = ""
    bounded: bool = True

    @property
    def delta(self) -> float:
        """Where it ends, and is compared with the truth."""
        return self.questions[0].grid.delta

    @property
    def learned(self) -> bool:
        """Whether it draws with a run's own jumps."""
        return self.questions[0].kind.needs == "map"

    @property
    def estimates(self) -> dict[int, Estimate]:
        """What is measured, by network calls."""
        points = [measurement(self.run, question) for question in self.questions]
        return {point.calls: point.estimate for point in points if point}

    @property
    def bounds(self) -> dict[int, PaperBound]:
        """The paper's bound, and Bound A below it, by N, as far as they are evaluated."""
        points = {question.calls: paper_bound_at(self.run, question) for question in self.questions}
        return {n: point for n, point in points.items() if point}


# ---- the curves of a view ---------------------------------------------------------------------------------------
def curves_of(view: View, runs: Mapping[str, Run]) -> list[RunCurve]:
    """The curves of a view: its runs, then its baselines, one for every target or, with learned scores, every run."""
    chosen = [runs[key] for key in view.runs]
    names, deltas = run_names(chosen), deltas_of(view.delta, chosen)
    views = {run.key: replace(view, delta=deltas[run.key]) for run in chosen}
    short = names if len(chosen) == 1 else _short_by_target(chosen)
    curves = [
        RunCurve(names[run.key], run, views[run.key].questions(view.sampler), number, short[run.key])
        for number, run in enumerate(chosen)
    ]
    followed = [run for run in chosen if _has_score(run)] if view.score == "model" else _one_of_each_target(chosen)
    for name in view.baselines:
        title = SAMPLERS[name].labelled(view.score)
        for run in followed:
            alone = len(followed) == 1 or sum(other.target_key == run.target_key for other in followed) == 1
            label = title if len(followed) == 1 else f"{title}, {names[run.key]}"
            number, words = chosen.index(run), title if alone else f"{title}, {short[run.key]}"
            curves.append(RunCurve(label, run, views[run.key].questions(name), number, words))
    return curves


def _short_by_target(runs: Sequence[Run]) -> dict[str, str]:
    """What each run is called among those of its target."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.target_key, []).append(run)
    return {key: name for group in groups.values() for key, name in short_names(group).items()}


def deltas_of(delta: float, runs: Sequence[Run]) -> dict[str, float]:
    """Where samples of each run stop: at δ, or at the earliest time that all runs of its target learned."""
    if len(runs) == 1:
        return {runs[0].key: delta}
    learned = _learned(runs)
    return {run.key: max(delta, learned[run.target_key]) for run in runs}


def least_delta(runs: Iterable[Run]) -> float:
    """The earliest time to which all runs of some target were trained."""
    return min(_learned(runs).values(), default=0.0)


def _learned(runs: Iterable[Run]) -> dict[Hashable, float]:
    learned: dict[Hashable, float] = {}
    for run in runs:
        learned[run.target_key] = max(run.model.delta, learned.get(run.target_key, 0.0))
    return learned


def by_target(curves: Sequence[RunCurve]) -> dict[Hashable, list[RunCurve]]:
    """The curves of each target."""
    groups: dict[Hashable, list[RunCurve]] = {}
    for curve in curves:
        groups.setdefault(curve.run.target_key, []).append(curve)
    return groups


def left_out(view: View, runs: Mapping[str, Run]) -> list[str]:
    """A sentence for every run whose baselines cannot be had."""
    if view.score == "exact" or not view.baselines:
        return []
    reasons = [(runs[key].label, sampling_defaults(runs[key].model.config).no_score) for key in view.runs]
    return [f"{label} {reason} to follow." for label, reason in reasons if reason]


def _has_score(run: Run) -> bool:
    return not sampling_defaults(run.model.config).no_score


def _one_of_each_target(runs: Sequence[Run]) -> list[Run]:
    return list({run.target_key: run for run in reversed(runs)}.values())[::-1]


def decompositions(curve: RunCurve) -> dict[int, Decomposition]:
    """The KL of the paths of a renoised run taken apart, by N, as far as it is measured."""
    estimates = curve.estimates
    return {n: Decomposition.of(part.bound_a, estimates[n]) for n, part in curve.bounds.items() if n in estimates}


# ---- measuring --------------------------------------------------------------------------------------------------
def measure_curves(
    task: Task[None],
    curves: Sequence[RunCurve],
    *,
    bounded: bool,
    first: Question | None = None,
    also: Sequence[Measurable[Any]] = (),
) -> JobView[Report[None]] | None:
    """The measuring of what is missing of some curves, begun now if need be; None once all is there.

    Where one point is looked at, a quick estimate of it comes first, and then its own; else a quick estimate of every
    point. Then come the other points of the runs, those of the baselines, and at last the bounds. What is measured
    `also` comes first of all.
    """
    points = [(curve, question) for curve in curves for question in curve.questions]
    points.sort(key=lambda point: (point[1] != first, not point[0].learned))
    coarse: list[Measurable[Any]] = []
    missing: list[Measurable[Any]] = []
    for curve, question in points:
        if measurement(curve.run, question) is None:
            words = f"{curve.label}, N = {question.calls}"
            if first in (None, question):
                coarse.append(quick_estimate_of(curve.run, question, f"a first value of {words}"))
            missing.append(estimate_of(curve.run, question, words))
    missing = [*also, *coarse, *missing]
    for curve, question in points:
        if bounded and curve.bounded and curve.learned and question.named != CUSTOM:
            missing.append(bounds_of(curve.run, question, f"the bounds of {curve.label}, N = {question.calls}"))
    key = curves_key(curves, bounded=bounded)
    return task.measure((key, *(one.key for one in also)) if also else key, missing)


def curves_key(curves: Sequence[RunCurve], *, bounded: bool) -> Hashable:
    """What is measured for these curves, whichever point is looked at."""
    return frozenset(question.of(curve.run) for curve in curves for question in curve.questions), bounded
