r"""Lagrangian map distillation."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Velocity
from cmcore.objectives.lagrangian import Lagrangian

__all__ = ["LagrangianMapDistillation"]


@OBJECTIVES.register("lmd")
@dataclass(frozen=True)
class LagrangianMapDistillation(Lagrangian):
    r"""LMD: the landing point moves with a given velocity, E |∂_s f(x,t,s) − v(f(x,t,s), s)|².

    The velocity is the target's exact one, or a frozen network's (velocity = "learned"); the diagonal learns it too.
    Boffi, Albergo & Vanden-Eijnden 2024, arXiv:2406.07507.
    """

    velocity: Velocity = "exact"
    diagonal_share: float = 0.25
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "LMD, Lagrangian map distillation"
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
