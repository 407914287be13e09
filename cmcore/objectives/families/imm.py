r"""Inductive moment matching."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.consistency import Growth
from cmcore.objectives.identities.moment_matching import MomentMatching


@OBJECTIVES.register("imm")
@dataclass(frozen=True)
class InductiveMomentMatching(MomentMatching):
    r"""IMM: moment matching with a Laplace kernel over groups of particles, from samples alone.

    Zhou et al. 2025, arXiv:2503.07565: groups of four (here sixteen), times uniform in the linear path's time, r below
    t by 2^{-12} to 2^{-15} of a range of σ/α of 160 (here 1/4 of a range of 20, falling to 1/128), x_r a DDIM step with
    the same data, and kernel width in units of `out` (here three). Its log-SNR weight is left out: errors are weighed
    in what the network answers.
    """

    clock: ClockName = "uniform_linear"
    intervals: int = 128
    growth: Growth = "exponential"
    first_intervals: int = 4
    particles: int = 16
    kernel_width: float = 3.0
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "IMM, inductive moment matching"
    paper: ClassVar[Paper] = Paper(2025, "2503.07565")
    known_for: ClassVar[str] = "Few-step models trained from scratch without collapse, by matching laws and not points."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
