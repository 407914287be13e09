r"""Progressive self-distillation."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Velocity
from cmcore.objectives.semigroup import Semigroup

__all__ = ["ProgressiveSelfDistillation"]


@OBJECTIVES.register("psd")
@dataclass(frozen=True)
class ProgressiveSelfDistillation(Semigroup):
    r"""PSD: E |F(x,t,s) − F*|², F* from two jumps through u, and the diagonal taught by samples.

    through = "midpoint" is PSD-M, "uniform" PSD-U. Boffi, Albergo & Vanden-Eijnden 2025, arXiv:2505.18825,
    preconditioned, with the diagonal on 3/4 of the rows there.
    """

    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "PSD, progressive self-distillation"
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
