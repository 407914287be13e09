r"""Improved consistency training."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.consistency import Consistency, Ends, Growth
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("ict")
@dataclass(frozen=True)
class ImprovedConsistencyTraining(Consistency):
    r"""iCT: CT without the average, with a pseudo-Huber metric of the map's error, and rows weighing 1/(σ_t − σ_r).

    Song & Dhariwal 2023, arXiv:2310.14189: log σ ~ N(−1.1, 2²) over a Karras grid whose N doubles from 10 to 1,280
    (here 10, 20, 40, 80, 160 and 256, for a sixth of the run each), c = 0.00076, the paper's 0.00054 √d in the plane.
    Samples are drawn by jumping to δ and renoising.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.1
    log_sd: float = 2.0
    ends: Ends = "data"
    grid: ClockName = "karras"
    first_intervals: int = 10
    intervals: int = 256
    growth: Growth = "doubling"
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.00076
    space: Literal["network", "map"] = "map"
    step_power: float = 1.0

    label: ClassVar[str] = "iCT, improved consistency training"
    paper: ClassVar[Paper] = Paper(2023, "2310.14189")
    known_for: ClassVar[str] = (
        "Consistency training that beats distillation: no average, another metric, growing grids."
    )
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
