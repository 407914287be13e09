r"""The exact consistency map of an estimated score: its probability-flow ODE, solved.

A consistency model that has learned everything about an estimated score ŝ, and nothing else, is the flow map of

.. math:: dx/dt = -x - \hat s(x, t).

Its error against the exact flow comes from the score alone, which is the setting of the paper's theorem.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.flow import runge_kutta
from cmcore.process import Time, angle, time_from_angle
from cmcore.samplers.scores import ScoreFunction
from cmcore.targets.base import Target

_STEP, _SHARE = 0.04, 0.12
"""A step of the solver in angle: no longer, and no larger a share of the angle, over which the score changes."""
_WAVE, _PHASE = (1.5, -1.0), 0.3


class ScoreMap:
    """(x, t, s) → the solution at s of the estimated score's probability-flow ODE from x at t, by Runge–Kutta.

    Args:
        score: ŝ, (x, t) → ŝ(x, t), t > 0; differentiable where a derivative of the map is asked for.
        step: the longest step in angle θ = arccos e^{-t}; halve it to see what the solver leaves.
    """

    def __init__(self, score: ScoreFunction, *, step: float = _STEP) -> None:
        self.score = score
        self.step = step

    def __call__(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """The map, in either direction of time; one t and one s for all points."""
        angles = self._angles(float(t), float(s))
        return runge_kutta(self._pace, x, angles, [1] * (len(angles) - 1))[-1]

    def _angles(self, t: float, s: float) -> Float[Tensor, " L"]:
        """Angles from θ_t to θ_s, closer towards the data."""
        first, last = angle(torch.tensor([t, s], dtype=torch.float64)).tolist()
        high, low = max(first, last), min(first, last)
        angles = [high]
        while angles[-1] > low:
            here = angles[-1]
            angles.append(max(low, here - min(self.step, max(_SHARE * here, 1e-4))))
        reached = torch.tensor(angles, dtype=torch.float64)
        return reached if first >= last else reached.flip(0)

    def _pace(self, x: Tensor, theta: float) -> Tensor:
        t = float(time_from_angle(torch.tensor(theta, dtype=torch.float64)))
        return -math.tan(theta) * (x + self.score(x, t))


def score_with_error(target: Target, size: float) -> Callable[[Tensor, Time], Tensor]:
    r"""The exact score plus an error of one size everywhere, e(x) = ε (cos ψ, sin ψ), ψ = k·x + 0.3, k = (1.5, −1).

    On the line e(x) = ε √2 sin(1.5 x + 0.3), of root mean square ε on average over phases; beyond the plane the first
    two coordinates alone are wrong.

    Args:
        target: the truth.
        size: ε.
    """

    def score(x: Tensor, t: Time) -> Tensor:
        wave = x[:, : len(_WAVE)] @ torch.tensor(_WAVE[: x.shape[1]], dtype=x.dtype, device=x.device) + _PHASE
        ways = (math.sqrt(2) * wave.sin(),) if x.shape[1] == 1 else (wave.cos(), wave.sin())
        error = torch.stack(ways, dim=1)
        return target.score(x, t) + size * torch.nn.functional.pad(error, (0, x.shape[1] - len(ways)))

    return score
