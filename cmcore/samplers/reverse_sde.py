r"""Steps of the reverse SDE, :math:`dX = (X + 2\nabla\log p_t(X))\,d\tau + \sqrt2\,dB` with τ = T − t.

Each step is Gaussian given where it starts: f(x, t, s) is its mean, and the chain carries its standard deviation
σ̃(t, s). With h = t − s:

==============  ============================================  ===============================================
step            mean                                          variance σ̃²
==============  ============================================  ===============================================
Euler–Maruyama  :math:`x + h\,(x + 2\nabla\log p_t)`          :math:`2h`
exponential     :math:`e^h x + 2(e^h - 1)\nabla\log p_t`      :math:`e^{2h} - 1`
DDPM ancestral  :math:`e^h x + (e^h - e^{-h})\nabla\log p_t`  :math:`(1 - e^{-2h})\,\sigma_s^2/\sigma_t^2`
==============  ============================================  ===============================================
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cmcore.chain import Chain, JumpMap, Stage
from cmcore.grids import TimeGrid
from cmcore.process import Time, column
from cmcore.samplers.base import SAMPLERS, ChainOf, StageSampler
from cmcore.samplers.scores import ScoreFunction


def euler_maruyama(score: ScoreFunction) -> JumpMap:
    r"""The mean :math:`x + h\,(x + 2\nabla\log p_t(x))` of the Euler–Maruyama step.

    The plain discretisation of the reverse SDE (Song et al. 2021, arXiv:2011.13456). One score evaluation a step.
    """

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        return x + (column(t, x) - column(s, x)) * (x + 2 * score(x, t))

    return mean


def exponential_sde(score: ScoreFunction) -> JumpMap:
    r"""The mean :math:`e^h x + 2(e^h - 1)\nabla\log p_t(x)`: the score is frozen, the linear part exact.

    The exponential integrator that Chen, Lee & Lu 2023 (arXiv:2211.01916) analyse. One score evaluation a step.
    """

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        h = column(t, x) - column(s, x)
        return x + torch.expm1(h) * (x + 2 * score(x, t))

    return mean


def ancestral(score: ScoreFunction) -> JumpMap:
    r"""The mean of X_s given X_t and X_0, with the posterior mean for X_0 (Ho, Jain & Abbeel 2020, arXiv:2006.11239).

    .. math:: \frac{e^{-h}\sigma_s^2}{\sigma_t^2}\, x + \frac{\alpha_s (1 - e^{-2h})}{\sigma_t^2}\, \hat x_0
              = e^h x + (e^h - e^{-h}) \nabla\log p_t(x)

    The noise has the variance of that law (their "fixed small"); at s = 0 none is left. One score evaluation a step.
    """

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        h = column(t, x) - column(s, x)
        return torch.exp(h) * x + 2 * torch.sinh(h) * score(x, t)

    return mean


def ancestral_spread(t: float, s: float) -> float:
    """σ̃ = √(1 − e^{-2h}) σ_s/σ_t."""
    return math.sqrt(math.expm1(-2 * (t - s)) * math.expm1(-2 * s) / -math.expm1(-2 * t))


def _spreading(spread: Callable[[float, float], float]) -> ChainOf:
    def chain(grid: TimeGrid, **_: Any) -> Chain:
        return Chain(grid, tuple(Stage(t, s, 1.0, spread(t, s)) for t, s in grid.jumps))

    return chain


EULER_MARUYAMA = StageSampler(
    name="euler_maruyama",
    label="Euler–Maruyama",
    description="The plain step of the reverse SDE: one score evaluation and fresh noise a step.",
    needs="score",
    noisy=True,
    step=euler_maruyama,
    chain=_spreading(lambda t, s: math.sqrt(2 * (t - s))),
)

EXPONENTIAL_SDE = StageSampler(
    name="exponential_sde",
    label="Exponential SDE",
    description="The reverse SDE with the score frozen over a step and the rest exact: one score evaluation a step.",
    needs="score",
    noisy=True,
    step=exponential_sde,
    chain=_spreading(lambda t, s: math.sqrt(math.expm1(2 * (t - s)))),
)

DDPM = StageSampler(
    name="ddpm",
    label="DDPM",
    description="Ancestral sampling: the law of the next state given the posterior mean, one score evaluation a step.",
    needs="score",
    noisy=True,
    step=ancestral,
    chain=_spreading(ancestral_spread),
)

for _sampler in (EULER_MARUYAMA, EXPONENTIAL_SDE, DDPM):
    SAMPLERS.register(_sampler.name)(_sampler)
