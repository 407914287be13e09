r"""The semigroup identity: two jumps through a time in between land where one jump does."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, LossContext, Velocity
from cmcore.objectives.clocks import Clock
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.regressed import Regressed, direction_to


@OBJECTIVES.register("semigroup")
@dataclass(frozen=True)
class Semigroup(Regressed):
    r"""f(x, t, s) = f(f(x, t, u), u, s), divided by `out` so that all gaps weigh alike.

    .. math:: L = E\,|F(x,t,s) - F^*|^2 + \text{diagonal},\quad
              F^* = \mathrm{sg}\,\frac{\mathrm{skip}\,x - f(f(x,t,u),u,s)}{\mathrm{out}}

    On the linear path F* is the average of the two jumps' F weighted by their lengths (Boffi et al. 2025,
    arXiv:2505.18825, preconditioned). The velocity enters on the diagonal alone, so the diagonal must stay: F = 0 off
    it satisfies the identity by itself.
    """

    velocity: Velocity = "conditional"
    through: Annotated[
        Literal["midpoint", "uniform"], Field(description="u, at the middle of [s, t] or uniform in it, by the clock")
    ] = "midpoint"

    label: ClassVar[str] = "Semigroup identity"
    known_for: ClassVar[str] = "Behind PSD and the shortcut models."
    building_block: ClassVar[bool] = True
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "learned", "exact")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diagonal_share == 0:
            raise ValueError("The semigroup identity alone is solved by a map that does not move: diagonal_share > 0.")

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        late, early = self.pairs(chance, progress)
        share = 0.5 if self.through == "midpoint" else chance[4]
        return clock.angle(late), clock.angle(early), clock.angle(early + share * (late - early))

    @torch.no_grad()
    def wanted(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        f, (x, theta, gap), between = context.targets, points[:3], points.inner
        half = theta - between
        halfway = f.landing(x, theta, half, f.direction(x, theta, half, for_weights=True))
        rest = gap - half
        landing = f.landing(halfway, between, rest, f.direction(halfway, between, rest, for_weights=True))
        return direction_to(context, points, landing)
