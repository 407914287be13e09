r"""The Eulerian identity: carried along the flow, the starting point does not move the landing point."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import OBJECTIVES, LossContext
from cmcore.objectives.composition import Composition, Points
from cmcore.settings import OnlyWith, Share


@OBJECTIVES.register("eulerian")
@dataclass(frozen=True)
class Eulerian(Composition):
    r"""∂_t f + ∇f · v(x, t) = 0, with t an angle, for the network's answer F.

    With F_v the answer that v asks for on the diagonal and Ḟ = ∂_t F + ∇F · w, where w = v unless β > 0,

    .. math:: E = \partial_t\mathrm{out}\,(F - F_v) + r\,\big(\mathrm{out}\,\dot F + \partial_t\mathrm{out}\,F_v
              - \partial_t\mathrm{skip}\,x - \mathrm{skip}\,v\big),

    which is zero at the exact map for r = 1. One residual serves many: on the linear path, divided by ∂_t out, it is
    MeanFlow's F − v + (t − s) dF/dt; on the trigonometric one it is cos gap (F − v) + r sin gap (x + Ḟ), sCM's tangent
    at s = 0; the families differ in where v comes from, what carries gradient, the metric and the times. Without
    `through_time` the gradient flows through F alone, towards sg(F − E).

    The velocity of a pair is its mean plus noise ξ, and E is linear in both its places, so that E has the right mean.
    At the exact map its noise is −∇f ξ, which steep maps make large. Along w = (1 − β) v + β v_f, v_f the map's own
    diagonal, it is −((1 − β) ∇f + β skip) ξ, and the mean stays right where v_f is.
    """

    through_time: Annotated[
        bool,
        Field(description="let the gradient flow through ∂_t F too, as ESD's paper does; ∇F · v never carries any"),
    ] = False
    tangent_warmup: Annotated[
        Share, Field(description="share of the run over which r grows from 0 to 1; 0: r = 1 throughout")
    ] = 0.0
    tangent_beta: Annotated[
        Share,
        Field(description="β, the share of the map's own velocity in the direction of the derivative"),
        OnlyWith("velocity", "conditional", "learned", "exact"),
    ] = 0.0

    label: ClassVar[str] = "Eulerian identity"
    known_for: ClassVar[str] = "Behind EMD, ESD, MeanFlow and sCM."
    building_block: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tangent_beta and not self.diagonal_share:
            raise ValueError(
                f"{self.label}: with tangent_beta > 0 the map's own velocity is asked for, which the diagonal teaches: "
                "diagonal_share > 0."
            )

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        answer, residual = self.residual(context, points, self.velocity_at(context, points))
        residual = self._in_units_of_network(context, points, residual)
        if self.through_time:
            return residual
        # The value of E, and the gradient of |F − sg(F − E)|².
        return answer - (answer - residual).detach()

    @property
    def has_manual_gradient(self) -> bool:
        return not self.through_time

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        velocity = self.velocity_at(context, points)
        along = (self.along(context, points, velocity), 1.0, 1.0)
        answer, along_flow, pull_back = context.flow_map.pulled_direction_and_tangent(*points[:3], along)
        residual = self._residual(context, points, velocity, answer, along_flow)
        return self._in_units_of_network(context, points, residual), pull_back

    def along(self, context: LossContext, points: Points, velocity: Tensor) -> Tensor:
        """w, in whose direction the network is differentiated."""
        if not self.tangent_beta or self.velocity == "self":
            return velocity
        return velocity.lerp(self.own_velocity(context, points).to(velocity.dtype), self.tangent_beta)

    def residual(self, context: LossContext, points: Points, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """F, and E before anything is divided out: with r = 1 and w = v it is −(∂_t f + ∇f · v), [*, n, d] each."""
        answer, along_flow = self._tangent(context, points, self.along(context, points, velocity))
        return answer, self._residual(context, points, velocity, answer, along_flow)

    def _residual(
        self, context: LossContext, points: Points, velocity: Tensor, answer: Tensor, along_flow: Tensor
    ) -> Tensor:
        f, (x, theta, gap) = context.flow_map, points[:3]
        skip, out = f.preconditioning(theta, gap)
        skip_t, out_t = f.preconditioning.by_start(theta, gap)
        at_rest = f.preconditioning.direction(x, theta, velocity)
        rest = out * along_flow + out_t * at_rest - skip_t * x - skip * velocity
        share = min(1.0, context.progress / self.tangent_warmup) if self.tangent_warmup else 1.0
        return out_t * (answer - at_rest) + share * rest

    @staticmethod
    def _in_units_of_network(context: LossContext, points: Points, residual: Tensor) -> Tensor:
        """On the linear path ∂_t out is divided out, as in MeanFlow."""
        f = context.flow_map
        if f.config.preconditioning != "linear":
            return residual
        return residual / f.preconditioning.by_start(points.theta, points.gap).out

    def _tangent(self, context: LossContext, points: Points, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """F and Ḟ; of Ḟ only ∂_t F carries gradient, and only with `through_time`."""
        f, (x, theta, gap) = context.flow_map, points[:3]
        if not self.through_time:
            return f.direction_and_tangent(x, theta, gap, (velocity, 1.0, 1.0))
        answer, by_start = f.direction_and_tangent(x, theta, gap, (None, 1.0, 1.0), through_tangent=True)
        with torch.no_grad():
            in_space = f.direction_and_tangent(x, theta, gap, (velocity, 0.0, 0.0))[1]
        return answer, by_start + in_space
