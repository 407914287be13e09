r"""sCM: continuous-time consistency models."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, Paper
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.identities.eulerian import Eulerian
from cmcore.objectives.metrics import Metric


@OBJECTIVES.register("scm")
@dataclass(frozen=True)
class ContinuousConsistency(Eulerian):
    r"""sCT and sCD: the Eulerian residual at s = δ, E = cos θ (F − v) + r sin θ (x + dF/dθ), normalised.

    Lu & Song 2024, arXiv:2410.11081: TrigFlow, log tan θ ~ N(−1, 1.4²), tangents divided by |E| + 0.1 (the metric
    "unit"), r growing from 0 to 1 (tangent warm-up). velocity = "conditional" is sCT, "learned" and "exact" sCD. The
    learned log-variance weight of the paper is left out. Samples are drawn by jumping to δ and renoising.
    """

    clock: ClockName = "log_normal"
    log_mean: float = -1.0
    log_sd: float = 1.4
    diagonal_share: float = 0.0
    metric: Metric = "unit"
    metric_scale: float = 0.1
    tangent_warmup: float = 0.1

    label: ClassVar[str] = "sCM, continuous-time consistency"
    paper: ClassVar[Paper] = Paper(2024, "2410.11081")
    known_for: ClassVar[str] = "Consistency models in continuous time, scaled to billions of weights."
    building_block: ClassVar[bool] = False

    @property
    def single_time(self) -> bool:
        return True

    def readings(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        late = torch.where(chance[2] < self.from_noise, 1.0, chance[0])
        return late, torch.zeros_like(late)

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        theta, end, inner = super().angles(clock, chance, progress)
        theta = theta.clamp_min(clock.first + 1e-4)
        return theta, end, torch.maximum(inner, theta)
