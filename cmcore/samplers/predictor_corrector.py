r"""Predictor–corrector sampling: a step to the next time, then one Langevin step at that time.

The corrector is :math:`x \leftarrow x + r\,\nabla\log p_s(x) + \sqrt{2r}\, z`, which keeps p_s up to O(r²)
(Song et al. 2021, arXiv:2011.13456, algorithms 4 and 5). There :math:`r = 2\,(\mathrm{snr}\,|z|/|\nabla\log p_s|)^2`
with snr = 0.16; a score at noise level σ is of the size |z|/σ, and with that :math:`r = 2\,\mathrm{snr}^2 \sigma_s^2`
is the same for all points, so that the law of a step stays Gaussian. At s = 0 it is 0, and no corrector is called.
"""

import math
from typing import Any

import torch
from torch import Tensor

from cmcore.chain import Chain, JumpMap, Stage
from cmcore.grids import TimeGrid
from cmcore.process import Time, all_at_zero, as_time
from cmcore.samplers.base import SAMPLERS, StageSampler
from cmcore.samplers.ddim import ddim
from cmcore.samplers.reverse_sde import ancestral, ancestral_spread
from cmcore.samplers.scores import ScoreFunction

_SNR = 0.16


def _rate(s: float) -> float:
    """r at time s."""
    return -2 * _SNR**2 * math.expm1(-2 * s)


def langevin(score: ScoreFunction) -> JumpMap:
    r"""The mean :math:`x + r\,\nabla\log p_s(x)` of a Langevin step at time t = s."""

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        rate = -2 * _SNR**2 * torch.expm1(-2 * as_time(s, x))
        return x + (rate if rate.ndim == 0 else rate[:, None]) * score(x, s)

    return mean


def ddim_langevin(score: ScoreFunction) -> JumpMap:
    """DDIM to time s and the mean of a Langevin step there: the only noise is the corrector's, so they are one stage.

    Two score evaluations a step. ODE steps with a corrector are what Chen, Chewi, Lee, Li, Lu & Salim 2023 analyse.
    """
    predicted, corrected = ddim(score), langevin(score)

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        y = predicted(x, t, s)
        return y if all_at_zero(s) else corrected(y, s, s)

    return mean


def ddpm_langevin(score: ScoreFunction) -> JumpMap:
    """The ancestral step from t to s; at t = s, the Langevin step, which is a stage of its own.

    Two score evaluations a step.
    """
    predicted, corrected = ancestral(score), langevin(score)

    def mean(x: Tensor, t: Time, s: Time) -> Tensor:
        return (corrected if bool((torch.as_tensor(t) == torch.as_tensor(s)).all()) else predicted)(x, t, s)

    return mean


def _corrected_after(grid: TimeGrid, **_: Any) -> Chain:
    return Chain(grid, tuple(Stage(t, s, 1.0, math.sqrt(2 * _rate(s))) for t, s in grid.jumps))


def _corrected_apart(grid: TimeGrid, **_: Any) -> Chain:
    stages = []
    for t, s in grid.jumps:
        stages.append(Stage(t, s, 1.0, ancestral_spread(t, s)))
        if s > 0:
            stages.append(Stage(s, s, 1.0, math.sqrt(2 * _rate(s))))
    return Chain(grid, tuple(stages))


def _two_a_step(grid: TimeGrid) -> int:
    return 2 * grid.steps - (grid.delta == 0)


DDIM_LANGEVIN = StageSampler(
    name="ddim_langevin",
    label="DDIM + Langevin",
    description="Predictor–corrector: a DDIM step, then a Langevin step; two score evaluations a step.",
    needs="score",
    noisy=True,
    step=ddim_langevin,
    chain=_corrected_after,
    calls=_two_a_step,
    calls_per_jump=2,
)

DDPM_LANGEVIN = StageSampler(
    name="ddpm_langevin",
    label="DDPM + Langevin",
    description="Predictor–corrector: an ancestral step, then a Langevin step; two score evaluations a step.",
    needs="score",
    noisy=True,
    step=ddpm_langevin,
    chain=_corrected_apart,
    calls=_two_a_step,
    calls_per_jump=2,
)

for _sampler in (DDIM_LANGEVIN, DDPM_LANGEVIN):
    SAMPLERS.register(_sampler.name)(_sampler)
