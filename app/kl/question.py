"""One KL, asked with all that determines it, and its estimate: measured once for every page and every visitor.

Curves that a run ships with answer first; the rest stays in one bounded memory of the process, so that what was
measured on one page is there on the others.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import cmcore as cm
from app.background.once import Measurable, Once
from app.runs.library import Run
from cmcore.chain import JumpSampler
from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.grids import TimeGrid, growing_horizon, make_grid
from cmcore.measure import kl_points
from cmcore.samplers import SAMPLERS, Score
from cmcore.samplers.base import Sampler
from cmcore.theory import PaperBound, paper_bound

LANDINGS = 1 << 17
"""Landings behind an estimate of a renoised draw: a quarter of the estimator's default, since somebody is waiting."""
QUICK_LANDINGS, QUICK_SAMPLES = 1 << 15, 1 << 11
"""Of a quick estimate, renoised or not: half a second, and an interval several times as wide. Of half as many points a
quarter of the intervals miss where a sharp map has its KL in few places."""
QUICK_CENTRES = 1 << 12
"""The same of a renoised draw above the plane, where every landing is compared with every sample."""
SEED = 2
BOUND_POINTS = 4_096
"""Points of p_t at which the map's error is measured, for every jump."""
CUSTOM, GROWING = "custom", "growing_horizon"
"""Names of times that were chosen one by one, and of a constant step with T = δ + K h."""


@dataclass(frozen=True)
class Question:
    """Everything that determines a KL, but the run.

    Attributes:
        sampler: the registered name.
        calls: network (or score) calls asked for.
        grid: the times T = t_0 > … > t_K = δ.
        direction: which divergence.
        renoise: η as a share of t, for jumps that renoise.
        score: what a baseline follows.
        named: what the times are called; they alone count.
    """

    sampler: str
    calls: int
    grid: TimeGrid
    direction: Direction
    renoise: float = 0.5
    score: Score = "exact"
    named: str = field(default=CUSTOM, compare=False)

    @classmethod
    def on_grid(
        cls,
        sampler: str,
        calls: int,
        direction: Direction,
        delta: float,
        *,
        grid: str = USUAL_GRID,
        horizon: float = 3.0,
        step: float | None = None,
        renoise: float = 0.5,
        score: Score = "exact",
    ) -> "Question":
        """With the times of a registered grid from T to δ, or with steps of a constant length from δ up."""
        jumps = calls // SAMPLERS[sampler].calls_per_jump
        times = _times(grid, jumps, horizon, delta) if step is None else _growing(jumps, step, delta)
        return cls(sampler, calls, times, direction, renoise, score, grid if step is None else GROWING)

    @property
    def kind(self) -> Sampler:
        """The sampler itself."""
        return SAMPLERS[self.sampler]

    @property
    def learned(self) -> bool:
        """Whether anything learned enters."""
        return self.kind.needs == "map" or self.score == "model"

    @property
    def n(self) -> int | None:
        """Landings asked for here; None leaves the number of points to the estimator."""
        return LANDINGS if self.kind.noisy else None

    def of(self, run: Run) -> Hashable:
        """The key of its answer: equal for two runs where nothing learned enters and the target is the same."""
        noise = self.renoise if self.kind.share_of else None
        settings = self.sampler, self.calls, self.direction, self.grid.times, noise
        return ("run", run.key, *settings) if self.learned else ("target", run.target_key, *settings)


_times = lru_cache(maxsize=1024)(lambda name, jumps, T, delta: make_grid(name, jumps, horizon=T, delta=delta))
_growing = lru_cache(maxsize=1024)(lambda jumps, step, delta: growing_horizon(jumps, step=step, delta=delta))


@dataclass(frozen=True)
class Measurement:
    """An estimate, and what it took.

    Attributes:
        estimate: the number.
        calls: network (or score) calls of each sample.
        seed: of all noise.
        n: samples (or landings) asked for; None leaves them to the estimator.
    """

    estimate: Estimate
    calls: int
    seed: int
    n: int | None = None


_measurements: Once[Measurement] = Once(4_096)
_quick: Once[Measurement] = Once(4_096)
_bounds: Once[PaperBound] = Once(4_096)


