r"""Heun's method on the probability-flow ODE, in the angle θ."""

from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.grids import TimeGrid
from cmcore.process import Time, angle, column
from cmcore.samplers.base import SAMPLERS, StageSampler
from cmcore.samplers.scores import ScoreFunction, slope_in_angle

__all__ = ["HEUN", "heun"]


def heun(score: ScoreFunction) -> JumpMap:
    r"""Heun's step for :math:`dx/d\theta = -\tan\theta\,(x + \nabla\log p_t(x))`.

    Two score evaluations a step, second order. The method is EDM's (Karras et al. 2022, arXiv:2206.00364,
    algorithm 1); the variable is the angle, in which the slope is bounded. Stepping in σ/α as that paper does is far
    worse at a few steps: 308 nats against 1.3 with four calls on the eight Gaussians, uniform-angle grid. A step that
    ends at time 0 needs one evaluation: with a finite score the slope there is 0.
    """
    slope = slope_in_angle(score)

    def step(x: Tensor, t: Time, s: Time) -> Tensor:
        gap = angle(column(s, x)) - angle(column(t, x))
        first = slope(x, t)
        return x + gap / 2 * (first + slope(x + gap * first, s))

    return step


def _calls(grid: TimeGrid) -> int:
    return 2 * grid.steps - (grid.delta == 0)


HEUN = StageSampler(
    name="heun",
    label="Heun",
    description="A second-order step of the probability-flow ODE in the angle: two score evaluations a step.",
    needs="score",
    step=heun,
    calls=_calls,
    calls_per_jump=2,
)
SAMPLERS.register("heun")(HEUN)
