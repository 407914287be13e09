r"""DPM-Solver++, the multistep solvers of the probability-flow ODE that extrapolate the posterior mean in log-SNR.

In :math:`\lambda = \log(\alpha/\sigma)`, with h = λ_s − λ_t, the PF-ODE has the exact solution

.. math:: x_s = \frac{\sigma_s}{\sigma_t} x_t
          + \sigma_s \int_{\lambda_t}^{\lambda_s} e^\lambda\, \hat x_0(\lambda)\, d\lambda

and a polynomial through the posterior means of the last steps stands in for :math:`\hat x_0` (Lu et al. 2022,
arXiv:2211.01095, data prediction, variants 2M and 3M).
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from cmcore.grids import TimeGrid
from cmcore.samplers.base import SAMPLERS, Path, PathSampler
from cmcore.samplers.scores import ScoreFunction, posterior_mean


def dpm_solver(score: ScoreFunction, grid: TimeGrid, *, order: int) -> Path:
    r"""The solver of an order from 1 (which is DDIM) to 3. One score evaluation a step.

    With :math:`w = \alpha_s (1 - e^{-h})`, h_0 the last step before this one, :math:`D_0` the newest posterior mean and
    :math:`D_1 = (D_0 - D_{-1})\,h/h_0`:

    .. math:: \text{2M:}\quad x_s = \tfrac{\sigma_s}{\sigma_t} x_t + w\,(D_0 + \tfrac12 D_1)

    3M is the exact integral of the parabola through three posterior means. The first steps are of lower order for want
    of a past, which in the end holds 3M to second order too, and so is one that ends at time 0, where λ = ∞.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"DPM-Solver++ has orders 1, 2 and 3; got {order}.")
    logs = [_log_ratio(t) for t in grid.times]
    gaps = [then - now for now, then in pairwise(logs)]

    def path(x: Tensor) -> Tensor:
        states, clean = [x], []
        for i, (t, s) in enumerate(grid.jumps):
            clean.append(posterior_mean(score, x, t))
            past = 1 if s == 0 else min(order, i + 1)
            x = _step(x, t, s, gaps[i + 1 - past : i + 1], clean[-past:])
            states.append(x)
        return torch.stack(states)

    return path


def _step(x: Tensor, t: float, s: float, gaps: Sequence[float], clean: Sequence[Tensor]) -> Tensor:
    """One step from t to s; gaps in λ and posterior means, the newest last, are as many as the order."""
    alpha, ratio = math.exp(-s), math.sqrt(math.expm1(-2 * s) / math.expm1(-2 * t))
    weight = alpha - math.exp(-t) * ratio
    base = ratio * x + weight * clean[-1]
    if len(clean) == 1:
        return base
    h = gaps[-1]
    slope = (clean[-1] - clean[-2]) * (h / gaps[-2])
    if len(clean) == 2:
        return base + weight / 2 * slope
    older = (clean[-2] - clean[-3]) * (h / gaps[-3])
    curvature = (slope - older) * (h / (gaps[-2] + gaps[-3]))
    slope = slope + gaps[-2] / h * curvature
    decay = math.expm1(-h)
    return base + alpha * (decay / h + 1) * slope - alpha * ((decay + h) / h**2 - 0.5) * curvature


def _log_ratio(t: float) -> float:
    """λ = log(α/σ); ∞ at time 0."""
    return -math.log(math.expm1(2 * t)) / 2 if t > 0 else math.inf


DPM_2M = PathSampler(
    name="dpm++2m",
    label="DPM-Solver++(2M)",
    description="A second-order step of the ODE that remembers the last one: one score evaluation a step.",
    needs="score",
    path=partial(dpm_solver, order=2),
)

DPM_3M = PathSampler(
    name="dpm++3m",
    label="DPM-Solver++(3M)",
    description="A third-order step of the ODE that remembers the last two: one score evaluation a step.",
    needs="score",
    path=partial(dpm_solver, order=3),
)

for _sampler in (DPM_2M, DPM_3M):
    SAMPLERS.register(_sampler.name)(_sampler)