def forget() -> None:
    """Forget everything that was measured."""
    for memory in (_measurements, _quick, _bounds):
        memory.clear()


# ---- what is measured -------------------------------------------------------------------------------------------
def measurement(run: Run, question: Question) -> Measurement | None:
    """What the run ships with, or what was measured since the server began; None before."""
    return _shipped(run, question) or _measurements.peek(question.of(run))


def quick_estimate(run: Run, question: Question) -> Estimate | None:
    """An estimate from few samples, for whoever waits for the one that stays."""
    measured = coarse_measurement(run, question)
    return measured and measured.estimate


def coarse_measurement(run: Run, question: Question) -> Measurement | None:
    """The same with all that it took."""
    return _quick.peek(question.of(run))


def paper_bound_at(run: Run, question: Question) -> PaperBound | None:
    """The paper's own bound on what the question asks, and Bound A below it, if they were evaluated."""
    return _bounds.peek(question.of(run))


def problem(run: Run, question: Question) -> str:
    """Why there is no estimate; empty where there is one, or nobody measured it."""
    return _measurements.problem(question.of(run))


def how_measured(run: Run, question: Question) -> tuple[int, int | None]:
    """The seed and the n asked for of the estimate: that which is there, or that which there will be."""
    measured = measurement(run, question)
    return (measured.seed, measured.n) if measured else (SEED, question.n)


# ---- what is to be measured -------------------------------------------------------------------------------------
def estimate_of(run: Run, question: Question, words: str = "") -> Measurable[Measurement]:
    """The KL, to be measured where no shipped curve has it."""
    make = partial(_measure, run, question, question.n)
    return Measurable(words, _measurements, question.of(run), make, cost=float(question.calls))


def quick_estimate_of(run: Run, question: Question, words: str = "") -> Measurable[Measurement]:
    """The same from few samples."""
    n = (QUICK_LANDINGS if run.target.dim <= 2 else QUICK_CENTRES) if question.kind.noisy else QUICK_SAMPLES
    return Measurable(words, _quick, question.of(run), partial(_measure, run, question, n), cost=question.calls / 8)


def bounds_of(run: Run, question: Question, words: str = "") -> Measurable[PaperBound]:
    """Bound A and the paper's bound on what the question asks, a renoised draw of jumps."""

    def make() -> PaperBound:
        sampler: JumpSampler = "algorithm_1" if question.sampler == "algorithm_1" else "renoise"
        choices: dict[str, Any] = {"sampler": sampler, "renoise": question.renoise, "n": BOUND_POINTS}
        return paper_bound(run.model, run.target, question.grid, seed=SEED, **choices)

    return Measurable(words, _bounds, question.of(run), make)


def measure(run: Run, question: Question) -> Measurement:
    """The answer, measured now if need be. ValueError says why there is none."""
    return measurement(run, question) or estimate_of(run, question).measure()


def _measure(run: Run, question: Question, n: int | None) -> Measurement:
    point = next(
        kl_points(
            run.model if question.learned else run.target,
            run.target,
            [question.calls],
            seed=SEED,
            sampler=question.sampler,
            grid=question.grid,
            renoise=question.renoise,
            score=None if question.kind.needs == "map" else question.score,
            n=n,
            direction=question.direction,
        )
    )
    return Measurement(point.estimate, point.calls, SEED, n)


# ---- what comes with a run --------------------------------------------------------------------------------------
def _shipped(run: Run, question: Question) -> Measurement | None:
    """The point of the curves that came with the run, if one of them answers exactly this."""
    for curve in run.curves.values():
        if _answers(curve, question) and float(question.calls) in curve.values:
            i = curve.values.index(float(question.calls))
            if curve.estimates[i].direction == question.direction:
                return Measurement(curve.estimates[i], curve.calls[i], curve.seed, curve.config.get("n"))
    return None


def _answers(curve: cm.Curve, question: Question) -> bool:
    config = curve.config
    if curve.sampler != question.sampler:
        return False
    if question.kind.needs == "score" and config.get("score", "exact") != question.score:
        return False
    if question.kind.share_of and config.get("renoise") != question.renoise:
        return False
    return question.grid == _times(config["grid"], question.grid.steps, config["horizon"], config["delta"])
