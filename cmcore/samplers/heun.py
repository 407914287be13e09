r"""Heun's method on the probability-flow ODE, in the coordinates of EDM."""

from collections.abc import Callable

from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.grids import TimeGrid
from cmcore.process import Time, alpha, column, noise_level, sigma
from cmcore.samplers.base import SAMPLERS, Sampler

__all__ = ["HEUN", "heun"]


def heun(score: Callable[[Tensor, Time], Tensor]) -> JumpMap:
    r"""Heun's step for :math:`d\tilde x/d\varsigma = (\tilde x - \hat x_0)/\varsigma`.

    Here :math:`\tilde x = x/\alpha_t` and :math:`\varsigma = \sigma_t/\alpha_t` (Karras et al. 2022,
    arXiv:2206.00364, algorithm 1). Two score evaluations a step, second order; a step that ends at time 0 is an Euler
    step with one evaluation, as in that paper, since the slope there is 0/0.
    """

    def slope(x: Tensor, t: Time) -> Tensor:
        # (x̃ − x̂₀)/ς with Tweedie's x̂₀, the cancellation done by hand.
        return -sigma(column(t, x)) * score(x, t)

    def step(x: Tensor, t: Time, s: Time) -> Tensor:
        now, then = column(t, x), column(s, x)
        gap = noise_level(then) - noise_level(now)
        first = slope(x, t)
        euler = alpha(then) * (x / alpha(now) + gap * first)
        if bool((then <= 0).any()):
            return euler
        return alpha(then) * (x / alpha(now) + gap / 2 * (first + slope(euler, s)))

    return step


def _calls(grid: TimeGrid) -> int:
    return 2 * grid.steps - (grid.delta == 0)


HEUN = Sampler(
    name="heun",
    label="Heun, exact score",
    description="A second-order step of the probability-flow ODE: two score evaluations a step, nothing learned.",
    needs="score",
    noisy=False,
    jump=heun,
    calls=_calls,
)
SAMPLERS.register("heun")(HEUN)
