r"""Shortcut models."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, Paper
from cmcore.objectives.clocks import Clock
from cmcore.objectives.identities.semigroup import Semigroup


@OBJECTIVES.register("shortcut")
@dataclass(frozen=True)
class Shortcut(Semigroup):
    r"""The semigroup at midpoints of a dyadic grid: gaps d = 2^{-m} of the clock, t a multiple of d, u = t − d/2.

    Frans et al. 2024, arXiv:2410.12557: m = 0 … levels − 1 alike, half (there 7/8) of the rows on the diagonal, targets
    from an average of the weights; the dyadic clock is the angle (there the linear path's time). Between the gaps of
    the grid the network interpolates.
    """

    diagonal_share: float = 0.5
    target_average: float = 0.9
    levels: Annotated[int, Field(ge=1, le=16, description="how many gaps; the smallest is 2^{1 − levels}")] = 7

    label: ClassVar[str] = "Shortcut model"
    paper: ClassVar[Paper] = Paper(2024, "2410.12557")
    known_for: ClassVar[str] = "One network for 1 to 128 steps, which takes the size of the step as an input."
    building_block: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.through != "midpoint":
            raise ValueError("A shortcut model jumps through the midpoint.")

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        del progress
        number = 2.0 ** (chance[0] * self.levels).floor().clamp(max=self.levels - 1)
        late = (chance[1] * number).ceil().clamp_min(1.0)
        late = torch.where(chance[2] < self.from_noise, number, late)
        late = torch.where(chance[3] < self.to_data, torch.ones_like(late), late)
        readings = (late / number, (late - 1) / number, (late - 0.5) / number)
        theta, end, between = (clock.angle(reading) for reading in readings)
        return theta, end, between
