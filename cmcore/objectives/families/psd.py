r"""Progressive self-distillation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.semigroup import Semigroup


@OBJECTIVES.register("psd")
@dataclass(frozen=True)
class ProgressiveSelfDistillation(Semigroup):
    r"""PSD: E |F(x,t,s) − F*|², F* from two jumps through u, and the diagonal taught by samples.

    through = "midpoint" is PSD-M, "uniform" PSD-U. Boffi, Albergo & Vanden-Eijnden 2025, arXiv:2505.18825,
    preconditioned, with the diagonal on 3/4 of the rows and uniform times there.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    diagonal_share: float = 0.5
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "PSD, progressive self-distillation"
    paper: ClassVar[Paper] = Paper(2025, "2505.18825")
    known_for: ClassVar[str] = "Self-distillation by two shorter jumps; no derivative at all."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
