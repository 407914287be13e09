r"""Multistep consistency models."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.identities.consistency import Consistency, Ends, Growth
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("multistep_cm")
@dataclass(frozen=True)
class MultistepConsistency(Consistency):
    r"""Multistep CM: consistency within each of S segments, jumps ending where t's segment ends.

    Heek, Hoogeboom & Salimans 2024, arXiv:2403.06807: one network for all segments, N growing geometrically from 64 to
    1,280 (here 256), and errors of the denoiser weighing SNR + 1, which are errors of F (here pseudo-Huber). S = 1 is a
    consistency model, S → ∞ diffusion. The map is learned for K = S jumps on the grid that the clock makes even. The
    paper's adjusted DDIM has no place here: x_r is made of the same data and noise, or, with a teacher, by a Heun step.
    """

    ends: Ends = "segment"
    segments: int = 4
    first_intervals: int = 64
    intervals: int = 256
    growth: Growth = "exponential"
    target_average: float = 0.9
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.1

    label: ClassVar[str] = "Multistep consistency model"
    paper: ClassVar[Paper] = Paper(2024, "2403.06807")
    known_for: ClassVar[str] = "Between consistency and diffusion: better samples for a few more steps."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "learned", "exact")
