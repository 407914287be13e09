r"""DDIM: the exponential integrator of the probability-flow ODE with the posterior mean held fixed.

Alone it is deterministic; with fresh noise after every step it is the sampler of Jain & Zhang 2025.
"""

from functools import partial

from torch import Tensor

from cmcore.chain import JumpMap, make_chain
from cmcore.process import Time, alpha, column, sigma
from cmcore.samplers.base import SAMPLERS, StageSampler
from cmcore.samplers.scores import ScoreFunction, posterior_mean


def ddim(score: ScoreFunction) -> JumpMap:
    r"""The step :math:`x_s = (\alpha_s - \alpha_t \sigma_s/\sigma_t)\, \hat x_0 + (\sigma_s/\sigma_t)\, x_t`.

    :math:`\hat x_0 = (x_t + \sigma_t^2 \nabla\log p_t(x_t))/\alpha_t` is the posterior mean (Tweedie). One score
    evaluation a step, first order in the step (Song, Meng, Ermon 2021, arXiv:2010.02502).
    """

    def step(x: Tensor, t: Time, s: Time) -> Tensor:
        now, then = column(t, x), column(s, x)
        ratio = sigma(then) / sigma(now)
        return (alpha(then) - alpha(now) * ratio) * posterior_mean(score, x, t) + ratio * x

    return step


DDIM = StageSampler(
    name="ddim",
    label="DDIM",
    description="A first-order step of the probability-flow ODE: one score evaluation a step.",
    needs="score",
    step=ddim,
)

DDIM_RENOISE = StageSampler(
    name="ddim_renoise",
    label="DDIM, then renoise",
    description="A DDIM step that goes too far by η, and fresh noise back up (after Jain & Zhang 2025).",
    needs="score",
    noisy=True,
    share_of="time",
    step=ddim,
    chain=partial(make_chain, sampler="renoise"),
)
"""An ODE step beyond :math:`t_{k+1}`, then a smaller step of the forward process back up to it.

The idea is that of Jain & Zhang 2025, arXiv:2508.16306, of which the abstract alone was at hand: DDIM as the ODE step
and η = a share of t as the noising step are this project's reading of it.
"""

for _sampler in (DDIM, DDIM_RENOISE):
    SAMPLERS.register(_sampler.name)(_sampler)
