"""What has been measured, for every page and every visitor: a point asked for twice is measured once.

A point is found under everything that determines it: the run (for a baseline with the exact score the target alone),
and a :class:`Question`. Curves that a run ships with answer first; the rest is kept in one bounded memory of the
process, so that Explore and KL draw from the same numbers.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import cmcore as cm
from app.background.once import Once
from app.runs.library import Run
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.grids import TimeGrid, growing_horizon, make_grid
from cmcore.measure import kl_points
from cmcore.samplers import SAMPLERS, Score
from cmcore.samplers.base import Sampler
from cmcore.theory import BoundA, bound_a

LANDINGS = 1 << 17
"""Landings behind an estimate of a renoised draw: a quarter of the estimator's default, since somebody is waiting."""
FIRST_LANDINGS, FIRST_SAMPLES = 1 << 15, 1 << 11
"""Of a first look, renoised or not: a few tenths of a second, and an interval twice or three times as wide."""
SEED = 2
BOUND_POINTS = 4_096
"""Points of p_t at which the map's error is measured, for every jump."""
KEPT = 4_096
"""Answers in memory, about a kilobyte each."""


@dataclass(frozen=True)
class Question:
    """Everything that determines a point, but the run.

    Attributes:
        sampler: the registered name.
        calls: network (or score) calls asked for.
        direction: which divergence.
        delta: δ.
        grid: the registered name; it runs from T down to δ.
        horizon: T.
        step: h, for a constant step with T = δ + K h; the grid and T are then not asked.
        renoise: η as a share of t, for jumps that renoise.
        score: what a baseline follows.
    """

    sampler: str
    calls: int
    direction: Direction
    delta: float
    grid: str = "uniform_angle"
    horizon: float = 3.0
    step: float | None = None
    renoise: float = 0.5
    score: Score = "exact"

    @property
    def kind(self) -> Sampler:
        """The sampler itself."""
        return SAMPLERS[self.sampler]

    @property
    def jumps(self) -> int:
        """K; 0 where the sampler needs more calls for its first step."""
        return self.calls // self.kind.calls_per_jump

    def times(self) -> TimeGrid:
        """The grid of these K jumps."""
        if self.step is not None:
            return growing_horizon(self.jumps, step=self.step, delta=self.delta)
        return make_grid(self.grid, self.jumps, horizon=self.horizon, delta=self.delta)

    def of(self, run: Run) -> Hashable:
        """The key of the answer: equal for two runs where nothing learned enters and the target is the same."""
        settings = self.sampler, self.calls, self.direction, self.delta, self.times().times
        noise = self.renoise if self.sampler == "renoise" else None
        if self.kind.needs == "map" or self.score == "model":
            return ("run", run.key, *settings, noise)
        made = run.target.config
        return ("target", made.key if made else run.key, *settings, noise)


@dataclass(frozen=True)
class Measurement:
    """An estimate, and what it took.

    Attributes:
        estimate: the number.
        calls: network (or score) calls of each sample.
        horizon: T.
        seed: of all noise.
        n: samples (or landings) asked for; None leaves them to the estimator.
    """

    estimate: Estimate
    calls: int
    horizon: float
    seed: int
    n: int | None = None


_measurements: Once[Measurement] = Once(KEPT)
_bounds: Once[BoundA] = Once(KEPT)


def known_point(run: Run, question: Question) -> Measurement | None:
    """The answer that the run ships with, or that was measured since the server began; None before."""
    return _shipped(run, question) or _measurements.peek(question.of(run))


def measure_point(run: Run, question: Question) -> Measurement:
    """The answer, measured now if it is not known. ValueError says why there is none."""
    return _shipped(run, question) or _measurements.get(
        question.of(run), lambda: _measured(run, question, n=landings(question))
    )


def first_look(run: Run, question: Question) -> Estimate:
    """An answer from few samples, for whoever waits for the one that is kept. ValueError says why there is none."""
    return _measured(run, question, n=FIRST_LANDINGS if question.kind.noisy else FIRST_SAMPLES).estimate


def how_measured(run: Run, question: Question) -> tuple[int, int | None]:
    """The seed and the n asked for of the answer: that which is known, or that which there will be."""
    told = known_point(run, question)
    return (told.seed, told.n) if told else (SEED, landings(question))


def landings(question: Question) -> int | None:
    """How many landings are asked for here; None leaves the number of points to the estimator."""
    return LANDINGS if question.kind.noisy else None


def known_bound(run: Run, question: Question) -> BoundA | None:
    """Bound A on what the question asks, if it was evaluated."""
    return _bounds.peek(question.of(run))


def measure_bound(run: Run, question: Question) -> BoundA:
    """Bound A on what the question asks, a renoised draw of jumps; ValueError says why there is none."""

    def make() -> BoundA:
        times = question.times()
        return bound_a(run.model, run.target, times, seed=SEED, renoise=question.renoise, n=BOUND_POINTS)

    return _bounds.get(question.of(run), make)


def forget() -> None:
    """Forget everything that was measured."""
    _measurements.clear()
    _bounds.clear()


def _measured(run: Run, question: Question, *, n: int | None) -> Measurement:
    kind = question.kind
    learned = kind.needs == "map" or question.score == "model"
    point = next(
        kl_points(
            run.model if learned else run.target,
            run.target,
            [question.calls],
            seed=SEED,
            sampler=question.sampler,
            grid=question.times(),
            renoise=question.renoise,
            score=None if kind.needs == "map" else question.score,
            n=n,
            direction=question.direction,
        )
    )
    return Measurement(point.estimate, point.calls, point.grid.horizon, SEED, n)


def _shipped(run: Run, question: Question) -> Measurement | None:
    """The point of the curves that came with the run, if one of them answers exactly this."""
    for curve in run.curves.values():
        if _answers(curve, question) and float(question.calls) in curve.values:
            i = curve.values.index(float(question.calls))
            if curve.estimates[i].direction == question.direction:
                told = curve.config
                return Measurement(curve.estimates[i], curve.calls[i], told["horizon"], curve.seed, told.get("n"))
    return None


def _answers(curve: cm.Curve, question: Question) -> bool:
    if question.step is not None or curve.sampler != question.sampler:
        return False
    if question.kind.needs == "score" and curve.config.get("score", "exact") != question.score:
        return False
    wanted = {"grid": question.grid, "horizon": question.horizon, "delta": question.delta}
    if question.sampler == "renoise":
        wanted["renoise"] = question.renoise
    return all(curve.config.get(name) == value for name, value in wanted.items())
