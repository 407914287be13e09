r"""Easy consistency tuning."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.consistency import Consistency, Ends, Growth, Step
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("ect")
@dataclass(frozen=True)
class EasyConsistencyTuning(Consistency):
    r"""ECT: from diffusion to consistency in stages, r/σ = 1 − (1 + 8/(1 + e^σ))/2^{stage}, from samples alone.

    Geng et al. 2024, arXiv:2406.14548: in the first stage r = δ for all but large noise, which is denoising; each stage
    halves σ_t − σ_r, six of them here. log σ ~ N(−1.1, 2²), the norm of the map's error (a pseudo-Huber metric with c →
    0) over σ_t − σ_r. Samples are drawn by jumping to δ and renoising.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.1
    log_sd: float = 2.0
    ends: Ends = "data"
    step: Step = "relative"
    first_intervals: int = 2
    intervals: int = 64
    growth: Growth = "doubling"
    metric: Metric = "pseudo_huber"
    metric_scale: float = 1e-6
    space: Literal["network", "map"] = "map"
    step_power: float = 1.0

    label: ClassVar[str] = "ECT, easy consistency tuning"
    paper: ClassVar[Paper] = Paper(2024, "2406.14548")
    known_for: ClassVar[str] = "Turns a diffusion model into a consistency model in hours."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
