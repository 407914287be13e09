r"""MeanFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.identities.eulerian import Eulerian


@OBJECTIVES.register("mean_flow")
@dataclass(frozen=True)
class MeanFlow(Eulerian):
    r"""MeanFlow: F is the average velocity over [s, t], F* = sg(v − (t − s) dF/dt), from samples alone.

    v is the conditional velocity of the pair: since the residual is linear in it, its mean is that of the marginal
    velocity. Geng et al. 2025, arXiv:2505.13447: linear path and preconditioning, logit τ ~ N(−0.4, 1) (the clock
    "log_normal"; here N(−1, 1.4²)), s = t on 3/4 of the rows (here half), and the metric "adaptive" (here the plain
    square, whose minimiser is the mean). Pairs make its targets noisy, hence the larger batch: with half of it longer
    runs make single jumps worse.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    diagonal_share: float = 0.5
    metric_scale: float = 1.0

    label: ClassVar[str] = "MeanFlow"
    paper: ClassVar[Paper] = Paper(2025, "2505.13447")
    known_for: ClassVar[str] = "One-step image models trained from scratch, by the average velocity."
    building_block: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"batch": 2048})
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "averaged", "learned", "exact")
