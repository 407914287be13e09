r"""Inductive moment matching."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Velocity
from cmcore.objectives.moment_matching import MomentMatching
from cmcore.objectives.times import ClockName

__all__ = ["InductiveMomentMatching"]


@OBJECTIVES.register("imm")
@dataclass(frozen=True)
class InductiveMomentMatching(MomentMatching):
    r"""IMM: moment matching with a Laplace kernel over groups of four, from samples alone.

    Zhou et al. 2025, arXiv:2503.07565: linear path, times uniform in it, r below t by 2^{-12} to 2^{-15} of the range
    of σ/α with x_r a DDIM step with the same data, and kernel width in units of `out`. Its log-SNR weight is left out:
    errors are weighed in what the network answers.
    """

    clock: ClockName = "uniform_linear"
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "IMM, inductive moment matching"
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
