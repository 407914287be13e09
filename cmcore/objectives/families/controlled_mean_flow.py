r"""MeanFlow with a control variate."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.eulerian import Eulerian


@OBJECTIVES.register("controlled_mean_flow")
@dataclass(frozen=True)
class ControlledMeanFlow(Eulerian):
    r"""MeanFlow derived along (1 − β) v + β v̄: part of the pair's noise is replaced by an average map's own velocity.

    v̄ is the diagonal of an average of the weights; the velocity that is regressed on stays the pair's, so the residual
    keeps its mean where v̄ is right. β = 0 is MeanFlow; β = 1 is improved MeanFlow but for the average. Lu & Wang 2026,
    arXiv:2605.09235 (abstract and the authors' experiments read, where β is a constant): the error of the gradient is
    least at β = 0.94 on images, and samples are best at β = 0. Here, by the KL, β = 0.9; an average of decay 0.999
    (here 0.9). The closed form of the best β is left out: it asks for the Jacobian of the map and the error of v̄ at
    every point, and the paper's was read at second hand only.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    diagonal_share: float = 0.5
    tangent_beta: float = 0.9
    target_average: float = 0.9

    label: ClassVar[str] = "MeanFlow with a control variate"
    paper: ClassVar[Paper] = Paper(2026, "2605.09235")
    known_for: ClassVar[str] = "MeanFlow with less variance in its tangent."
    building_block: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"batch": 2048})
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional",)
