r"""Terminal velocity matching."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.identities.lagrangian import Lagrangian
from cmcore.preconditioning import angle_at, linear_time


@OBJECTIVES.register("tvm")
@dataclass(frozen=True)
class TerminalVelocityMatching(Lagrangian):
    r"""TVM: where a jump ends it moves, with its end time, at the velocity that an average of the map has there.

    .. math:: E\,|\partial_s f(x,t,s) - v_{f^-}(\mathrm{sg} f(x,t,s), s)|^2 + E\,|F(x_s,s,s) - F_v|^2

    The residual is LSD's, with f⁻ an average of the weights, decay 0.99, on another law of times: as many rows on the
    diagonal as off it, t − s = sigmoid(N(gap_mean, gap_sd²)) of the linear path's span, and s by the clock below what
    the gap leaves. Zhou, Parger, Haque & Song 2025, arXiv:2511.19797, whose bound of W₂ this loss enters, and the
    authors' code, with logit τ_s ~ N(−0.4, 1) (here N(−1, 1.4²)) and gaps from N(−0.8, 1). Their weights by the
    strength of guidance and their Lipschitz transformer have no meaning here.
    """

    diagonal_share: float = 0.5
    target_average: float = 0.99
    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    gap_mean: Annotated[float, Field(ge=-20, le=20, description="of logit gap")] = -0.8
    gap_sd: Annotated[float, Field(ge=0.01, le=100, description="of logit gap")] = 1.0

    label: ClassVar[str] = "TVM, terminal velocity matching"
    paper: ClassVar[Paper] = Paper(2025, "2511.19797")
    known_for: ClassVar[str] = "One and few steps, with a bound of the Wasserstein distance."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("self",)

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        first, last = linear_time(torch.tensor([clock.first, clock.last], dtype=chance.dtype)).tolist()
        normal = torch.special.ndtri(chance[0].clamp(1e-6, 1 - 1e-6))
        gap = torch.sigmoid(self.gap_mean + self.gap_sd * normal) * (last - first)
        early = chance[1] * clock.read(angle_at(last - gap).clamp(clock.first, clock.last))
        late = clock.read(angle_at(linear_time(clock.angle(early)) + gap).clamp(clock.first, clock.last))
        late, early = self.pairs(torch.stack((late, early, *chance[2:])), progress)
        theta = clock.angle(late)
        return theta, clock.angle(early), theta
