r"""Lagrangian map distillation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.identities.lagrangian import Lagrangian
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("lmd")
@dataclass(frozen=True)
class LagrangianMapDistillation(Lagrangian):
    r"""LMD: the landing point moves with a given velocity, E |∂_s f(x,t,s) − v(f(x,t,s), s)|².

    The velocity is the target's exact one, or a frozen network's (velocity = "learned"); the diagonal learns it too.
    Boffi, Albergo & Vanden-Eijnden 2024, arXiv:2406.07507, with a squared error (here pseudo-Huber).
    """

    velocity: Velocity = "exact"
    diagonal_share: float = 0.25
    metric: Metric = "pseudo_huber"
    metric_scale: float = 0.1
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "LMD, Lagrangian map distillation"
    paper: ClassVar[Paper] = Paper(2024, "2406.07507")
    known_for: ClassVar[str] = "Distils a velocity by following where the map ends; no derivative in x is taken."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
