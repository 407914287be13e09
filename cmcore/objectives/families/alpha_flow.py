r"""α-Flow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, Paper, Velocity
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.preconditioning import angle_at, linear_time
from cmcore.settings import Share

SHORTEST = 1e-5
"""Least step from t to r, an angle: E divides by it."""

STEEPNESS = 25.0
"""γ of the sigmoid by which α falls, over the share of the run in which it does."""


@OBJECTIVES.register("alpha_flow")
@dataclass(frozen=True)
class AlphaFlow(Eulerian):
    r"""α-Flow: from flow matching to MeanFlow, by jumps whose first share α goes along the pair and falls to 0.

    .. math:: \frac{1}{\alpha}\,E\,\big|F(x_t,t,s) - \mathrm{sg}\,(\alpha\, v + (1-\alpha)\, F(x_r,r,s))\big|^2,
              \qquad r = t - \alpha\,(t - s)

    x_r is the point of the same pair. α = 1 regresses F on v, whatever s; α → 0 is MeanFlow, in value and gradient; at
    α = 1/2, with a jump of the map in place of v, it is a shortcut's semigroup. α follows the sigmoid of steepness 25
    between the shares alpha_from and alpha_to of the run, is 1 above 1 − alpha_floor, and below alpha_floor MeanFlow's
    derivative takes over. Zhang et al. 2025, arXiv:2510.20771, and the authors' code: α falls over all of the run (here
    over its first half, since rates fall too), logit τ ~ N(−0.4, 1) (here N(−1, 1.4²)), s = t on a quarter to half of
    the rows (here half), floor 0.005, adaptive weights (here the square).

    Off the linear path the same is an Eulerian residual over a step of finite length: E = (f(x_r, r, s) − f(x_t, t, s))
    over that length, which the gradient follows through F(x_t, t, s) alone.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    diagonal_share: float = 0.5
    alpha_from: Annotated[Share, Field(description="share of the run at which α begins to fall")] = 0.0
    alpha_to: Annotated[Share, Field(description="share of the run at which α is 0")] = 0.5
    alpha_floor: Annotated[float, Field(ge=1e-4, le=0.5, description="the least α that is not 0")] = 0.005

    label: ClassVar[str] = "α-Flow"
    paper: ClassVar[Paper] = Paper(2025, "2510.20771")
    known_for: ClassVar[str] = "Begins as flow matching and ends as MeanFlow, which converges faster."
    building_block: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"batch": 2048})
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha_from < self.alpha_to:
            raise ValueError("alpha_from and alpha_to are shares of the run, the first below the second.")

    def alpha_at(self, progress: float) -> float:
        """α when a share `progress` of the run is done."""
        middle = (self.alpha_from + self.alpha_to) / 2
        slope = STEEPNESS / (self.alpha_to - self.alpha_from)
        if not self.alpha_from < progress < self.alpha_to:
            return float(progress <= self.alpha_from)
        alpha = 1 / (1 + math.exp(slope * (progress - middle)))
        return 0.0 if alpha < self.alpha_floor else 1.0 if alpha > 1 - self.alpha_floor else alpha

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        theta, end, _ = super().angles(clock, chance, progress)
        late, early = linear_time(theta), linear_time(end)
        inner = angle_at(late - self.alpha_at(progress) * (late - early))
        return theta, end, torch.maximum(torch.minimum(inner, theta - SHORTEST), end)

    def earlier(self, source: BatchSource, points: Points, data: Tensor, noise: Tensor) -> Tensor:
        del source
        return points.inner.cos() * data + points.inner.sin() * noise

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        if not self.alpha_at(context.progress):
            return super().errors(context, points)
        answer = context.flow_map.direction(*points[:3], for_weights=True)
        return answer - (answer - self._over_step(context, points, answer)).detach()

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        if not self.alpha_at(context.progress):
            return super().manual_gradient(context, points)
        answer, pull_back = context.flow_map.pulled_direction(*points[:3])
        return self._over_step(context, points, answer), pull_back

    @torch.no_grad()
    def _over_step(self, context: LossContext, points: Points, answer: Tensor) -> Tensor:
        """E over the step from t to r, in units of F."""
        x, theta, gap, _, inner, earlier = points
        f, step, end = context.targets, theta - inner, theta - gap
        landing = context.flow_map.landing(x, theta, gap, answer)
        rest = inner - end
        wanted = f.landing(earlier, inner, rest, f.direction(earlier, inner, rest, for_weights=True))
        length = step.sin()
        if context.flow_map.config.preconditioning == "linear":
            length = length * (end.cos() + end.sin()) / ((theta.cos() + theta.sin()) * (inner.cos() + inner.sin()))
        # Near π/2 a short jump's angles may be one number in single precision: it teaches nothing.
        return torch.where(length > 0, (wanted - landing) / length, 0.0)
