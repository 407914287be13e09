r"""The Lagrangian identity: as its end time s moves, the map's landing point moves with the flow."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import OBJECTIVES, LossContext, Velocity
from cmcore.objectives.composition import Composition, Points


@OBJECTIVES.register("lagrangian")
@dataclass(frozen=True)
class Lagrangian(Composition):
    r"""∂_s f(x, t, s) = v(f(x, t, s), s), with s an angle.

    .. math:: E = \partial_s\mathrm{skip}\,x - \partial_s\mathrm{out}\,F - \mathrm{out}\,\partial_s F
              - v(\mathrm{sg} f, s), \qquad L = E\,|E|^2 + \text{diagonal}

    The gradient flows through F and ∂_s F, the derivative of the network along its second time; no derivative in space
    is taken. The argument of v is not differentiated (Boffi et al. 2025, arXiv:2505.18825, Lagrangian).
    """

    velocity: Velocity = "self"

    label: ClassVar[str] = "Lagrangian identity"
    known_for: ClassVar[str] = "Behind LMD, LSD and TVM."
    building_block: ClassVar[bool] = True
    velocities: ClassVar[tuple[Velocity, ...]] = ("self", "learned", "exact")

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        f, (x, theta, gap) = context.flow_map, points[:3]
        answer, by_end = f.direction_and_tangent(x, theta, gap, (None, 0.0, -1.0), through_tangent=True)
        return self._residual(context, points, answer, by_end)

    @property
    def has_manual_gradient(self) -> bool:
        return True

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        f, (x, theta, gap) = context.flow_map, points[:3]
        answer, by_end, pull_back = f.pulled_direction_and_tangent(
            x, theta, gap, (None, 0.0, -1.0), through_tangent=True
        )
        out, out_s = f.preconditioning(theta, gap).out, f.preconditioning.by_end(theta, gap).out
        error = self._residual(context, points, answer, by_end)
        return error, lambda slope: pull_back(-out_s * slope, -out * slope)

    def _residual(self, context: LossContext, points: Points, answer: Tensor, by_end: Tensor) -> Tensor:
        f, (x, theta, gap) = context.flow_map, points[:3]
        _, out = f.preconditioning(theta, gap)
        skip_s, out_s = f.preconditioning.by_end(theta, gap)
        with torch.no_grad():
            landing = f.landing(x, theta, gap, answer)
            velocity = self._flow(context, landing, theta - gap)
        return skip_s * x - velocity - out_s * answer - out * by_end

    def _flow(self, context: LossContext, x: Tensor, theta: Tensor) -> Tensor:
        if self.velocity == "self":
            return context.targets.velocity_in_angle(x, theta, for_weights=True)
        return context.velocities[self.velocity](x, theta)
