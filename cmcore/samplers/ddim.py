r"""DDIM: the exponential integrator of the probability-flow ODE with the posterior mean held fixed."""

from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.process import Time, alpha, column, sigma
from cmcore.samplers.base import SAMPLERS, StageSampler
from cmcore.samplers.scores import ScoreFunction

__all__ = ["DDIM", "ddim"]


def ddim(score: ScoreFunction) -> JumpMap:
    r"""The step :math:`x_s = (\alpha_s - \alpha_t \sigma_s/\sigma_t)\, \hat x_0 + (\sigma_s/\sigma_t)\, x_t`.

    :math:`\hat x_0 = (x_t + \sigma_t^2 \nabla\log p_t(x_t))/\alpha_t` is the posterior mean (Tweedie). One score
    evaluation a step, first order in the step (Song, Meng, Ermon 2021, arXiv:2010.02502).
    """

    def step(x: Tensor, t: Time, s: Time) -> Tensor:
        now, then = column(t, x), column(s, x)
        ratio = sigma(then) / sigma(now)
        clean = (x + sigma(now) ** 2 * score(x, t)) / alpha(now)
        return (alpha(then) - alpha(now) * ratio) * clean + ratio * x

    return step


DDIM = StageSampler(
    name="ddim",
    label="DDIM",
    description="A first-order step of the probability-flow ODE: one score evaluation a step.",
    needs="score",
    step=ddim,
)
SAMPLERS.register("ddim")(DDIM)
