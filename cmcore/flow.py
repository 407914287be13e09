r"""The exact flow map Φ of a target's probability-flow ODE, and pools of exact trajectories.

The PF-ODE is :math:`dx/dt = b(x, t) = -x - \nabla\log p_t(x)`; its solution from t to s is the flow map
:math:`\Phi_{t\to s}`, the exact consistency function, which pushes p_t to p_s. In the angle θ = arccos e^{-t} it reads
:math:`dx/d\theta = -\tan\theta\,(x + \nabla\log p_t(x))`, bounded as θ → π/2 for any target with a second moment, and
evenly paced: a blob of standard deviation ς turns over a range of θ of about ς.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cmcore.nearest import Nearest
from cmcore.process import Time, alpha, angle, as_time, column, round_angle, sigma, some_at_zero, time_from_angle
from cmcore.targets.base import NoDensity, Target
from cmcore.targets.box_mixture import BoxMixture
from cmcore.targets.gaussian_mixture import GaussianMixture
from cmcore.targets.product import Product, repeated
from cmcore.threads import in_pieces, piecewise

VelocityField = Callable[[Tensor, Any], Tensor]
"""(x, θ) → dx/dθ; θ is one number or tensor for all points, or one per point."""


def velocity(target: Target, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
    """The PF-ODE velocity dx/dt = −x − ∇log p_t(x), forward in time."""
    return -x - target.score(x, t)


def velocity_in_angle(target: Target, x: Float[Tensor, "n d"], theta: Time) -> Float[Tensor, "n d"]:
    """The same flow per unit of angle: dx/dθ = −tan θ (x + ∇log p_t(x)), t = −log cos θ."""
    theta = round_angle(as_time(theta, x), x.dtype)
    pace = torch.tan(theta) if theta.ndim == 0 else torch.tan(theta)[:, None]
    return -pace * (x + target.score(x, time_from_angle(theta)))


class ExactFlow:
    """The exact flow map Φ_{t→s} of a target, in either direction of time.

    Four methods, the first that applies: a closed form for Gaussians; the quantile map F_s⁻¹∘F_t in one dimension;
    coordinate by coordinate for products; otherwise an adaptive Runge–Kutta method of order 5 (Dormand–Prince, through
    torchdiffeq) in angle, with the error of the worst point below the tolerance at every step. All compute in float64,
    and answer in the dtype of the points.

    Args:
        target: the law p₀.
        tolerance: local error of a solver step, absolute and relative.

    Attributes:
        method: which of the four.
    """

    def __init__(self, target: Target, *, tolerance: float = 1e-9) -> None:
        self.target = target
        self.tolerance = tolerance
        self.method, self._jump = self._chosen(target.law)

    @piecewise()
    def __call__(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """Φ_{t→s}(x). All methods but the solver, which moves all points together, take one t and s per point too.

        Raises:
            NoDensity: the flow is asked for at time 0 where p₀ has no density (or, by the solver, no score).
        """
        return self._jump(x.double(), t, s).to(x)

    @piecewise()
    def path(self, x: Float[Tensor, "n d"], times: Float[Tensor, " L"]) -> Float[Tensor, "L n d"]:
        """The states at the given monotone times, starting from x at times[0]."""
        start = x.double()
        if self.method == "ODE solver":
            return self._solve(start, times).to(x)
        return torch.stack([x, *(self._jump(start, times[0], s).to(x) for s in times[1:])])

    @piecewise()
    def legs(self, x: Float[Tensor, "n d"], t: Float[Tensor, " n"], s: Float[Tensor, " n"], levels: int) -> Tensor:
        """Each point from its own time t to its own s, at `levels` equal steps of its angle, [levels + 1, n, d].

        All points are solved together, in the share of the way as the solver's time: many short ways cost little more
        than one.
        """
        points = x.double()
        share = torch.linspace(0, 1, levels + 1).to(points)
        start, end = (angle(time.to(points)) for time in (t, s))
        span = end - start
        if self.method != "ODE solver":
            times = [time_from_angle(start + w * span).clamp(min=0) for w in share]
            return torch.stack([x, *(self._jump(points, times[0], each).to(x) for each in times[1:])])
        return self._odeint(
            lambda w, x: span[:, None] * velocity_in_angle(self.target, x, start + w * span), points, share, s
        ).to(x)

    def _chosen(self, law: Target) -> tuple[str, Callable[[Tensor, Time, Time], Tensor]]:
        if isinstance(law, GaussianMixture) and len(law.weights) == 1:
            return "closed form (Gaussian)", partial(_gaussian_flow, law)
        if isinstance(law, GaussianMixture | BoxMixture) and law.dim == 1:
            return "quantile map", partial(_quantile_map, law)
        if isinstance(law, Product):
            return "coordinate-wise", partial(_coordinate_wise_flow, law)
        return "ODE solver", self._solve_once

    def _solve_once(self, x: Tensor, t: Time, s: Time) -> Tensor:
        t, s = _one_time(t), _one_time(s)
        return x if t == s else self._solve(x, torch.tensor([t, s], dtype=torch.float64))[-1]

    def _solve(self, x: Tensor, times: Tensor) -> Tensor:
        theta = angle(times.to(x))
        return self._odeint(lambda theta, x: velocity_in_angle(self.target, x, theta), x, theta, times)

    def _odeint(self, pace: Callable[[Tensor, Tensor], Tensor], x: Tensor, at: Tensor, times: Tensor) -> Tensor:
        """The states at `at`, monotone in the solver's own time; `times` are the latest or all times of the target."""
        from torchdiffeq import odeint  # it brings all of scipy's integrators along

        if bool((times <= 0).any()) and not self.target.smooth:
            raise NoDensity(f"{self.target.name} has no score at t = 0, so its flow ends before: ask for s > 0.")
        precision = max(self.tolerance, 20 * torch.finfo(torch.float64).eps)
        try:
            states = odeint(
                pace,
                x,
                at,
                rtol=precision,
                atol=precision,
                method="dopri5",
                # Landing on the asked times avoids the interpolant, which is of lower order, and never leaves [0, π/2).
                options={"norm": _largest, "step_t": at[1:]},
            )
        except AssertionError as stuck:  # the solver's steps shrink to nothing
            raise ValueError(
                f"The flow of {self.target.name} cannot be followed to {precision:g}: its score is not finite, not "
                f"smooth, or has too few digits. Compute it in float64, or ask for a larger tolerance. ({stuck})"
            ) from None
        assert isinstance(states, Tensor)
        return states


