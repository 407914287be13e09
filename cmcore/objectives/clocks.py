r"""Laws of times: which (t, s) a batch is made of.

Every law is uniform in a clock c, a monotone function of the angle θ; a draw on [δ, T] is a uniform draw between c(δ)
and c(T), carried back.

==============  ==========================================  ==================================================
clock           c(θ)                                        density
==============  ==========================================  ==================================================
uniform_angle   θ                                           uniform in θ = arccos e^{-t}
uniform_linear  τ = tan θ/(1 + tan θ)                       uniform in the time of the linear path
log_normal      Φ((log tan θ − mean)/sd)                    EDM's: log σ/α normal; logit τ normal is the same law
karras          (tan θ)^{1/7}                               even in the levels of Karras et al. 2022
==============  ==========================================  ==================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from cmcore.preconditioning import angle_at, linear_time
from cmcore.process import round_angle

ClockName = Literal["uniform_angle", "uniform_linear", "log_normal", "karras"]

RHO = 7.0


@dataclass(frozen=True)
class Clock:
    """A clock on [θ_δ, θ_T], scaled to run from 0 at δ to 1 at T.

    Args:
        name: a :data:`ClockName`.
        first, last: θ_δ and θ_T.
        mean, sd: of log tan θ, for "log_normal".
    """

    name: ClockName
    first: float
    last: float
    mean: float = -0.4
    sd: float = 1.0

    def __post_init__(self) -> None:
        start, end = self._ends
        if not start < end:
            raise ValueError(f"With log_mean = {self.mean:g} no time is left between δ and T: move it towards 0.")

    def read(self, theta: Tensor) -> Tensor:
        """The clock, in [0, 1], at angles in [θ_δ, θ_T]."""
        start, end = self._ends
        return ((self._raw(theta.double()) - start) / (end - start)).to(theta.dtype)

    def angle(self, reading: Tensor) -> Tensor:
        """The angle at which the clock reads `reading`, in [0, 1]; exact at both ends."""
        start, end = self._ends
        theta = self._back(start + reading.double() * (end - start)).clamp(self.first, self.last)
        theta = torch.where(reading <= 0, self.first, torch.where(reading >= 1, self.last, theta))
        return round_angle(theta, reading.dtype)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The raw clock at both ends."""
        start, end = self._raw(torch.tensor([self.first, self.last], dtype=torch.float64)).tolist()
        return start, end

    def _raw(self, theta: Tensor) -> Tensor:
        if self.name == "uniform_angle":
            return theta
        if self.name == "uniform_linear":
            return linear_time(theta)
        if self.name == "karras":
            return theta.tan() ** (1 / RHO)
        return torch.special.ndtr((theta.tan().log() - self.mean) / self.sd)

    def _back(self, raw: Tensor) -> Tensor:
        back: dict[str, Callable[[Tensor], Tensor]] = {
            "uniform_angle": lambda c: c,
            "uniform_linear": angle_at,
            "karras": lambda c: (c**RHO).atan(),
            "log_normal": lambda c: (self.mean + self.sd * torch.special.ndtri(c)).exp().atan(),
        }
        return back[self.name](raw)
