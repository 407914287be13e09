r"""A chain of jumps: what a sampler does at each stage, known before anything is drawn.

Stage k takes :math:`x_k` at time :math:`t_k`, jumps to :math:`s = t_{k+1} - \eta_{k+1}` with a map f, and runs the
forward process for the time :math:`\eta_{k+1}` back up to :math:`t_{k+1}`:

.. math:: y = f(x_k, t_k, s), \qquad x_{k+1} = e^{-\eta} y + \sqrt{1 - e^{-2\eta}}\, z, \quad z \sim N(0, I)

All η = 0 is deterministic sampling; η = t is the multistep sampler of Song et al. 2023 (arXiv:2303.01469); CTM's
γ-sampling is the same family with γ² = (1 − e^{-2η})/σ²_t. Samplers draw along a chain, estimators compute its law,
and bounds bound it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.grids import TimeGrid
from cmcore.process import Time
from cmcore.threads import in_pieces, piecewise

JumpMap = Callable[[Tensor, Time, Time], Tensor]
"""Any map (x, t, s) → x_s acting on each point by itself: a learned flow map, the exact one, or a solver's step."""

JumpSampler = Literal["deterministic", "renoise", "algorithm_1", "one_time"]
"""How η is chosen at each jump; see :func:`make_chain`."""

_MOST_OF_TIME = 0.9
"""The paper's sampler renoises for no larger share of t, so that it never lands at time 0."""

CHUNK = 1024
"""Points in one evaluation of a map: the activations of a small network stay in the cache, and memory is bounded."""
_CARRIED = 3
"""Dimensions up to which a map carries all its tangents at once."""


class Stage(NamedTuple):
    """One stage: map x at time t to y = f(x, t, s), then add noise: scale · y + spread · z."""

    t: float
    s: float
    scale: float = 1.0
    spread: float = 0.0

    @classmethod
    def renoised(cls, t: float, s: float, eta: float) -> "Stage":
        """From t land at s, then run the forward process for the time η, arriving at s + η."""
        return cls(t, s, math.exp(-eta), math.sqrt(-math.expm1(-2 * eta)))


@dataclass(frozen=True)
class Chain:
    """The stages of one sampler on one grid.

    Attributes:
        grid: the times t_0 > … > t_K = δ.
        stages: what happens, in order; as many as the grid has steps, or more (a corrector is a stage of its own), or a
            single one for a solver that remembers earlier steps and is taken as one map.
    """

    grid: TimeGrid
    stages: tuple[Stage, ...]

    @property
    def delta(self) -> float:
        """δ, the time at which the chain ends."""
        return self.grid.delta

    @property
    def deterministic(self) -> bool:
        """Whether no stage adds noise."""
        return not any(stage.spread for stage in self.stages)

    @property
    def always_noisy(self) -> bool:
        """Whether every stage adds noise."""
        return all(stage.spread for stage in self.stages)


@dataclass(frozen=True)
class RenoisedChain(Chain):
    """A chain of jumps of a flow map, each followed by the forward process for a time η.

    Attributes:
        etas: η_1 … η_K, the renoising times, 0 ≤ η_k ≤ t_k; all 0 is deterministic sampling.
    """

    etas: tuple[float, ...]


def renoised_chain(grid: TimeGrid, etas: Sequence[float]) -> RenoisedChain:
    """The chain that jumps from t_k to t_{k+1} − η_{k+1} and renoises for η_{k+1}."""
    if len(etas) != grid.steps:
        raise ValueError(f"A chain of {grid.steps} jumps needs as many η; got {len(etas)}.")
    for eta, time in zip(etas, grid.times[1:], strict=True):
        if not 0 <= eta <= time:
            raise ValueError(f"Renoising must satisfy 0 ≤ η ≤ t; got η = {eta:g} at t = {time:g}.")
    stages = (Stage.renoised(t, later - eta, eta) for (t, later), eta in zip(grid.jumps, etas, strict=True))
    return RenoisedChain(grid, tuple(stages), tuple(etas))


def usual_share(sampler: str) -> float:
    """What `renoise` is unless told: a half of t, and for "algorithm_1" all of the step."""
    return 1.0 if sampler == "algorithm_1" else 0.5


