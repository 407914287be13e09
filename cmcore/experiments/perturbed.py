r"""An exact flow map with an error of known size, for experiments on what map errors do.

.. math:: f(x, t, s) = \Phi_{t\to s}(x) + a \sin(2 \bar x + 1), \qquad \bar x = (x_d, \dots, x_1)

The error does not depend on the times, so that it stays fixed while a schedule varies; with the coordinates in reverse
order it couples them in the plane.
"""

import torch
from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.flow import ExactFlow
from cmcore.process import Time
from cmcore.targets.base import Target


def perturbed(target: Target, amplitude: float) -> JumpMap:
    """Φ + amplitude · sin(2 x̄ + 1)."""
    flow = ExactFlow(target)

    def f(x: Tensor, t: Time, s: Time) -> Tensor:
        return flow(x, t, s) + amplitude * torch.sin(2 * x.flip(1) + 1)

    return f
