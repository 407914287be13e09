r"""Bounds on the KL of a renoised sampler, derived in this project.

**Bound A.** Let :math:`\varepsilon_k^2 = E_{x\sim p_{t_k}} |f(x,t_k,s_{k+1}) - \Phi_{t_k\to s_{k+1}}(x)|^2` be the
error of the jumps under the true laws. If every :math:`\eta_{k+1} > 0`,

.. math:: KL(p_{t_K}\|q_K) \le KL(p_T\|\gamma) + \sum_k \frac{\varepsilon_k^2}{2\,(e^{2\eta_{k+1}} - 1)}.

*Derivation.* Run the same chain with the exact flow Φ started from p_T: jumping to s and renoising for η takes
:math:`p_{t_k}` to :math:`p_{t_{k+1}}`, so its marginals are exactly :math:`p_{t_k}`. Compare the laws of the two whole
paths by the chain rule of KL. The starts contribute KL(p_T‖γ). Given :math:`x_k`, both next states are Gaussian with
covariance :math:`(1-e^{-2\eta})I` and means :math:`e^{-\eta}\Phi` and :math:`e^{-\eta} f`, so they contribute

.. math:: \frac{e^{-2\eta}|f-\Phi|^2}{2(1-e^{-2\eta})} = \frac{|f-\Phi|^2}{2(e^{2\eta}-1)}

on average over :math:`x_k \sim p_{t_k}`. Forgetting all but the last state can only lower KL (data processing). ∎

No smoothness of the data and no Lipschitz constant of f enters. The right-hand side is the KL of the paths, exactly;
what the bound loses is what renoising forgets. It speaks of KL(data‖model) of renoised runs, and of nothing else.

**Initialisation.** With :math:`M_2 = E|X_0|^2`,

.. math:: KL(p_T\|\gamma) \le \tfrac12\big[e^{-2T} M_2 - d\,e^{-2T} - d \log(1 - e^{-2T})\big]

since KL is convex in its first argument: :math:`p_T` is the mixture of :math:`N(e^{-T}x_0, \sigma_T^2 I)` over the
data, and each of those has a KL in closed form.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import norm
from torch import Tensor

from cmcore.chain import JumpMap, RenoisedChain, Stage, earliest_of, jump_map_of, land, like_map, make_chain
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid
from cmcore.process import alpha, sigma
from cmcore.streams import stream
from cmcore.targets.base import Target

__all__ = ["BoundA", "Interval", "bound_a", "initialisation_bound", "initialisation_kl", "map_error"]

_Z = float(norm.ppf(0.975))
_REACH = 9.0
_WHOLE = 1e-8
_NODES_1D = 4001
_NODES_2D = 181


@dataclass(frozen=True)
class Interval:
    """A value with a 95 % interval, in the unit of the value."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BoundA:
    """The right-hand side of Bound A, part by part, in nats.

    Attributes:
        total: the sum; the interval speaks of the sampling error of the map errors.
        initialisation: KL(p_T‖γ).
        jumps: ε_k²/(2(e^{2η_{k+1}} − 1)) of every jump.
        map_errors: ε_k² of every jump, in squared units of the data.
        chain: the stages that are bounded.
    """

    total: Interval
    initialisation: Interval
    jumps: tuple[Interval, ...]
    map_errors: tuple[Interval, ...]
    chain: RenoisedChain


def bound_a(
    model: Any,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    renoise: float = 0.5,
    n: int = 16_384,
) -> BoundA:
    """Bound A on KL(p_δ‖q) for jump-then-renoise sampling, η_k = renoise · t_k, landing at the model's δ or later.

    Args:
        model: a trained model or any map (x, t, s) → x_s.
        target: the truth.
        grid: the times; δ > 0, so that every stage adds noise.
        seed: of the points at which the map's error is measured.
        renoise: η as a share of t, above 0.
        n: points for each jump.
    """
    chain = make_chain(grid, sampler="renoise", renoise=renoise, earliest=earliest_of(model))
    if chain.deterministic:
        raise ValueError("Bound A is infinite without fresh noise; it speaks of renoised sampling with renoise > 0.")
    f, flow = jump_map_of(model), ExactFlow(target)
    errors = tuple(map_error(f, target, stage, seed=seed, n=n, flow=flow) for stage in chain.stages)
    jumps = tuple(_scaled(error, 1 / (2 * math.expm1(2 * eta))) for error, eta in zip(errors, chain.etas, strict=True))
    start = initialisation_kl(target, grid.horizon, seed=seed)
    value = start.value + sum(part.value for part in jumps)
    # The same noise serves every jump, so the errors of the parts may be fully correlated: add them, not their squares.
    half = (start.high - start.value) + sum(part.high - part.value for part in jumps)
    return BoundA(Interval(value, max(0.0, value - half), value + half), start, jumps, errors, chain)


def map_error(
    f: JumpMap, target: Target, stage: Stage, *, seed: int, n: int = 16_384, flow: ExactFlow | None = None
) -> Interval:
    """ε² = E_{x∼p_t}|f(x,t,s) − Φ_{t→s}(x)|², with a 95 % interval from n exact samples of p_t."""
    dtype, device = like_map(f)
    flow = flow or ExactFlow(target)
    x = target.sample(n, t=stage.t, generator=stream(seed, f"map error at {stage.t:g}"))
    truth = land(flow, x, stage)
    mapped = land(f, x.to(device, dtype), stage).double().cpu()
    return _mean((mapped - truth).square().sum(1))


def initialisation_bound(target: Target, horizon: float) -> float:
    """½[e^{-2T} M₂ − d e^{-2T} − d log(1 − e^{-2T})] ≥ KL(p_T‖γ), in nats."""
    left = math.exp(-2 * horizon)
    return (left * (target.second_moment - target.dim) - target.dim * math.log1p(-left)) / 2


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
        parts.append(_mean((torch.expm1(log_ratio) - log_ratio) * 2 / (1 + log_ratio.exp())))
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


def _mean(values: Float[Tensor, " n"]) -> Interval:
    mean = float(values.mean())
    half = _Z * float(values.std()) / math.sqrt(len(values))
    return Interval(mean, max(0.0, mean - half), mean + half)


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(interval.value * factor, interval.low * factor, interval.high * factor)
