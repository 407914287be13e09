r"""How straight the paths from noise to data are: what one step of a solver would lose.

A path is followed in the coordinates of the linear interpolation, x̄ = x/(cos θ + sin θ) at its time
τ = sin θ/(cos θ + sin θ), with τ ∈ [τ_δ, τ_T] rescaled to [0, 1]. With Δ = x̄(1) − x̄(0) and v = dx̄/dτ,

.. math:: S = \int_0^1 |v - \Delta|^2\,d\tau = \int_0^1 |v|^2\,d\tau - |\Delta|^2, \qquad
          R = |\Delta|^2 \Big/ \int_0^1 |v|^2\,d\tau \in [0, 1]

S is the straightness of Liu, Gong & Liu 2022 (arXiv:2209.03003, "rectified flow") for one path; it is zero exactly when
the path is straight and evenly paced, so that a single Euler step lands where the path does. R is its share without
units, R = 1 − S/∫|v|²: 1 for such a path, 0 for one that ends where it began. A path known at L + 1 times even in τ
counts as the polygon through them, whose ∫|v|² approaches that of the path from below as L grows.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, Stage, land, like_map
from cmcore.flow import ExactFlow
from cmcore.preconditioning import linear_time
from cmcore.process import angle, time_from_noise_level
from cmcore.targets.base import Target
from cmcore.threads import piecewise


class Bends(NamedTuple):
    """Two measures of how much each path bends: S, 0 where it is straight, and R, 1 where it is.

    Attributes:
        deviation: S, in squared units of x̄, [n].
        straightness: R, between 0 and 1, [n].
    """

    deviation: Float[Tensor, " n"]
    straightness: Float[Tensor, " n"]


def path_times(horizon: float, delta: float, levels: int) -> Float[Tensor, " L1"]:
    """levels + 1 times from T down to δ, even in τ; float64."""
    ends = linear_time(angle(torch.tensor([horizon, delta], dtype=torch.float64)))
    tau = ends[0] + (ends[1] - ends[0]) * torch.linspace(0, 1, levels + 1, dtype=torch.float64)
    times = time_from_noise_level(tau / (1 - tau))
    times[0], times[-1] = horizon, delta  # the ends themselves, without rounding
    return times


def bends(path: Float[Tensor, "L1 n d"], times: Float[Tensor, " L1"]) -> Bends:
    """S and R of paths whose states are known at :func:`path_times`."""
    theta = angle(times)[:, None, None]
    straightened = path.double() / (theta.cos() + theta.sin())
    steps = straightened.diff(dim=0)
    energy = len(steps) * steps.square().sum((0, 2))
    chord = (straightened[-1] - straightened[0]).square().sum(1)
    # A path that does not move is straight.
    straightness = torch.where(energy > 0, chord / energy.clamp_min(1e-300), 1.0)
    return Bends((energy - chord).clamp_min(0), straightness.clamp(0, 1))


@piecewise()
def exact_bends(
    target: Target, noise: Float[Tensor, "n d"], times: Float[Tensor, " L1"], *, tolerance: float = 1e-6
) -> Bends:
    """S and R of the exact paths s ↦ Φ_{T→s}(z)."""
    return bends(ExactFlow(target, tolerance=tolerance).path(noise.double(), times), times)


@piecewise()
def map_bends(f: JumpMap, noise: Float[Tensor, "n d"], times: Float[Tensor, " L1"]) -> Bends:
    """S and R of the curves s ↦ f(z, T, s) that the landing points of one jump draw as its end moves from T to δ."""
    return bends(_landings(f, noise, times), times)


def _landings(f: JumpMap, noise: Tensor, times: Tensor) -> Tensor:
    dtype, device = like_map(f)
    start = noise.to(device, dtype)
    horizon, *ends = times.tolist()
    along: Callable[[float], Tensor] = lambda s: land(f, start, Stage(horizon, s)).double().cpu()  # noqa: E731
    return torch.stack([noise.double().cpu(), *map(along, ends)])
