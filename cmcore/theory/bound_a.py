r"""Bound A on the KL of a renoised sampler, derived in this project.

Let :math:`\varepsilon_k^2 = E_{x\sim p_{t_k}} |f(x,t_k,s_{k+1}) - \Phi_{t_k\to s_{k+1}}(x)|^2` be the
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
"""

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from cmcore.chain import (
    JumpMap,
    JumpSampler,
    RenoisedChain,
    Stage,
    earliest_of,
    jump_map_of,
    land,
    like_map,
    make_chain,
)
from cmcore.divergences.tools.data_draw import draw_data
from cmcore.divergences.tools.push_forward import doubled
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid
from cmcore.nearest import Nearest
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.theory.initialisation import initialisation_kl
from cmcore.theory.interval import Interval, mean, of_mean
from cmcore.threads import piecewise

_LARGEST_DIM = 3
_POOL = 8
_NEIGHBOURS = 4


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
    sampler: JumpSampler = "renoise",
    renoise: float | None = None,
    n: int = 16_384,
) -> BoundA:
    """Bound A on KL(p_δ‖q) for jump-then-renoise sampling that lands at the model's δ or later.

    Args:
        model: a trained model or any map (x, t, s) → x_s.
        target: the truth.
        grid: the times; δ > 0, so that every stage adds noise.
        seed: of the points at which the map's error is measured.
        sampler: "renoise", or "algorithm_1" for the paper's.
        renoise: η as a share of t (0.5), or of the step for the paper's sampler (1); above 0.
        n: points for each jump.
    """
    chain = make_chain(grid, sampler=sampler, renoise=renoise, earliest=earliest_of(model))
    return bound_of_chain(model, target, chain, seed=seed, n=n)


@piecewise()
def bound_of_chain(model: Any, target: Target, chain: RenoisedChain, *, seed: int, n: int = 16_384) -> BoundA:
    """Bound A for any chain of renoised jumps, each η > 0; arguments as of :func:`bound_a`."""
    if not chain.always_noisy:
        raise ValueError("Bound A is infinite without fresh noise; it speaks of renoised sampling with renoise > 0.")
    f, flow = jump_map_of(model), ExactFlow(target)
    errors = tuple(map_error(f, target, stage, seed=seed, n=n, flow=flow) for stage in chain.stages)
    jumps = tuple(e.scaled(1 / (2 * math.expm1(2 * eta))) for e, eta in zip(errors, chain.etas, strict=True))
    start = initialisation_kl(target, chain.grid.horizon, seed=seed)
    # The same noise serves every jump, so the errors of the parts may be fully correlated: their ends add.
    return BoundA(sum(jumps, start), start, jumps, errors, chain)


@piecewise()
def map_error(
    f: JumpMap, target: Target, stage: Stage, *, seed: int, n: int = 16_384, flow: ExactFlow | None = None
) -> Interval:
    """ε² = E_{x∼p_t}|f(x,t,s) − Φ_{t→s}(x)|², with a 95 % interval from about n exact samples of p_t.

    Where f and Φ tear space at places that differ by a sliver, a ten-thousandth of the samples may hold a quarter of
    ε². So where few coordinates let it, more samples are first mapped by f alone, and those beside a tear are measured
    more often.
    """
    f, flow = doubled(f), flow or ExactFlow(target)
    purpose = f"map error at {stage.t:g}"
    if target.dim > _LARGEST_DIM:
        x = target.sample(n, t=stage.t, generator=stream(seed, purpose))
        return mean(_squared_error(f, flow, x, stage))
    pool = _POOL * n
    draw = draw_data(target, stage.t, n, seed=seed, score=lambda x: _torn(f, x, stage), purpose=purpose, pool=pool)
    return of_mean(draw.mean(_squared_error(f, flow, draw.points, stage)))


def _squared_error(f: JumpMap, flow: ExactFlow, x: Float[Tensor, "n d"], stage: Stage) -> Float[Tensor, " n"]:
    """|f − Φ|² at the points."""
    return (_mapped(f, x, stage) - land(flow, x, stage)).square().sum(1)


def _mapped(f: JumpMap, x: Float[Tensor, "n d"], stage: Stage) -> Float[Tensor, "n d"]:
    dtype, device = like_map(f)
    return land(f, x.to(device, dtype), stage).double().cpu()


def _torn(f: JumpMap, x: Float[Tensor, "n d"], stage: Stage) -> Float[Tensor, " n"]:
    """How far apart f carries each point and its nearest neighbours: far at a tear, and where p_t is thin."""
    image = _mapped(f, x, stage)
    near = Nearest(x).index(x, _NEIGHBOURS + 1)
    return (image[near[:, 1:]] - image[:, None]).norm(dim=2).amax(1)
