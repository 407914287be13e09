r"""Eulerian self-distillation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("esd")
@dataclass(frozen=True)
class EulerianSelfDistillation(Eulerian):
    r"""ESD: E |∂_t f + ∇f · v_f(x, t)|² with the map's own diagonal v_f, and the diagonal taught by samples.

    Boffi, Albergo & Vanden-Eijnden 2025, arXiv:2505.18825, with the diagonal on 3/4 of the rows (here half), times
    uniform on the triangle, and the gradient through ∂_t F too ("full" stop-gradient, `through_time`). Here it flows
    through F alone, towards sg(F − E), and residuals are normalised off the diagonal: a steep map's are far from equal
    in size. With all of these defaults together it trains at the rates of the others.
    """

    velocity: Velocity = "self"
    diagonal_share: float = 0.5
    target_average: float = 0.9
    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    metric: Metric = "unit"
    metric_scale: float = 0.1

    label: ClassVar[str] = "ESD, Eulerian self-distillation"
    paper: ClassVar[Paper] = Paper(2025, "2505.18825")
    known_for: ClassVar[str] = "Self-distillation in Eulerian form, a relative of MeanFlow."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("self",)
