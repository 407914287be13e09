r"""A chain of jumps: what a sampler does at each stage, known before anything is drawn.

Stage k takes :math:`x_k` at time :math:`t_k`, jumps to :math:`s = t_{k+1} - \eta_{k+1}` with a map f, and runs the
forward process for the time :math:`\eta_{k+1}` back up to :math:`t_{k+1}`:

.. math:: y = f(x_k, t_k, s), \qquad x_{k+1} = e^{-\eta} y + \sqrt{1 - e^{-2\eta}}\, z, \quad z \sim N(0, I)

All η = 0 is deterministic sampling; η = t is the multistep sampler of Song et al. 2023 (arXiv:2303.01469); CTM's
γ-sampling is the same family with γ² = (1 − e^{-2η})/σ²_t. Samplers draw along a chain, estimators compute its law,
and bounds bound it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.grids import TimeGrid
from cmcore.process import Time

__all__ = [
    "CHUNK",
    "Chain",
    "Jump",
    "JumpMap",
    "JumpSampler",
    "earliest_of",
    "jump_map_of",
    "land",
    "like_map",
    "make_chain",
]

JumpMap = Callable[[Tensor, Time, Time], Tensor]
"""Any map (x, t, s) → x_s acting on each point by itself: a learned flow map, the exact one, or a solver's step."""

JumpSampler = Literal["deterministic", "renoise"]

CHUNK = 4096
"""Points in one evaluation of a map: the activations of a small network stay in the cache, and memory is bounded."""


class Jump(NamedTuple):
    """One stage: from time t land at s, then add noise for a time η, arriving at s + η."""

    t: float
    s: float
    eta: float

    @property
    def scale(self) -> float:
        """e^{-η}, what is left of the landing."""
        return math.exp(-self.eta)

    @property
    def spread(self) -> float:
        """√(1 − e^{-2η}), the standard deviation of the fresh noise."""
        return math.sqrt(-math.expm1(-2 * self.eta))


@dataclass(frozen=True)
class Chain:
    """The stages of one sampler on one grid.

    Attributes:
        grid: the times t_0 > … > t_K = δ.
        etas: η_1 … η_K, the renoising times, 0 ≤ η_k ≤ t_k.
    """

    grid: TimeGrid
    etas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.etas) != self.grid.steps:
            raise ValueError(f"A chain of {self.grid.steps} jumps needs as many η; got {len(self.etas)}.")
        for eta, time in zip(self.etas, self.grid.times[1:], strict=True):
            if not 0 <= eta <= time:
                raise ValueError(f"Renoising must satisfy 0 ≤ η ≤ t; got η = {eta:g} at t = {time:g}.")

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """The K stages."""
        pairs = zip(self.grid.jumps, self.etas, strict=True)
        return tuple(Jump(t, later - eta, eta) for (t, later), eta in pairs)

    @property
    def delta(self) -> float:
        """δ, the time at which the chain ends."""
        return self.grid.delta

    @property
    def deterministic(self) -> bool:
        """Whether no stage adds noise."""
        return not any(self.etas)


def make_chain(
    grid: TimeGrid,
    *,
    sampler: JumpSampler = "deterministic",
    renoise: float = 0.5,
    noiseless_end: bool = False,
    earliest: float = 0.0,
) -> Chain:
    """The chain of a sampler: all η = 0 for "deterministic", for "renoise" η_k = renoise · t_k.

    Args:
        earliest: the δ a map was trained for; no jump that is renoised lands before it, so η_k ≤ t_k − earliest.
        noiseless_end: make the last jump land at δ without fresh noise. It must be asked for: with it only
            Wasserstein-type control survives, and the KL divergence can be infinite. At δ = 0 there is no other way
            to renoise, since no time is left to add noise in.
    """
    if sampler not in ("deterministic", "renoise"):
        raise ValueError(f"A chain is 'deterministic' or 'renoise'; got {sampler!r}.")
    if sampler == "deterministic" or renoise == 0:
        return Chain(grid, (0.0,) * grid.steps)
    if not 0 <= renoise <= 1:
        raise ValueError(f"Renoise is the share of t given to fresh noise, between 0 and 1; got {renoise:g}.")
    if grid.delta == 0 and not noiseless_end:
        raise ValueError("Renoising down to δ = 0 ends without noise: choose δ > 0, or ask for noiseless_end=True.")
    if grid.delta <= earliest > 0 and not noiseless_end:
        raise ValueError(
            f"This map was trained down to δ = {earliest:g}, so renoising needs to end later than that: "
            f"choose a larger δ, or ask for noiseless_end=True."
        )
    etas = [max(0.0, min(renoise * time, time - earliest)) for time in grid.times[1:]]
    if noiseless_end:
        etas[-1] = 0.0
    return Chain(grid, tuple(etas))


def jump_map_of(model: Any) -> JumpMap:
    """The map inside a trained model, or the map itself."""
    f: JumpMap = getattr(model, "flow_map", model)
    if not callable(f):
        raise ValueError(f"Expected a map (x, t, s) → x or a trained model; got {type(model).__name__}.")
    return f


def earliest_of(model: Any) -> float:
    """The δ a trained model learned to land at; 0 for a map that does not say."""
    return float(getattr(model, "delta", 0.0))


def like_map(f: object) -> tuple[torch.dtype, torch.device]:
    """The dtype and device in which to evaluate f: those of its weights; float64 on the CPU for a map without any."""
    if isinstance(f, torch.nn.Module):
        for parameter in f.parameters():
            return parameter.dtype, parameter.device
    return torch.float64, torch.device("cpu")


@torch.no_grad()
def land(f: JumpMap, x: Float[Tensor, "n d"], jump: Jump) -> Float[Tensor, "n d"]:
    """y = f(x, t, s) for many points, in chunks and without a gradient tape."""
    return torch.cat([f(piece, jump.t, jump.s) for piece in x.split(CHUNK)])
