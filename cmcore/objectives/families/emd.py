r"""Eulerian map distillation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("emd")
@dataclass(frozen=True)
class EulerianMapDistillation(Eulerian):
    r"""EMD: the landing point does not move along a given velocity, E |∂_t f + ∇f · v(x, t)|².

    The velocity is the target's exact one, or a frozen network's (velocity = "learned"); the diagonal learns it too.
    The gradient flows through F towards sg(F − E), here normalised (the metric "unit").
    Boffi, Albergo & Vanden-Eijnden 2024, arXiv:2406.07507.
    """

    velocity: Velocity = "exact"
    diagonal_share: float = 0.25
    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    metric: Metric = "unit"
    metric_scale: float = 0.1

    label: ClassVar[str] = "EMD, Eulerian map distillation"
    paper: ClassVar[Paper] = Paper(2024, "2406.07507")
    known_for: ClassVar[str] = "Consistency distillation in continuous time, with a free end time."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
