r"""Consistency distillation."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.consistency import Consistency, Ends
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("cd")
@dataclass(frozen=True)
class ConsistencyDistillation(Consistency):
    r"""CD: f(x_t, t, δ) = f⁻(x_r, r, δ), x_r one Heun step of the teacher's flow to the next point of a grid.

    Song et al. 2023, arXiv:2303.01469: 39 (here 64) intervals of the Karras grid, indices uniform, a squared error
    (here pseudo-Huber), targets from an average of the weights with decay 0.95, RAdam. Samples are drawn by jumping to
    δ and renoising.
    """

    velocity: Velocity = "exact"
    clock: ClockName = "karras"
    ends: Ends = "data"
    grid: ClockName = "karras"
    target_average: float = 0.95
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.1

    label: ClassVar[str] = "CD, consistency distillation"
    paper: ClassVar[Paper] = Paper(2023, "2303.01469")
    known_for: ClassVar[str] = "The first consistency models: one or two jumps from the flow of a teacher."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
