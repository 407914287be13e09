r"""By how much a map misses the identities that the exact flow satisfies, at chosen points.

=============  ============================================================  ===============
identity       residual                                                      unit
=============  ============================================================  ===============
semigroup      :math:`|f(f(x,t,u),u,s) - f(x,t,s)|`                            that of x
Lagrangian     :math:`|\partial_{\theta_s} f(x,t,s) - v(f(x,t,s), s)|`         x per radian
Eulerian       :math:`|\partial_{\theta_t} f + \nabla f \cdot v(x, t)|`        x per radian
=============  ============================================================  ===============

v = dx/dθ is the exact velocity, times are angles θ = arccos e^{-t}. The last two are the errors that the objectives of
the same names minimise (:mod:`~cmcore.objectives.identities`; Boffi et al. 2025,
arXiv:2505.18825), read off those objectives themselves. All are zero at the exact map, and none asks for Φ.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import CHUNK, JumpMap, Stage, land, like_map
from cmcore.flow import velocity_in_angle
from cmcore.model import FlowMap
from cmcore.objectives.base import LossContext
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.identities.lagrangian import Lagrangian
from cmcore.process import angle, time_from_angle
from cmcore.targets.base import Target
from cmcore.threads import piecewise

_LAGRANGIAN = Lagrangian(velocity="exact")
_EULERIAN = Eulerian(velocity="exact")


def midway(t: float, s: float) -> float:
    """The time whose angle lies halfway between those of t and s."""
    return float(time_from_angle(angle(torch.tensor([t, s], dtype=torch.float64)).mean()))


@piecewise()
def semigroup_residual(
    f: JumpMap, x: Float[Tensor, "n d"], t: float, s: float, *, through: float | None = None
) -> Float[Tensor, " n"]:
    """|f(f(x, t, u), u, s) − f(x, t, s)| with u = `through`, by default :func:`midway`."""
    u = midway(t, s) if through is None else through
    dtype, device = like_map(f)
    x = x.to(device, dtype)
    twice = land(f, land(f, x, Stage(t, u)), Stage(u, s))
    return (twice - land(f, x, Stage(t, s))).norm(dim=1).double().cpu()


@piecewise()
def lagrangian_residual(f: FlowMap, target: Target, x: Float[Tensor, "n d"], t: float, s: float) -> Float[Tensor, " n"]:
    """|∂f/∂θ_s − v(f, s)|, s < t: how far the landing point is from moving with the flow as s moves."""
    return _in_pieces(_LAGRANGIAN.errors, f, target, x, t, s)


@piecewise()
def eulerian_residual(f: FlowMap, target: Target, x: Float[Tensor, "n d"], t: float, s: float) -> Float[Tensor, " n"]:
    """|∂f/∂θ_t + ∇f · v(x, t)|, s < t: how far the landing point moves while its start is carried along the flow."""
    return _in_pieces(
        lambda context, points: _EULERIAN.residual(context, points, points.velocity)[1], f, target, x, t, s
    )


@torch.no_grad()
def _in_pieces(residual, f: FlowMap, target: Target, x: Tensor, t: float, s: float) -> Tensor:  # noqa: ANN001, PLR0917
    if not s < t:
        raise ValueError(f"This residual speaks of jumps back in time: s must be below t; got t = {t:g}, s = {s:g}.")
    dtype, device = like_map(f)

    def velocity(x: Tensor, theta: Tensor) -> Tensor:
        return velocity_in_angle(target, x.double(), theta.double().reshape(-1)).to(dtype)

    context = LossContext(f, f, {"exact": velocity}, progress=1.0)
    late, early = angle(torch.tensor([t, s], dtype=torch.float64)).tolist()
    sizes = []
    for piece in x.to(device, dtype).split(CHUNK):
        theta, gap = (torch.full((len(piece), 1), value, dtype=dtype, device=device) for value in (late, late - early))
        points = Points(piece, theta, gap, velocity(piece, theta), theta, piece)
        sizes.append(residual(context, points).norm(dim=1).double().cpu())
    return torch.cat(sizes)
