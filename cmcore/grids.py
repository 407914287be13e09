r"""Time grids: the decreasing times :math:`t_0 = T > t_1 > \dots > t_K = \delta \ge 0` of a sampler."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from reprlib import repr as shortened
from typing import cast

import torch

from cmcore.process import angle, time_from_angle, time_from_noise_level
from cmcore.registry import Registry

MOST_JUMPS = 4096
"""Of a grid that its step decides."""


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


_NEVER_AT_ZERO = frozenset({"shrinking_step", "variance_step"})


def named_grids(*, to_zero: bool) -> list[str]:
    """The names of the registered grids; where one must end at δ = 0, without those whose steps shrink towards it."""
    return [name for name in GRIDS if not (to_zero and name in _NEVER_AT_ZERO)]


def _pinned(times: torch.Tensor, horizon: float, delta: float, name: str) -> TimeGrid:
    """A grid whose ends are exactly T and δ: conversions between coordinates may miss them by a rounding error."""
    return TimeGrid((horizon, *times[1:-1].tolist(), delta), name)


@GRIDS.register("quadratic_angle")
def quadratic_angle(steps: int, *, horizon: float, delta: float) -> TimeGrid:
    r"""θ_k = θ_δ + (θ_T − θ_δ)(1 − k/K)²: steps shrink towards δ, where the flow of most data bends most."""
    first, last = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    left = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return _pinned(time_from_angle(last + (first - last) * left**2), horizon, delta, "quadratic_angle")


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


@GRIDS.register("variance_step")
def variance_step(steps: int, *, horizon: float, delta: float) -> TimeGrid:
    """Steps h_k = c·σ²_{t_k}, with the c that reaches δ > 0 in exactly K steps: the paper's rule for any data."""
    if delta <= 0:
        raise ValueError("Steps in proportion to σ² never arrive at 0, so they need δ > 0.")
    low, high = 0.0, (horizon - delta) / -math.expm1(-2 * horizon)  # a single step
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if _walked(c, steps, horizon) > delta else (low, c)
    times = [horizon]
    for _ in range(steps):
        times.append(times[-1] + high * math.expm1(-2 * times[-1]))
    return _pinned(torch.tensor(times, dtype=torch.float64), horizon, delta, "variance_step")


def _walked(c: float, steps: int, horizon: float) -> float:
    """Where `steps` steps of c·σ² arrive; at or below 0 the walk has overshot."""
    t = horizon
    for _ in range(steps):
        if t <= 0:
            break
        t += c * math.expm1(-2 * t)
    return t


# ---- grids by their step, which decides K ---------------------------------------------------------------------------
StepRule = Callable[[float, int], float]
"""(t, d) → how long the step that starts at t is, up to a constant c."""

STEP_RULES: Registry[StepRule] = Registry("step rule")
"""How the paper's sampler chooses its steps h_k, up to a constant c."""


@STEP_RULES.register("constant")
def constant_rule(t: float, dim: int) -> float:
    """h_k = c, for smooth data."""
    return 1.0


@STEP_RULES.register("variance")
def variance_rule(t: float, dim: int) -> float:
    """h_k = c·σ², for data that need not be smooth."""
    return -math.expm1(-2 * t)


@STEP_RULES.register("variance_over_dim")
def variance_over_dim_rule(t: float, dim: int) -> float:
    """h_k = c·σ²/d, for data that need not be smooth: the order at which jumps of the general theorem are short."""
    return -math.expm1(-2 * t) / dim


def ruled_grid(
    rule: str | StepRule, c: float, *, horizon: float, delta: float, dim: int = 1, join: float = 0.0
) -> TimeGrid:
    """Steps h_k = c·rule(t_k, d) from T down to δ; the last step is shortened to end there.

    Args:
        rule: a name in `STEP_RULES`, or a function (t, d) → length.
        c: the constant of the rule.
        horizon, delta: T and δ, δ > 0 where steps shrink towards 0.
        dim: d.
        join: a last step shorter than this share of the one before it becomes a part of that, which is then longer than
            the rule says.
    """
    step = STEP_RULES[rule] if isinstance(rule, str) else rule
    if not (math.isfinite(c) and c > 0):
        raise ValueError(f"The constant c of a step rule must be positive; got {c:g}.")
    if not horizon > delta >= 0:
        raise ValueError(f"A grid runs from T down to δ with T > δ ≥ 0; got T = {horizon:g}, δ = {delta:g}.")
    times = [horizon]
    while times[-1] > delta:
        if len(times) > MOST_JUMPS:
            raise ValueError(f"These steps are too short: δ = {delta:g} is not reached in {MOST_JUMPS:,} jumps.")
        times.append(max(delta, times[-1] - c * step(times[-1], dim)))
    if len(times) > 2 and times[-2] - times[-1] < join * (times[-3] - times[-2]):
        del times[-2]
    return TimeGrid(tuple(times), rule if isinstance(rule, str) else "ruled")


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
