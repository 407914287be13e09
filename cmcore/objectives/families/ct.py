r"""Consistency training."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.consistency import Consistency, Ends, Growth
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("ct")
@dataclass(frozen=True)
class ConsistencyTraining(Consistency):
    r"""CT: f(x_t, t, δ) = f⁻(x_r, r, δ) with x_t, x_r made of the same data and noise; from samples alone.

    Song et al. 2023, arXiv:2303.01469: a Karras grid whose N grows like a square root from 2 to 150, targets from an
    average of the weights, and a squared error (here pseudo-Huber). Here targets are also mirrored at high noise: the
    paper's blur the borders between basins, by a spread that falls only like 1/√N, and mirrored ones took two fifths
    off the excess of one jump on eight Gaussians. Samples are drawn by jumping to δ and renoising.
    """

    clock: ClockName = "karras"
    ends: Ends = "data"
    grid: ClockName = "karras"
    first_intervals: int = 2
    intervals: int = 150
    growth: Growth = "square_root"
    target_average: float = 0.95
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.1
    mirrored: bool = True

    label: ClassVar[str] = "CT, consistency training"
    paper: ClassVar[Paper] = Paper(2023, "2303.01469")
    known_for: ClassVar[str] = "Consistency models without a teacher."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