def make_chain(
    grid: TimeGrid,
    *,
    sampler: JumpSampler = "deterministic",
    renoise: float | None = None,
    noiseless_end: bool = False,
    earliest: float = 0.0,
) -> RenoisedChain:
    """The chain of a sampler of flow maps.

    ===============  ==================================================================================================
    "deterministic"  η = 0: each jump goes straight to the next time
    "renoise"        η_k = renoise · t_k
    "algorithm_1"    the paper's sampler: η_k = ρ h_k, ρ = renoise and h_k = t_{k-1} − t_k, at most 0.9 t_k
    "one_time"       every jump goes to the earliest time and is renoised, the last one is not: one-time sampling
    ===============  ==================================================================================================

    Args:
        renoise: how much noise, as the table says; by default 0.5 for "renoise" and 1 for "algorithm_1".
        earliest: the δ a map was trained for; no jump that is renoised lands before it, so η_k ≤ t_k − earliest.
        noiseless_end: make the last jump land at δ without fresh noise. It must be asked for: with it only
            Wasserstein-type control survives, and the KL divergence can be infinite. At δ = 0 there is no other way
            to renoise, since no time is left to add noise in.
    """
    if sampler not in get_args(JumpSampler):
        raise ValueError(f"A chain is one of {', '.join(map(repr, get_args(JumpSampler)))}; got {sampler!r}.")
    renoise = usual_share(sampler) if renoise is None else renoise
    if sampler == "one_time":
        return renoised_chain(grid, [*(max(0.0, t - earliest) for t in grid.times[1:-1]), 0.0])
    if sampler == "deterministic" or renoise == 0:
        return renoised_chain(grid, (0.0,) * grid.steps)
    _check_renoising(grid, sampler, renoise, noiseless_end=noiseless_end, earliest=earliest)
    if sampler == "algorithm_1":
        wanted = [min(renoise * (t - later), _MOST_OF_TIME * later) for t, later in grid.jumps]
    else:
        wanted = [renoise * time for time in grid.times[1:]]
    etas = [max(0.0, min(eta, time - earliest)) for eta, time in zip(wanted, grid.times[1:], strict=True)]
    if noiseless_end:
        etas[-1] = 0.0
    return renoised_chain(grid, etas)


def _check_renoising(
    grid: TimeGrid, sampler: JumpSampler, renoise: float, *, noiseless_end: bool, earliest: float
) -> None:
    """Whether there is time to renoise in, by a share that is one."""
    if sampler == "renoise" and not 0 <= renoise <= 1:
        raise ValueError(f"Renoise is the share of t given to fresh noise, between 0 and 1; got {renoise:g}.")
    if sampler == "algorithm_1" and not (math.isfinite(renoise) and renoise > 0):
        raise ValueError(f"Renoise is η as a share ρ > 0 of the step for the paper's sampler; got {renoise:g}.")
    if grid.delta == 0 and not noiseless_end:
        raise ValueError("Renoising down to δ = 0 ends without noise: choose δ > 0, or ask for noiseless_end=True.")
    if grid.delta <= earliest > 0 and not noiseless_end:
        raise ValueError(
            f"This map was trained down to δ = {earliest:g}, so renoising needs to end later than that: "
            f"choose a larger δ, or ask for noiseless_end=True."
        )


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
@piecewise()
def land(f: JumpMap, x: Float[Tensor, "n d"], stage: Stage) -> Float[Tensor, "n d"]:
    """y = f(x, t, s) for many points, in chunks and without a gradient tape."""
    return torch.cat(in_pieces(lambda piece: f(piece, stage.t, stage.s), x, rows=CHUNK))


def with_jacobian(f: JumpMap, x: Float[Tensor, "n d"], t: float, s: float) -> tuple[Tensor, Tensor]:
    """y = f(x, t, s), [n, d], and dy/dx, [n, d, d]; where x lives, though a network is evaluated where it lives.

    Each point moves by itself, so the gradient of the i-th coordinate summed over points is row i of every point's
    Jacobian: d backward passes. On a 6×96 network with d = 2 that costs 3.7 evaluations; vmap of jacrev costs 6. In
    float64 and few dimensions a map whose class has a way of its own is asked for that: a flow map's costs 2.7.
    """
    if x.dtype == torch.float64 and x.shape[1] <= _CARRIED and "with_jacobian" in vars(type(f)):
        y, jacobian = f.with_jacobian(x.detach().to(like_map(f)[1]), t, s)  # pyright: ignore[reportFunctionMemberAccess]
        return y.to(x.device), jacobian.to(x.device)
    with torch.enable_grad():
        there = x.detach().to(like_map(f)[1] if isinstance(f, torch.nn.Module) else x.device).requires_grad_()
        y = f(there, t, s)
        last = y.shape[1] - 1
        rows = [torch.autograd.grad(y[:, i].sum(), there, retain_graph=i < last)[0] for i in range(last + 1)]
    return y.detach().to(x.device), torch.stack(rows, dim=1).to(x.device)
