r"""Consistency trajectory models."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, LossContext, Paper, Velocity
from cmcore.objectives.composition import Composition, Points
from cmcore.objectives.identities.consistency import Consistency
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("ctm")
@dataclass(frozen=True)
class ConsistencyTrajectory(Consistency):
    r"""CTM: both sides of f(x_t, t, s) = sg f(x_r, r, s) are carried on to δ by the averaged map and compared there.

    .. math:: E\,|f^-(f(x_t,t,s), s, \delta) - f^-(\mathrm{sg} f^-(x_r,r,s), s, \delta)|^2 + \text{diagonal}

    The gradient flows through the frozen outer map. r lies k points of a grid below t, k drawn in proportion to k, and
    x_r is reached by Heun steps of the teacher. Kim et al. 2023, arXiv:2310.02279, with 18 points, decay 0.999 (here
    0.99), a squared error (here pseudo-Huber), and denoising score matching on the diagonal; the adversarial term of
    the paper is left out. γ-sampling with γ = 1 is jumping to δ and renoising.
    """

    velocity: Velocity = "exact"
    intervals: int = 18
    most_steps: int = 17
    solver_steps: int = 4
    diagonal_share: float = 0.25
    target_average: float = 0.99
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.1
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "CTM, consistency trajectory model"
    paper: ClassVar[Paper] = Paper(2023, "2310.02279")
    known_for: ClassVar[str] = "The first jumps between any two times for images, compared at the data."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.target_average:
            raise ValueError("CTM compares through an averaged map: target_average > 0.")

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        f, (x, theta, gap) = context.flow_map, points[:3]
        landing = f.landing(x, theta, gap, f.direction(x, theta, gap, for_weights=True))
        wanted = self.target_landing(context, points)
        end, first = theta - gap, torch.full_like(theta, context.earliest)
        with torch.no_grad():
            wanted = context.targets.at_angles(wanted, end, first)
        return context.targets.at_angles(landing, end, first) - wanted

    @property
    def has_manual_gradient(self) -> bool:
        return False  # its gradient goes through the averaged map

    def loss(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        return Composition.loss(self, context, batch)
