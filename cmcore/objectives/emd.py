r"""Eulerian map distillation."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Velocity
from cmcore.objectives.eulerian import Eulerian

__all__ = ["EulerianMapDistillation"]


@OBJECTIVES.register("emd")
@dataclass(frozen=True)
class EulerianMapDistillation(Eulerian):
    r"""EMD: the landing point does not move along a given velocity, E |∂_t f + ∇f · v(x, t)|².

    The velocity is the target's exact one, or a frozen network's (velocity = "learned"); the diagonal learns it too.
    The gradient flows through F towards sg(F − E). Boffi, Albergo & Vanden-Eijnden 2024, arXiv:2406.07507.
    """

    velocity: Velocity = "exact"
    diagonal_share: float = 0.25
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "EMD, Eulerian map distillation"
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
