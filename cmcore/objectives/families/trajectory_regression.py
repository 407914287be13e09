r"""Trajectory regression: learn the map from pairs of states on exact trajectories.

Where the target's density is known, so is its probability-flow ODE. A pool of noise points is carried along it once;
any two states (x_t, x_s) of one trajectory are then a noise-free training pair, for every pair of times. Where it is
not known, the velocity is learned from samples first, and the pool follows what was learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.flow import TrajectoryPool, pool_along
from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, Need, Objective, Preparation, Velocity
from cmcore.objectives.metrics import distance_and_slope
from cmcore.pools import GrowingPool, pools, same_law
from cmcore.process import round_angle

__all__ = ["TrajectoryPairs", "TrajectoryRegression"]

FEWEST = 1_000
"""Trajectories that a run learns from at least, however short of time."""


class TrajectoryPairs(NamedTuple):
    """Pairs of states of the same trajectories, at θ_t and at θ_s = θ_t − gap, gap > 0.

    Attributes:
        x, y: the states at θ_t and θ_s.
        theta, gap: θ_t and Δ.
    """

    x: Float[Tensor, "*n d"]
    y: Float[Tensor, "*n d"]
    theta: Float[Tensor, "*n 1"]
    gap: Float[Tensor, "*n 1"]


@OBJECTIVES.register("trajectory_regression")
@dataclass(frozen=True)
class TrajectoryRegression(Objective[TrajectoryPairs]):
    r"""Regress the network on F* = (skip · x_t − x_s)/out, the value it must take on an exact trajectory.

    .. math:: L = E\,(\sin\Delta)^{w}\,\rho(F(x_t,t,s) - F^*), \quad \Delta = \theta_t - \theta_s,

    with the pseudo-Huber metric ρ(e) = √(|e|² + c²) − c, c = threshold · √d. A few-step map is steep between basins;
    under the square, errors there outweigh all others, and are made small by smoothing the boundary, which leaves mass
    between the modes. For the same reason a share of the pairs lies on trajectories drawn in proportion to the local
    stretch of the flow.

    The exact map has loss 0, up to the pool's own error. Distillation onto precomputed ODE solutions goes back to
    Luhman & Luhman 2021 (arXiv:2101.02388) for t = T, s = 0; here every pair of times is learned. Defaults were
    measured on eight Gaussians.

    Args:
        trajectories: trajectories in the pool; None: 40,000, and down to 4,000 for laws of many components, whose
            scores cost as many times more.
        levels: times stored along each, even in angle.
        weight_power: w.
        to_data: share of the pairs that end at δ, beyond those that do by chance. Few-step samples live on them.
        from_noise: share of the pairs that start at T, likewise.
        wide_share: share of the trajectories that start in the tails of the noise.
        steep_share: share of the pairs on trajectories drawn in proportion to the stretch of the flow.
        threshold: error of a coordinate of F from which errors count linearly.
        velocity: "exact", or "learned" from samples first.
        teacher_budget: share of the run that goes to learning it.
        teacher_steps: its steps; None: from the budget.
    """

    trajectories: int | None = None
    levels: int = 65
    weight_power: float = 0.0
    to_data: float = 0.3
    from_noise: float = 0.2
    wide_share: float = 0.1
    steep_share: float = 0.5
    threshold: float = 0.05
    velocity: Velocity = "exact"
    teacher_budget: float = 0.4
    teacher_steps: int | None = None

    label: ClassVar[str] = "Trajectory regression"

    def __post_init__(self) -> None:
        if self.velocity not in ("learned", "exact") or not 0 < self.teacher_budget < 1:
            raise ValueError(f"{self.label}: velocity is 'exact' or 'learned', and teacher_budget a share of the run.")
        if self.teacher_steps is not None and self.teacher_steps < 1:
            raise ValueError(f"teacher_steps is at least 1, or left to the budget; got {self.teacher_steps}.")
        shares = (self.to_data, self.from_noise, self.wide_share, self.steep_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("to_data, from_noise, wide_share and steep_share are shares, between 0 and 1.")
        if not 1e-12 <= self.threshold <= 1e6:  # beyond, its square is 0 or ∞ in single precision
            raise ValueError(
                f"threshold is the error from which errors count linearly, from 1e-12 to 1e6; got {self.threshold}."
            )
        if not -2 <= self.weight_power <= 20:
            raise ValueError(f"weight_power lies between -2 and 20; got {self.weight_power:g}.")
        if not 2 <= self.levels <= 4096 or not 1 <= (self.trajectories or 1) <= 10_000_000:
            raise ValueError("A pool has 2 to 4,096 levels and 1 to 10,000,000 trajectories.")

    @property
    def needs(self) -> Need:
        return "exact trajectories" if self.velocity == "exact" else "frozen teacher"

    @property
    def teacher_share(self) -> float:
        return self.teacher_budget if self.velocity == "learned" else 0.0

    def prepare(self, source: BatchSource) -> TrajectoryPool:
        if self.velocity == "exact":
            return self._growing(source).pool(self.trajectories or self._most(source))
        assert source.teacher is not None
        return pool_along(
            source.teacher,
            n=self.trajectories or self._most(source),
            dim=source.target.dim,
            horizon=source.horizon,
            delta=source.delta,
            levels=self.levels,
            wide_share=self.wide_share,
            generator=source.generator,
            device=source.device,
        )

    def preparing(self, source: BatchSource) -> Iterator[Preparation]:
        """The pool of a known velocity, piece by piece; one of a learned velocity is made at once."""
        if self.velocity == "learned":
            yield from super().preparing(source)
            return
        growing, most = self._growing(source), self.trajectories or self._most(source)
        done = 0
        while done < most:
            growing.grow(min(most, done + growing.rows), room=most)
            done = min(most, growing.followed)
            message = f"following trajectories, {done:,} of {most:,}"
            enough = done == most or (self.trajectories is None and done >= FEWEST)
            yield Preparation(message, enough, replace(self, trajectories=done), partial(growing.pool, done))
        pools.trim()

    def _growing(self, source: BatchSource) -> GrowingPool:
        """The pool of this process from which all runs of one law, span of time and seed take their trajectories."""
        choice = {"levels": self.levels, "wide_share": self.wide_share, "device": source.device}
        span = {"horizon": source.horizon, "delta": source.delta}
        seed = source.generator.initial_seed()
        generator = torch.Generator(source.generator.device).manual_seed(seed)  # which no other draw moves on
        key = (same_law(source.target), seed, *map(str, (*choice.values(), *span.values())))
        make = partial(GrowingPool, source.target, generator=generator, **choice, **span)
        return pools.get(key, make)

    @staticmethod
    def _most(source: BatchSource) -> int:
        """40,000, and down to 4,000 for laws of many components, whose scores cost as many times more."""
        return max(4_000, 40_000 * 32 // max(32, source.target.components))

    def batches(
        self, prepared: TrajectoryPool, count: int, size: int, *, generator: torch.Generator, progress: float = 0.0
    ) -> Iterator[TrajectoryPairs]:
        del progress
        levels, device = len(prepared.states), prepared.states.device
        chance = 1 - self.steep_share + self.steep_share * prepared.stretch / prepared.stretch.mean()
        which = chance.to(generator.device).multinomial(count * size, replacement=True, generator=generator)
        early, late = self._pairs_of_levels(levels, count * size, generator)
        # One gather for all the batches: two random reads a pair, and no small operations left to the steps.
        which = which.to(device)
        x, y = (prepared.states[level.to(device), which] for level in (early, late))
        angles = round_angle(prepared.angles, prepared.states.dtype)
        theta = angles[early.to(device), None]
        gap = theta - angles[late.to(device), None]
        columns = (x, y, theta, gap)
        yield from map(TrajectoryPairs._make, zip(*(column.split(size) for column in columns), strict=True))

    def loss(self, context: LossContext, batch: TrajectoryPairs) -> Float[Tensor, "*s"]:
        answer = context.flow_map.direction(batch.x, batch.theta, batch.gap, for_weights=True)
        return self._distances(context, batch, answer)[0].mean((-2, -1))

    @torch.no_grad()
    def backward(self, context: LossContext, batch: TrajectoryPairs) -> Float[Tensor, "*s"]:
        answer, pull_back = context.flow_map.pulled_direction(batch.x, batch.theta, batch.gap)
        distances, slopes = self._distances(context, batch, answer)
        pull_back(slopes.div_(batch.x.shape[-2]))
        return distances.mean((-2, -1))

    def _distances(self, context: LossContext, batch: TrajectoryPairs, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted distances of the answers from what they should be, and their gradients."""
        x, y, theta, gap = batch
        skip, out = context.flow_map.preconditioning(theta, gap)
        error = answer - (skip * x - y) / out
        distances, slopes = distance_and_slope(error, "pseudo_huber", self.threshold * x.shape[-1] ** 0.5)
        weights = gap.sin() ** self.weight_power if self.weight_power else 1.0
        return weights * distances, weights * slopes

    def _pairs_of_levels(self, levels: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices (i, j), i < j, of levels; a smaller index is a larger time.

        Uniform over all pairs, but for the shares in which j is the last level, or i the first.
        """
        i, j = _ordered_pairs(levels, n, generator)
        chance = torch.rand(2, n, generator=generator, device=generator.device)
        j = torch.where(chance[0] < self.to_data, levels - 1, j)
        i = torch.where(chance[1] < self.from_noise, 0, i)
        return i, j


def _ordered_pairs(levels: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (i, j), i < j, uniform over all pairs of levels."""
    i = torch.randint(levels, (n,), generator=generator, device=generator.device)
    j = torch.randint(levels - 1, (n,), generator=generator, device=generator.device)
    j += j >= i
    return torch.minimum(i, j), torch.maximum(i, j)
