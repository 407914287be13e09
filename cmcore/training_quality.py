"""How well a training goes: the error of one jump against the exact flow, and which members have diverged."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from cmcore.flow import ExactFlow
from cmcore.model import FlowMap
from cmcore.optimizer import FlatOptimizer
from cmcore.streams import stream
from cmcore.targets import Target
from cmcore.training_budget import REPORT

CHECKED = 256
"""Fixed points on which it is measured."""
FAR = 10.0
"""A jump that misses by so many times the size of noise and data has nothing to do with either."""

EXPLODED = 1e4
"""A loss this many times the best one so far means the run has diverged."""


class Quality:
    """The root mean square error of one jump T → δ by the averaged weights, on fixed points of each member.

    Args:
        target: the law that is learned; where it is known by samples alone there is no truth to measure against.
        horizon, delta: T and δ.
        seeds: of the members.
        device: where they are trained.

    Attributes:
        limit: an error above it is a divergence.
    """

    def __init__(
        self, target: Target, horizon: float, delta: float, seeds: Sequence[int], device: torch.device
    ) -> None:
        self.members, self.horizon, self.delta = len(seeds), horizon, delta
        self.noise, self.limit = None, math.inf
        if not target.has_score:
            return
        size = (CHECKED, target.dim)
        of_members = [torch.randn(size, generator=stream(seed, "quality"), dtype=torch.float64) for seed in seeds]
        flow = ExactFlow(target, tolerance=1e-6)
        exact = torch.stack([flow(noise, horizon, delta) for noise in of_members])
        self.limit = FAR * float((exact.square().sum(-1).mean() + target.dim).sqrt())
        self.noise, self.exact = (x.to(device, torch.float32) for x in (torch.stack(of_members), exact))

    def measure(self, flow_map: FlowMap, optimizer: FlatOptimizer) -> Tensor:
        """The error of each member, [S], in the data's units; NaN where there is no truth."""
        if self.noise is None:
            return torch.full((self.members,), math.nan)
        weights = optimizer.weights
        with torch.no_grad():
            current = weights.clone()
            weights.copy_(optimizer.average)
            noise = self.noise[0] if flow_map.members is None else self.noise
            landed = flow_map(noise, self.horizon, self.delta)
            weights.copy_(current)
        return (landed - self.exact).square().sum(-1).mean(-1).sqrt().reshape(-1).cpu()


class Soundness:
    """Which members of a run have not diverged.

    A member has diverged when its loss or its gradient is no number, its loss is 10,000 times the best so far, most of
    its gradients are spikes, or a jump misses by ten times the size of noise and data.
    """

    def __init__(self, members: int) -> None:
        self._best = torch.full((members,), math.inf)

    def of(self, loss: Tensor, norm: Tensor, spiked: Tensor, missed: Tensor, averages: Iterable[Tensor]) -> Tensor:
        """Of each member, [S], from its loss, its gradient's norm, its spikes since the last report and averages."""
        self._best = torch.fmin(self._best, loss)
        sound = loss.isfinite() & norm.isfinite() & (loss < EXPLODED * self._best) & (spiked <= REPORT / 2) & ~missed
        finite = [a.reshape(len(sound), -1).isfinite().all(1).cpu() for a in averages]
        return sound & torch.stack(finite).all(0)
