r"""Align Your Flow."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.clocks import ClockName
from cmcore.objectives.composition import SMALLEST_GAP
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("ayf")
@dataclass(frozen=True)
class AlignYourFlow(Eulerian):
    r"""AYF-EMD: the Eulerian residual for a teacher's velocity, with normalised tangents and gaps logit-normal.

    Sabour, Fidler & Kreis 2025, arXiv:2506.14603: gap = sigmoid(N(gap_mean, gap_sd²)) and s uniform in what is left, by
    the clock; tangents divided by |E| + 0.1; tangent warm-up. The teacher's guidance has no meaning here.
    """

    velocity: Velocity = "exact"
    diagonal_share: float = 0.25
    metric: Metric = "unit"
    metric_scale: float = 0.1
    tangent_warmup: float = 0.1
    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    gap_mean: Annotated[float, Field(ge=-20, le=20, description="of logit gap")] = -0.8
    gap_sd: Annotated[float, Field(ge=0.01, le=100, description="of logit gap")] = 1.0

    label: ClassVar[str] = "AYF, Align Your Flow"
    paper: ClassVar[Paper] = Paper(2025, "2506.14603")
    known_for: ClassVar[str] = "Distils large image models to few jumps with tangents that stay bounded."
    building_block: ClassVar[bool] = False
    preconditioning: ClassVar[Literal["trig", "linear"]] = "linear"
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")

    def readings(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        normal = torch.special.ndtri(chance[0].clamp(1e-6, 1 - 1e-6))
        gap = torch.sigmoid(self.gap_mean + self.gap_sd * normal)
        early = chance[1] * (1 - gap)
        late = torch.where(chance[2] < self.from_noise, 1.0, early + gap).clamp_min(SMALLEST_GAP)
        return late, torch.where(chance[3] < self.to_data, 0.0, torch.minimum(early, late - SMALLEST_GAP))
