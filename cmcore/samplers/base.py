r"""What a sampler is, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.grids import TimeGrid
from cmcore.process import Time
from cmcore.registry import Registry

__all__ = ["SAMPLERS", "JumpMap", "Trajectory"]

JumpMap = Callable[[Tensor, Time, Time], Tensor]
"""Any map (x, t, s) → x_s: a learned :class:`~cmcore.model.FlowMap` or the exact flow."""


@dataclass(frozen=True)
class Trajectory:
    """One draw: every state on the way, and what it cost.

    Attributes:
        grid: the times t_0 > … > t_K = δ.
        states: x_{t_k}, [K + 1, n, d]; `states[0]` is the noise.
        landings: where each jump landed before fresh noise was added, [K, n, d]; equal to `states[1:]` without.
        calls: network (or score) evaluations per sample.
        sampler: the registered name.
    """

    grid: TimeGrid
    states: Float[Tensor, "k1 n d"]
    landings: Float[Tensor, "k n d"]
    calls: int
    sampler: str

    @property
    def points(self) -> Float[Tensor, "n d"]:
        """The samples at time δ; compare them with p_δ."""
        return self.states[-1]

    @property
    def delta(self) -> float:
        """δ, the time the samples belong to."""
        return self.grid.delta


SAMPLERS: Registry = Registry("sampler")
