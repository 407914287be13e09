r"""Trajectory regression: learn the map from pairs of states on exact trajectories.

Where the target's density is known, so is its probability-flow ODE. A pool of noise points is carried along it once;
any two states (x_t, x_s) of one trajectory are then a noise-free training pair, for every pair of times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.flow import TrajectoryPool, trajectory_pool
from cmcore.model import FlowMap
from cmcore.objectives.base import OBJECTIVES, Need, Objective, Source

__all__ = ["TrajectoryPairs", "TrajectoryRegression"]


class TrajectoryPairs(NamedTuple):
    """States x at angle θ_t and y at the smaller angle θ_s of the same trajectories, gap = θ_t − θ_s > 0."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n d"]
    theta: Float[Tensor, "n 1"]
    gap: Float[Tensor, "n 1"]


@OBJECTIVES.register("trajectory_regression")
@dataclass(frozen=True)
class TrajectoryRegression(Objective[TrajectoryPairs]):
    r"""Regress the network on F* = (cos Δ · x_t − x_s)/sin Δ, the value it must take on an exact trajectory.

    .. math:: L = E\,(\sin\Delta)^{w}\,|F(x_t,t,s) - F^*|^2 = E\,(\sin\Delta)^{w-2}\,|f(x_t,t,s) - x_s|^2,
              \quad \Delta = \theta_t - \theta_s.

    The exact map has loss 0 (up to the pool's own error). Distillation onto precomputed ODE solutions goes back to
    Luhman & Luhman 2021 (arXiv:2101.02388) for t = T, s = 0; here every pair of times is learned. Defaults were
    measured on eight Gaussians.

    Args:
        trajectories: trajectories in the pool.
        levels: times stored along each, even in angle.
        weight_power: w.
    """

    trajectories: int = 40_000
    levels: int = 65
    weight_power: float = 0.5

    label: ClassVar[str] = "Trajectory regression"
    needs: ClassVar[Need] = "exact trajectories"

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 4096 or not 1 <= self.trajectories <= 10_000_000:
            raise ValueError("A pool has 2 to 4,096 levels and 1 to 10,000,000 trajectories.")

    def prepare(self, source: Source) -> TrajectoryPool:
        return trajectory_pool(
            source.target,
            self.trajectories,
            horizon=source.horizon,
            delta=source.delta,
            levels=self.levels,
            generator=source.generator,
            device=source.device,
        )

    def batches(
        self, prepared: TrajectoryPool, count: int, size: int, *, generator: torch.Generator
    ) -> Iterator[TrajectoryPairs]:
        levels, trajectories = prepared.states.shape[:2]
        device = prepared.states.device
        which = torch.randint(trajectories, (count, size), generator=generator, device=generator.device).to(device)
        early, late = _ordered_pairs(levels, (count, size), generator)
        early, late = early.to(device), late.to(device)
        theta = prepared.angles[early]
        gap = theta - prepared.angles[late]
        for k in range(count):
            x, y = prepared.states[early[k], which[k]], prepared.states[late[k], which[k]]
            yield TrajectoryPairs(x, y, theta[k, :, None], gap[k, :, None])

    def loss(self, flow_map: FlowMap, batch: TrajectoryPairs) -> Float[Tensor, ""]:
        sine = batch.gap.sin()
        wanted = (batch.gap.cos() * batch.x - batch.y) / sine
        miss = flow_map.direction(batch.x, batch.theta, batch.gap) - wanted
        return (sine**self.weight_power * miss.square()).sum(1).mean()


def _ordered_pairs(levels: int, shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (i, j), i < j, uniform over all pairs of levels; a smaller index is a larger time."""
    i = torch.randint(levels, shape, generator=generator, device=generator.device)
    j = torch.randint(levels - 1, shape, generator=generator, device=generator.device)
    j += j >= i
    return torch.minimum(i, j), torch.maximum(i, j)