def _gaussian_flow(law: GaussianMixture, x: Tensor, t: Time, s: Time) -> Tensor:
    """Φ(x) = α_s m + U √(v_s / v_t) Uᵀ (x − α_t m) for N(m, U diag(λ) Uᵀ), v = α² λ + σ²."""
    if not law.has_density and some_at_zero(t):
        raise NoDensity(f"{law.name} has no density at t = 0, so no flow starts there.")
    t, s = column(t, x), column(s, x)
    _, mean, eigenvalues, axes = law.parameters.like(x)
    v_t, v_s = (alpha(u) ** 2 * eigenvalues + sigma(u) ** 2 for u in (t, s))
    offset = x - alpha(t) * mean
    scale = (v_s / v_t).sqrt()
    if axes is None:
        return alpha(s) * mean + scale * offset
    return alpha(s) * mean + scale * (offset @ axes[0]) @ axes[0].T


def _coordinate_wise_flow(law: Product, x: Tensor, t: Time, s: Time) -> Tensor:
    y = law.unrotate(x)
    parts = []
    for factor, columns in law.columns():
        part, count = y[:, columns], columns.stop - columns.start
        jumped = ExactFlow(factor)(part.reshape(-1, 1), repeated(t, count), repeated(s, count))
        parts.append(jumped.reshape(part.shape))
    return law.rotate(torch.cat(parts, dim=1))


def _quantile_map(law: Target, x: Tensor, t: Time, s: Time) -> Tensor:
    """F_s⁻¹(F_t(x)), through the smaller tail so that no digit is lost far out."""
    t, s = as_time(t, x), as_time(s, x)
    if t.ndim == s.ndim == 0:
        return torch.cat(in_pieces(lambda x: _quantiles(law, x, t, s), x, rows=_QUANTILES))
    return torch.cat(in_pieces(partial(_quantiles, law), x, t.expand(len(x)), s.expand(len(x)), rows=_QUANTILES))


