"""KL versus steps of any runs and baselines together: which points a view asks for, and what is known of them."""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from app import state
from app.background.jobs import JobView
from app.background.pools import curve_workers
from app.kl.curve import DIRECTIONS
from app.kl.question import Question, known_bound, known_point, measure_bound, measure_point
from app.runs.library import Run
from cmcore.divergences.estimate import DATA_MODEL, Direction
from cmcore.objectives import OBJECTIVES
from cmcore.samplers import SAMPLERS, Score
from cmcore.samplers.adaptive import AdaptiveSampler
from cmcore.sampling_defaults import sampling_defaults
from cmcore.theory import Decomposition

BASELINES: tuple[str, ...] = tuple(name for name, sampler in SAMPLERS.items() if sampler.needs == "score")
"""Every sampler that follows a score, by name."""

SEEN_FROM = dict(zip(("model", "data"), DIRECTIONS, strict=True))
"""The law that the divergence is an average over → the direction."""
MOST = (16, 32, 64)
SHOWN = {"bands": "Intervals", "floors": "Floors", "bound": "Bound A"}


@dataclass(frozen=True)
class View:
    """All that is chosen on the page.

    Attributes:
        runs: their keys.
        baselines: names in `SAMPLERS`.
        score: what the baselines follow.
        sampler, renoise: how the runs are drawn.
        grid, horizon, step, delta: the times, as in :class:`~app.kl.question.Question`.
        direction: which divergence.
        most: the largest N.
        shown: of "bands", "floors" and "bound", those that are drawn.
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
    shown: tuple[str, ...] = ("bands", "floors", "bound")

    @property
    def steps(self) -> tuple[int, ...]:
        """The N asked for: powers of two."""
        return tuple(2**k for k in range(self.most.bit_length()))

    @property
    def bounded(self) -> bool:
        """Whether Bound A speaks of what is measured, and is asked for."""
        return "bound" in self.shown and self.sampler == "renoise" and self.direction == DATA_MODEL

    def question(self, sampler: str, calls: int) -> Question:
        """What is asked of one sampler at one N."""
        return Question(
            sampler, calls, self.direction, self.delta, self.grid, self.horizon, self.step, self.renoise, self.score
        )


@dataclass(frozen=True)
class Asked:
    """One curve of a view: its name, the run that it is measured on, and a question for every point."""

    label: str
    run: Run
    questions: tuple[Question, ...]

    @property
    def learned(self) -> bool:
        """Whether it draws with a run's own jumps."""
        return self.questions[0].kind.needs == "map"


@dataclass(frozen=True)
class Going:
    """How far the measuring is: points done, all of them, what is being done, and what could not be measured."""

    done: int
    total: int
    words: str
    problems: Mapping[Hashable, str]


# ---- what is asked ----------------------------------------------------------------------------------------------
def asked(view: View, runs: Mapping[str, Run]) -> list[Asked]:
    """The curves of a view: its runs, then its baselines, one for every target or, with learned scores, every run."""
    chosen = [runs[key] for key in view.runs]
    names = _names(chosen)
    curves = [Asked(names[run.key], run, _questions(view, view.sampler)) for run in chosen]
    followed = [run for run in chosen if _has_score(run)] if view.score == "model" else _one_of_each_target(chosen)
    for name in view.baselines:
        for run in followed:
            whose = "" if len(followed) == 1 else f", {names[run.key]}"
            curves.append(Asked(SAMPLERS[name].labelled(view.score) + whose, run, _questions(view, name)))
    return curves


def left_out(view: View, runs: Mapping[str, Run]) -> list[str]:
    """A sentence for every run whose baselines cannot be had."""
    if view.score == "exact" or not view.baselines:
        return []
    reasons = [(runs[key].label, sampling_defaults(runs[key].model.config).no_score) for key in view.runs]
    return [f"{label} {reason} to follow." for label, reason in reasons if reason]


def _questions(view: View, sampler: str) -> tuple[Question, ...]:
    """One for every N at which the sampler takes a step; a solver that chooses its own steps is asked once."""
    steps = view.steps[-1:] if isinstance(SAMPLERS[sampler], AdaptiveSampler) else view.steps
    return tuple(question for n in steps if (question := view.question(sampler, n)).jumps)


def _has_score(run: Run) -> bool:
    return not sampling_defaults(run.model.config).no_score


def _one_of_each_target(runs: Sequence[Run]) -> list[Run]:
    return list({run.target.config.key if run.target.config else run.key: run for run in reversed(runs)}.values())[::-1]


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """Labels; runs that share one also say their objective and seed, and where even these agree, their key."""
    labels = {run.key: run.label for run in runs}
    for more in (_training, lambda run: run.key.rpartition("-")[2]):
        counts = Counter(labels.values())
        labels |= {run.key: f"{labels[run.key]}, {more(run)}" for run in runs if counts[labels[run.key]] > 1}
    return labels


def _training(run: Run) -> str:
    config = run.model.config
    kind = OBJECTIVES.get(config.objective)
    return f"{kind.label if kind else config.objective}, seed {config.seed}"


# ---- what is known ----------------------------------------------------------------------------------------------
def problems() -> dict[Hashable, str]:
    """Why a point could not be measured, by the key of its question."""
    return state.session_dict("curve problems")


def decompositions(curve: Asked) -> dict[int, Decomposition]:
    """The KL of the paths of a renoised run taken apart, by N, as far as it is known."""
    found = {}
    for question in curve.questions:
        point, bound = known_point(curve.run, question), known_bound(curve.run, question)
        if point and bound:
            found[question.calls] = Decomposition.of(bound, point.estimate)
    return found


# ---- measuring --------------------------------------------------------------------------------------------------
def measuring(view: View, curves: Sequence[Asked]) -> JobView[Going] | None:
    """The measuring of what is not known, begun now if need be; None once all is there. May raise Busy."""
    key = f"curves:{replace(view, shown=('bound',) if view.bounded else ())!r}"
    job = state.job(key)
    if job is not None:
        told = curve_workers().view(job)
        problems().update(told.latest.problems if told.latest else {})
        if told.status != "stopped":
            return told if not told.over or told.problem else None
    if not any(_missing(view, curves, problems())):
        return None
    state.drop_jobs("curves:")
    job = curve_workers().submit(partial(_measure, view, curves, dict(problems())))
    state.keep_job(key, job)
    return curve_workers().view(job)


def _measure(
    view: View, curves: Sequence[Asked], failed: dict[Hashable, str], stop: threading.Event
) -> Iterator[Going]:
    """Point by point; a point that cannot be had is a sentence, and the others go on."""
    missing = list(_missing(view, curves, failed))
    for done, (words, run, question, make) in enumerate(missing):
        if stop.is_set():
            return
        yield Going(done, len(missing), words, dict(failed))
        try:
            make(run, question)
        except ValueError as problem:
            failed[question.of(run)] = str(problem)
    yield Going(len(missing), len(missing), "", dict(failed))


def _missing(
    view: View, curves: Sequence[Asked], failed: Mapping[Hashable, str]
) -> Iterator[tuple[str, Run, Question, Any]]:
    """What is asked and not known: the runs first, then the bound, then the baselines; small N before large."""
    for curve in sorted(curves, key=lambda curve: not curve.learned):
        for question in curve.questions:
            if question.of(curve.run) in failed:
                continue
            if known_point(curve.run, question) is None:
                yield f"{curve.label}, N = {question.calls}.", curve.run, question, measure_point
            if curve.learned and view.bounded and known_bound(curve.run, question) is None:
                yield f"Bound A of {curve.label}, N = {question.calls}.", curve.run, question, measure_bound
