r"""Eulerian self-distillation."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Velocity
from cmcore.objectives.eulerian import Eulerian

__all__ = ["EulerianSelfDistillation"]


@OBJECTIVES.register("esd")
@dataclass(frozen=True)
class EulerianSelfDistillation(Eulerian):
    r"""ESD: E |∂_t f + sg(∇f · v_f(x, t))|² with the map's own diagonal v_f, and the diagonal taught by samples.

    The gradient flows through ∂_t F too, as in Boffi, Albergo & Vanden-Eijnden 2025, arXiv:2505.18825 ("full"
    stop-gradient), with the diagonal on 3/4 of the rows there.
    """

    velocity: Velocity = "self"
    through_time: bool = True
    target_average: float = 0.9
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "ESD, Eulerian self-distillation"
    building_block: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType(
        {"batch": 1024, "learning_rate": 2e-3, "matrix_learning_rate": 1e-2}  # it diverges at the rates of the others
    )
    velocities: ClassVar[tuple[Velocity, ...]] = ("self",)
