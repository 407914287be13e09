r"""Trajectory regression: learn the map from pairs of states on exact trajectories.

Where the target's density is known, so is its probability-flow ODE. A pool of noise points is carried along it once;
any two states (x_t, x_s) of one trajectory are then a noise-free training pair, for every pair of times. Where it is
not known, the velocity is learned from samples first, and the pool follows what was learned.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.flow import TrajectoryPool
from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, Need, Objective, Paper, Preparation, Velocity
from cmcore.objectives.metrics import distance_and_slope
from cmcore.pools import GrowingPool, exact_pool, learned_pool, pools, same_law
from cmcore.process import round_angle
from cmcore.settings import OnlyWith, Share

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
    stretch of the flow, and the network ends in a mixture of experts (:mod:`cmcore.experts`). Boundaries are made steep
    by many steps at high rates, short jumps exact by the last ones: w falls over the second half of the run.

    The exact map has loss 0, up to the pool's own error. Distillation onto precomputed ODE solutions goes back to
    Luhman & Luhman 2021 (arXiv:2101.02388) for t = T, s = 0; here every pair of times is learned. Defaults were
    measured on eight Gaussians.
    """

    trajectories: Annotated[
        int | None,
        Field(
            ge=1,
            le=10_000_000,
            description="trajectories in the pool; None: 40,000, and down to 4,000 for laws of many components, whose "
            "scores cost as many times more",
        ),
    ] = None
    levels: Annotated[int, Field(ge=2, le=4096, description="times stored along each, even in angle")] = 65
    weight_power: Annotated[float, Field(ge=-2, le=20, description="w until half of the run is done")] = 0.0
    late_power: Annotated[
        float,
        Field(ge=-2, le=20, description="what w has grown by at its end; below 0 short jumps count for more then"),
    ] = -0.5
    to_data: Annotated[
        Share,
        Field(description="share of the pairs that end at δ, beside those by chance; few-step samples live on them"),
    ] = 0.3
    from_noise: Annotated[Share, Field(description="share of the pairs that start at T, likewise")] = 0.27
    wide_share: Annotated[Share, Field(description="share of the trajectories from the tails of the noise")] = 0.1
    steep_share: Annotated[
        Share, Field(description="share of the pairs on trajectories drawn in proportion to the stretch of the flow")
    ] = 0.5
    threshold: Annotated[  # beyond, its square is 0 or ∞ in single precision
        float, Field(ge=1e-12, le=1e6, description="error of a coordinate of F from which errors count linearly")
    ] = 0.02
    velocity: Annotated[Velocity, Field(description="exact, or learned from samples first")] = "exact"
    teacher_budget: Annotated[
        float,
        Field(gt=0, lt=1, description="share of the run that goes to learning it"),
        OnlyWith("velocity", "learned"),
    ] = 0.4
    teacher_steps: Annotated[
        int | None, Field(ge=1, description="its steps; None: from the budget"), OnlyWith("velocity", "learned")
    ] = None

    label: ClassVar[str] = "Trajectory regression"
    paper: ClassVar[Paper] = Paper(2021, "2101.02388")
    known_for: ClassVar[str] = "Distillation on whole trajectories: where they are exact, the best map for the time."
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"learning_rate": 4e-3})
    experts: ClassVar[int] = 12
    velocities: ClassVar[tuple[Velocity, ...]] = ("exact", "learned")

    @property
    def needs(self) -> Need:
        return "exact trajectories" if self.velocity == "exact" else "frozen teacher"

    @property
    def precise(self) -> bool:
        return self.velocity == "exact"

    @property
    def teacher_share(self) -> float:
        return self.teacher_budget if self.velocity == "learned" else 0.0

    def prepare(self, source: BatchSource) -> TrajectoryPool:
        return self._growing(source).pool(self.trajectories or self._most(source))

    def preparing(self, source: BatchSource) -> Iterator[Preparation]:
        """The pool, piece by piece."""
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
        """The pool of this process from which all runs of one law, span of time and seed take their trajectories.

        Along a learned velocity it is the run's own.
        """
        choice = {"levels": self.levels, "wide_share": self.wide_share, "device": source.device}
        choice |= {"horizon": source.horizon, "delta": source.delta}
        seed = source.generator.initial_seed()
        generator = torch.Generator(source.generator.device).manual_seed(seed)  # which no other draw moves on
        if self.velocity == "learned":
            assert source.teacher is not None
            return learned_pool(source.teacher, source.target.dim, generator=generator, **choice)
        key = (same_law(source.target), seed, *map(str, choice.values()))
        return pools.get(key, partial(exact_pool, source.target, generator=generator, **choice))

    @staticmethod
    def _most(source: BatchSource) -> int:
        """40,000, and down to 4,000 for laws of many components, whose scores cost as many times more."""
        return max(4_000, 40_000 * 32 // max(32, source.target.components))

    def batches(
        self, prepared: TrajectoryPool, count: int, size: int, *, generator: torch.Generator, progress: float = 0.0
    ) -> Iterator[TrajectoryPairs]:
        del progress
        levels, device = len(prepared.states), prepared.states.device
        which = prepared.drawn(count * size, steep_share=self.steep_share, generator=generator)
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
        power = self.weight_power + self.late_power * max(0.0, 2 * context.progress - 1)
        weights = gap.sin() ** power if power else 1.0
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
