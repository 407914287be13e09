r"""Time grids: the decreasing times :math:`t_0 = T > t_1 > \dots > t_K = \delta \ge 0` of a sampler."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from reprlib import repr as shortened
from typing import cast

import torch

from cmcore.process import angle, time_from_angle, time_from_noise_level
from cmcore.registry import Registry

__all__ = [
    "GRIDS",
    "TimeGrid",
    "as_grid",
    "constant_step",
    "custom",
    "growing_horizon",
    "karras",
    "make_grid",
    "shrinking_step",
    "uniform_angle",
]


@dataclass(frozen=True)
class TimeGrid:
    """The times of a sampler, from T down to δ.

    Attributes:
        times: K + 1 strictly decreasing times, t_0 = T first and t_K = δ last, δ ≥ 0.
        name: how they were chosen.
    """

    times: tuple[float, ...]
    name: str = "custom"

    def __post_init__(self) -> None:
        if len(self.times) < 2:
            raise ValueError("A time grid needs at least two times: the start T and the end δ.")
        if not all(math.isfinite(t) for t in self.times):
            raise ValueError("Every time of a grid must be a finite number.")
        if any(later >= earlier for earlier, later in zip(self.times, self.times[1:], strict=False)):
            raise ValueError("The times of a grid must decrease strictly, from T down to δ.")
        if self.times[-1] < 0:
            raise ValueError("A time grid ends at δ ≥ 0; data sits at time 0.")

    @property
    def steps(self) -> int:
        """K, the number of jumps."""
        return len(self.times) - 1

    @property
    def horizon(self) -> float:
        """T = t_0."""
        return self.times[0]

    @property
    def delta(self) -> float:
        """δ = t_K."""
        return self.times[-1]

    @property
    def jumps(self) -> tuple[tuple[float, float], ...]:
        """The pairs (t_k, t_{k+1})."""
        return tuple(zip(self.times[:-1], self.times[1:], strict=True))


GRIDS: Registry = Registry("time grid")
"""Grids with T, δ and K fixed: each entry is called as grid(steps, horizon=T, delta=δ)."""


def make_grid(name: str, steps: int, *, horizon: float, delta: float) -> TimeGrid:
    """The registered grid `name` with K = steps jumps from T = horizon to δ = delta."""
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"A sampler makes a whole number of jumps, at least one; got steps = {shortened(steps)}.")
    if not horizon > delta >= 0:
        raise ValueError(f"A grid runs from T down to δ with T > δ ≥ 0; got T = {horizon:g}, δ = {delta:g}.")
    return GRIDS[name](steps, horizon=horizon, delta=delta)


def _pinned(times: torch.Tensor, horizon: float, delta: float, name: str) -> TimeGrid:
    """A grid whose ends are exactly T and δ: conversions between coordinates may miss them by a rounding error."""
    return TimeGrid((horizon, *times[1:-1].tolist(), delta), name)


@GRIDS.register("uniform_angle")
def uniform_angle(steps: int, *, horizon: float, delta: float) -> TimeGrid:
    """Equal steps in θ = arccos e^{-t}."""
    first, last = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    theta = torch.linspace(first, last, steps + 1, dtype=torch.float64)
    return _pinned(time_from_angle(theta), horizon, delta, "uniform_angle")


@GRIDS.register("constant_step")
def constant_step(steps: int, *, horizon: float, delta: float) -> TimeGrid:
    """Equal steps h = (T − δ)/K in t, with T fixed."""
    return _pinned(torch.linspace(horizon, delta, steps + 1, dtype=torch.float64), horizon, delta, "constant_step")


@GRIDS.register("karras")
def karras(steps: int, *, horizon: float, delta: float, rho: float = 7.0) -> TimeGrid:
    """Equal steps in (σ/α)^{1/ρ}, ρ = 7 (Karras et al. 2022, arXiv:2206.00364)."""
    first, last = (math.expm1(2 * t) ** (0.5 / rho) for t in (horizon, delta))
    level = torch.linspace(first, last, steps + 1, dtype=torch.float64) ** rho
    return _pinned(time_from_noise_level(level), horizon, delta, "karras")


@GRIDS.register("shrinking_step")
def shrinking_step(steps: int, *, horizon: float, delta: float) -> TimeGrid:
    """Steps κ·min(1, t_k), with the ratio κ that reaches δ > 0 in exactly K steps (bisection on κ)."""
    if delta <= 0:
        raise ValueError("Shrinking steps are a fixed share of the time left, so they need δ > 0.")
    low, high = 0.0, max(1.0, horizon - delta)
    for _ in range(200):
        kappa = (low + high) / 2
        low, high = (kappa, high) if _after(kappa, steps, horizon) > delta else (low, kappa)
    times = [horizon]
    for _ in range(steps):
        times.append(times[-1] - high * min(1.0, times[-1]))
    return _pinned(torch.tensor(times, dtype=torch.float64), horizon, delta, "shrinking_step")


def _after(kappa: float, steps: int, horizon: float) -> float:
    """Where `steps` steps of κ·min(1, t) arrive, from t = horizon; at or below 0 the walk has overshot."""
    t = horizon
    for _ in range(steps):
        if t <= 0:
            break
        t -= kappa * min(1.0, t)
    return t


def growing_horizon(steps: int, *, step: float, delta: float) -> TimeGrid:
    """Constant step h with T = δ + K h: the horizon grows with K (claim C2 of the paper's abstract)."""
    if step <= 0:
        raise ValueError(f"The step h must be positive; got {step:g}.")
    times = tuple(delta + step * k for k in range(steps, -1, -1))
    return TimeGrid(times, "growing_horizon")


def custom(times: Sequence[float]) -> TimeGrid:
    """The given times, checked."""
    return TimeGrid(tuple(float(t) for t in times), "custom")


def as_grid(grid: object) -> TimeGrid:
    """A grid as it is, or its times given as a list, an array or a tensor; anything else raises ValueError."""
    if isinstance(grid, TimeGrid):
        return grid
    try:
        times = tuple(float(t) for t in cast("Sequence[float]", grid))
    except (TypeError, ValueError):
        times = ()
    if times:
        return TimeGrid(times, "custom")
    raise ValueError(
        f"A grid is the times T = t_0 > … > t_K = δ, such as [3, 1, 0], or made by make_grid; got {shortened(grid)}."
    )
