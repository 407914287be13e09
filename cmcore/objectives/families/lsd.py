r"""Lagrangian self-distillation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.identities.lagrangian import Lagrangian


@OBJECTIVES.register("lsd")
@dataclass(frozen=True)
class LagrangianSelfDistillation(Lagrangian):
    r"""LSD: the map is taught by its own diagonal, and the diagonal by samples.

    .. math:: E\,|\partial_s f(x,t,s) - \mathrm{sg}\,v_f(f(x,t,s), s)|^2 + E\,|F(x_t,t,t) - F_v|^2,

    v_f the velocity of the map's own diagonal and v that of the pair (x₀, z). Boffi, Albergo & Vanden-Eijnden 2025,
    arXiv:2505.18825, with the diagonal on 3/4 of the rows, times uniform on the triangle of the linear path, and
    RAdam 1e-3 there.
    """

    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "LSD, Lagrangian self-distillation"
    paper: ClassVar[Paper] = Paper(2025, "2505.18825")
    known_for: ClassVar[str] = "Self-distillation without a teacher and without a derivative in x."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("self",)
