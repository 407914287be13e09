r"""What starting from noise costs: :math:`KL(p_T\|\gamma)`, γ = N(0, I), derived in this project.

With :math:`M_2 = E|X_0|^2`,

.. math:: KL(p_T\|\gamma) \le \tfrac12\big[e^{-2T} M_2 - d\,e^{-2T} - d \log(1 - e^{-2T})\big]

since KL is convex in its first argument: :math:`p_T` is the mixture of :math:`N(e^{-T}x_0, \sigma_T^2 I)` over the
data, and each of those has a KL in closed form.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import alpha, sigma
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.theory.interval import Interval, mean
from cmcore.threads import piecewise

_REACH = 9.0
_WHOLE = 1e-8
_NODES_1D = 4001
_NODES_2D = 181


def initialisation_bound(target: Target, horizon: float) -> float:
    """½[e^{-2T} M₂ − d e^{-2T} − d log(1 − e^{-2T})] ≥ KL(p_T‖γ), in nats."""
    left = math.exp(-2 * horizon)
    return (left * (target.second_moment - target.dim) - target.dim * math.log1p(-left)) / 2


@piecewise()
def initialisation_kl(target: Target, horizon: float, *, seed: int, n: int = 100_000) -> Interval:
    """KL(p_T‖γ), in nats: quadrature for d ≤ 2, else a mean over n exact samples of both laws.

    p_T is smooth on the scale σ_T, close to 1 for any horizon of use, so a few nodes give it to near rounding.
    """
    if target.dim <= 2 and math.exp(-2 * horizon) < 0.5:
        nodes, area = _nodes(target, horizon)
        log_p = target.log_prob(nodes, horizon)
        log_ratio = _log_gaussian(nodes) - log_p
        # p (r − 1 − log r) ≥ 0 with r = γ/p: nothing cancels when the two laws are close.
        value = float((log_p.exp() * (torch.expm1(log_ratio) - log_ratio)).sum()) * area
        if abs(float(log_p.exp().sum()) * area - 1) < _WHOLE:  # else some of the data lies beyond the grid
            return Interval(value, value, value)
    half = n // 2
    generator = stream(seed, "initialisation")
    data = target.sample(half, t=horizon, generator=generator)
    noise = torch.randn(half, target.dim, generator=generator, dtype=torch.float64)
    # Half the points from each law: p (r − 1 − log r) over the mean of both densities stays small in every tail.
    parts = []
    for x in (data, noise):
        log_ratio = _log_gaussian(x) - target.log_prob(x, horizon)
        parts.append(mean((torch.expm1(log_ratio) - log_ratio) * 2 / (1 + log_ratio.exp())))
    value = sum(part.value for part in parts) / 2
    error = math.hypot(*(part.high - part.value for part in parts)) / 2
    return Interval(value, max(0.0, value - error), value + error)


def _nodes(target: Target, horizon: float) -> tuple[Float[Tensor, "m d"], float]:
    """An even grid that holds all of p_T and γ, and the area of a cell."""
    left, spread = (float(v(torch.tensor(horizon, dtype=torch.float64))) for v in (alpha, sigma))
    reach = _REACH * spread + left * math.sqrt(target.second_moment) * 3
    size = _NODES_1D if target.dim == 1 else _NODES_2D
    axis = torch.linspace(-reach, reach, size, dtype=torch.float64)
    nodes = axis[:, None] if target.dim == 1 else torch.cartesian_prod(axis, axis)
    return nodes, float(axis[1] - axis[0]) ** target.dim


def _log_gaussian(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    return -x.square().sum(1) / 2 - x.shape[1] / 2 * math.log(2 * math.pi)