def _quantiles(law: Target, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    start = x[:, 0]
    below, above = law.log_tails(start, t)
    side = torch.where(below < above, 1.0, -1.0).to(start)  # −1: solve in the upper tail, which decreases
    goal = torch.minimum(below, above)
    mean, variance = float(law.mean[0]), float(law.covariance[0, 0])
    spread = [(alpha(u) ** 2 * variance + sigma(u) ** 2).sqrt() for u in (t, s)]
    guess = alpha(s) * mean + (start - alpha(t) * mean) * spread[1] / spread[0]
    return _invert_tail(law, s, side, goal, guess=guess, width=spread[1].expand_as(guess))[:, None]


def _invert_tail(law: Target, s: Tensor, side: Tensor, goal: Tensor, *, guess: Tensor, width: Tensor) -> Tensor:
    """The y at which the tail on `side` has log mass `goal` at time s: Newton steps kept inside a bracket."""

    def excess(y: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        """How far the log tail lies above its goal, signed to increase with y; and the log tail."""
        below, above = law.log_tails(y, s if s.ndim == 0 else s[i])
        log_tail = torch.where(side[i] > 0, below, above)
        return side[i] * (log_tail - goal[i]), log_tail

    y, low, high = guess.clone(), guess.clone(), guess.clone()
    active = torch.arange(len(y), device=y.device)
    for ends, sign in ((low, -1.0), (high, 1.0)):
        reach, outside = width.clone(), active
        while len(outside):
            ends[outside] += sign * reach[outside]
            reach[outside] *= 2
            outside = outside[sign * excess(ends[outside], outside)[0] < 0]
    last = high - low
    for _ in range(_MOST_ITERATIONS):
        if not len(active):
            break
        here = y[active]
        gap, log_tail = excess(here, active)
        low[active] = torch.where(gap < 0, here, low[active])
        high[active] = torch.where(gap >= 0, here, high[active])
        log_slope = law.log_prob(here[:, None], s if s.ndim == 0 else s[active]) - log_tail
        step = -gap / log_slope.exp()
        newton = here + step
        # Bisect where Newton leaves the bracket, is not finite, or does not at least halve its last step.
        safe = (newton >= low[active]) & (newton <= high[active]) & (step.abs() <= last[active] / 2)
        y[active] = torch.where(safe, newton, (low[active] + high[active]) / 2)
        last[active] = (y[active] - here).abs()
        active = active[last[active] > _ROUNDING * (1 + here.abs())]
    return y


@dataclass(frozen=True)
class TrajectoryPool:
    """Exact trajectories of the PF-ODE, from noise to data.

    Attributes:
        angles: θ of each level, decreasing from θ_T to θ_δ, [L].
        states: where each trajectory is at each level, [L, n, d]; `states[0]` is noise N(0, I).
        error: the largest error of any coordinate over a subset of the trajectories, against the adaptive solver
            (Gaussians: of rounding to the dtype).
    """

    angles: Float[Tensor, " L"]
    states: Float[Tensor, "L n d"]
    error: float

    @cached_property
    def stretch(self) -> Float[Tensor, " n"]:
        """How far the flow pulls each trajectory and its nearest neighbours in noise apart: Σ|Δx_δ| / Σ|Δx_T|.

        Large where noise divides between the basins of two modes. The neighbours are sought among the first 4,096
        trajectories: what lies within their spacing of a boundary counts as near it.
        """
        noise, data = self.states[0], self.states[-1].cpu()
        apart, nearest = Nearest(noise[:_REFERENCES])(noise, _NEIGHBOURS)
        landed, apart = torch.zeros(len(data), dtype=torch.float64), apart.sum(1)
        for neighbour in nearest.T:
            landed += (data[neighbour] - data).double().norm(dim=1)
        # A trajectory without neighbours is stretched by nothing.
        return torch.where(apart > 0, landed / apart.clamp(min=1e-9), 1.0).to(self.states)

    @cached_property
    def _steep(self) -> Float[Tensor, " n"]:
        """The share of all stretch that the trajectories up to each have; float64, on the CPU."""
        sums = self.stretch.double().cpu().cumsum(0)
        return sums / sums[-1]

    def drawn(self, count: int, *, steep_share: float, generator: torch.Generator) -> Int[Tensor, " count"]:
        """Indices of trajectories, a share of them in proportion to the stretch and the rest by chance.

        What it costs hardly grows with the pool: only the sums over it do, which are made once.
        """
        n, by_chance = len(self.stretch), 1 - steep_share
        level = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
        even = (level * (n / max(by_chance, 1e-12))).long()
        steep = torch.searchsorted(self._steep.to(level.device), (level - by_chance) / max(steep_share, 1e-12))
        return torch.where(level < by_chance, even, steep).clamp_max(n - 1)


_REFERENCES = 4096
_NEIGHBOURS = 5
_MOST_ITERATIONS = 200
_ROUNDING = 4e-16
_CHUNK_ENTRIES = 1 << 14
"""Coordinates moved at once: small enough for the cache, large enough that the cost of a call does not show."""
_QUANTILES = 1 << 13
"""The same of quantiles."""
WIDE = 1.5
"""Standard deviation of the noise that wide trajectories start from."""
_SUBSET_ENTRIES = 512
"""Coordinates of the trajectories that are checked against the adaptive solver."""
_FEW_COMPONENTS = 128
"""Beyond so many components a score costs more, and fewer trajectories are checked."""
_TOLERANCE = 2e-4
_MOST_SUBSTEPS = 64
_TEACHER_TOLERANCE = 2e-3
_MOST_TEACHER_SUBSTEPS = 8


Trajectories = tuple[Float[Tensor, " L"], Callable[[Tensor], Tensor], float]
"""How a pool is made: the angles of its levels, what takes noise [n, d] along them, [L, n, d], and the error left."""


@piecewise()
def trajectory_pool(
    target: Target,
    n: int,
    *,
    horizon: float,
    delta: float,
    levels: int = 65,
    wide_share: float = 0.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> TrajectoryPool:
    """n exact trajectories from N(0, I) at T = horizon to δ = delta, stored at `levels` times even in angle.

    They are computed in float64 and stored in `dtype`.

    A share of them may start wider, from N(0, 1.5² I): the flow is exact there too, and a map that has seen the tails
    of the noise does not throw the rare far sample to where the data has no mass.

    Fixed-step RK4 (Gaussians: the closed form). Between neighbouring levels it takes as many sub-steps as a subset of
    the trajectories needs to agree with the adaptive solver to 0.0002 in every coordinate; `error` is what they left.
    """
    noise = _starting_points(n, target.dim, wide_share, generator).to(device, torch.float64)
    angles, follow, error = exact_trajectories(target, noise, horizon=horizon, delta=delta, levels=levels, dtype=dtype)
    return TrajectoryPool(angles.to(dtype), follow(noise), error)


@piecewise()
def exact_trajectories(
    target: Target,
    noise: Float[Tensor, "n d"],
    *,
    horizon: float,
    delta: float,
    levels: int,
    dtype: torch.dtype = torch.float32,
) -> Trajectories:
    """How a pool of exact trajectories is made; what is found out for some noise, in float64, serves for all other."""
    angles, times = _levels(horizon, delta, levels, noise.device)
    flow = ExactFlow(target)
    if flow.method == "closed form (Gaussian)":
        states = flow.path(noise[:_SUBSET_ENTRIES], times)
        error = float((states.to(dtype) - states).abs().max())
        return angles, lambda noise: flow.path(noise, times).to(dtype), error
    substeps, error = _enough_substeps(target, noise, times, angles)
    if error > _TOLERANCE:
        words = f"The trajectories of {target.name} are only exact to {error:.1g}: a larger δ or more levels help."
        warnings.warn(words, RuntimeWarning, stacklevel=3)
    field = partial(velocity_in_angle, target)
    return angles, lambda noise: _in_pieces(field, noise, angles, substeps, dtype), error


@torch.no_grad()
def trajectories_along(
    velocity: VelocityField, noise: Float[Tensor, "n d"], *, horizon: float, delta: float, levels: int
) -> Trajectories:
    """The same along a velocity dx/dθ that is known as a function alone, a learned one say; in float32.

    The sub-steps are doubled until doing so moves no coordinate of a subset by more than 0.002, or there are eight; the
    error is what it moved.
    """
    angles, _ = _levels(horizon, delta, levels, noise.device)
    subset = noise[:: max(1, len(noise) // 256)][:256].float()
    coarse, substeps = runge_kutta(velocity, subset, angles, [1] * (levels - 1)), 1
    while True:
        fine = runge_kutta(velocity, subset, angles, [2 * substeps] * (levels - 1))
        error = float((fine - coarse).abs().max())
        if error <= _TEACHER_TOLERANCE or substeps >= _MOST_TEACHER_SUBSTEPS:
            return angles, partial(_along, velocity, angles, [substeps] * (levels - 1)), error
        coarse, substeps = fine, 2 * substeps


@torch.no_grad()
def _along(velocity: VelocityField, angles: Tensor, substeps: Sequence[int], noise: Tensor) -> Tensor:
    return _in_pieces(velocity, noise.float(), angles, substeps, torch.float32)


def _starting_points(n: int, dim: int, wide_share: float, generator: torch.Generator) -> Tensor:
    if n < 1:
        raise ValueError("A pool needs at least one trajectory.")
    noise = torch.randn(n, dim, generator=generator, device=generator.device)
    noise[n - int(wide_share * n) :] *= WIDE
    return noise


def _levels(horizon: float, delta: float, levels: int, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Angles even from T to δ, and their times, float64."""
    if not horizon > delta >= 0:
        raise ValueError(f"Trajectories run from T down to δ with T > δ ≥ 0; got T = {horizon:g}, δ = {delta:g}.")
    if levels < 2:
        raise ValueError("A pool needs at least two levels.")
    first, last = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    angles = torch.linspace(first, last, levels, dtype=torch.float64, device=device)
    times = time_from_angle(angles)
    times[0], times[-1] = horizon, delta
    return angles, times


def _in_pieces(
    velocity: VelocityField, noise: Tensor, angles: Tensor, substeps: Sequence[int], dtype: torch.dtype
) -> Tensor:
    """The states at all angles, for pieces of the points that fit the cache."""

    def states(noise: Tensor) -> Tensor:
        return runge_kutta(velocity, noise, angles, substeps).to(dtype)

    return torch.cat(in_pieces(states, noise, rows=max(1024, _CHUNK_ENTRIES // noise.shape[1])), dim=1)


def _enough_substeps(target: Target, noise: Tensor, times: Tensor, angles: Tensor) -> tuple[list[int], float]:
    """Sub-steps of each interval, powers of two, that meet the tolerance on a subset; and the error they leave there.

    Where the density has edges the last interval may need dozens and all others one: the velocity turns over a range
    of θ of about θ itself.
    """
    costly = max(1.0, target.components / _FEW_COMPONENTS)
    size = max(16, min(256, _SUBSET_ENTRIES // target.dim))
    size = min(len(noise), size, max(32, round(size / costly)))
    subset = noise[:: len(noise) // size][:size]
    field = partial(velocity_in_angle, target)
    truth = ExactFlow(target, tolerance=1e-6).path(subset, times)
    share = _TOLERANCE
    while True:
        substeps = [
            _fewest(field, start, end, angles[k : k + 2], share) for k, (start, end) in enumerate(pairwise(truth))
        ]
        trial = runge_kutta(field, subset, angles, substeps)
        error = float((trial - truth).abs().max())
        if error <= _TOLERANCE or max(substeps) >= _MOST_SUBSTEPS:
            return substeps, error
        share /= 4


def _fewest(velocity: VelocityField, start: Tensor, end: Tensor, angles: Tensor, tolerance: float) -> int:
    """The fewest sub-steps, a power of two, that lead from the states at the first angle to those at the second."""
    substeps = 1
    while substeps < _MOST_SUBSTEPS:
        landed = runge_kutta(velocity, start, angles, [substeps])[-1]
        if float((landed - end).abs().max()) <= tolerance:
            break
        substeps *= 2
    return substeps


def runge_kutta(velocity: VelocityField, x: Tensor, angles: Tensor, substeps: Sequence[int]) -> Tensor:
    """Classic RK4 in angle with equal steps between neighbouring angles, as many as asked; the states at all angles."""
    states = [x]
    for start, end, count in zip(angles[:-1].tolist(), angles[1:].tolist(), substeps, strict=True):
        h = (end - start) / count
        for i in range(count):
            theta = start + i * h
            k1 = velocity(x, theta)
            k2 = velocity(x + h / 2 * k1, theta + h / 2)
            k3 = velocity(x + h / 2 * k2, theta + h / 2)
            k4 = velocity(x + h * k3, theta + h)
            x = x + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        states.append(x)
    return torch.stack(states)


def _largest(error: Tensor) -> Tensor:
    """Max norm: the solver's step satisfies the worst point, not the average one."""
    return error.abs().max()


def _one_time(t: Time) -> float:
    value = torch.as_tensor(t, dtype=torch.float64)
    if value.numel() > 1 and bool((value != value.flatten()[0]).any()):
        raise ValueError(
            "The ODE solver moves all points between the same two times; give one t and one s, "
            "or loop over groups of points that share them."
        )
    return float(value.flatten()[0])
