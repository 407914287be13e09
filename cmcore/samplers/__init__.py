"""How samples are drawn: few jumps of a flow map, with or without fresh noise, and baselines that follow a score."""

from collections.abc import Sequence
from importlib import import_module
from numbers import Integral
from pkgutil import iter_modules
from reprlib import repr as shortened
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, earliest_of, jump_map_of, like_map
from cmcore.config import USUAL_GRID
from cmcore.grids import TimeGrid, as_grid, make_grid
from cmcore.map_check import guarded
from cmcore.plugins import load_plugins
from cmcore.samplers.base import SAMPLERS, PathSampler, Plan, Sampler, StageSampler, Trajectory
from cmcore.samplers.ddim import ddim
from cmcore.samplers.fitted_grids import (
    FITTED_GRIDS,
    FittedGrid,
    Fitting,
    fitted_grid,
    lipschitz_rates,
    one_sided_lipschitz,
)
from cmcore.samplers.jumps import ALGORITHM_1, DETERMINISTIC, ONE_TIME, RENOISE
from cmcore.samplers.runge_kutta import heun
from cmcore.samplers.scores import ModelScore, Score, score_of
from cmcore.streams import normal, stream
from cmcore.targets.base import Target

for _module in iter_modules(__path__):  # each file registers its members
    import_module(f"{__name__}.{_module.name}")
load_plugins(SAMPLERS, lambda sampler: isinstance(sampler, Sampler))

__all__ = [
    "ALGORITHM_1",
    "DETERMINISTIC",
    "FITTED_GRIDS",
    "ONE_TIME",
    "RENOISE",
    "SAMPLERS",
    "FittedGrid",
    "Fitting",
    "JumpMap",
    "ModelScore",
    "PathSampler",
    "Plan",
    "Sampler",
    "Score",
    "StageSampler",
    "Trajectory",
    "ddim",
    "fitted_grid",
    "grid_for",
    "heun",
    "lipschitz_rates",
    "one_sided_lipschitz",
    "sample",
    "score_of",
    "source_for",
    "starting_noise",
]


def starting_noise(
    n: int, dim: int, *, seed: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Float[Tensor, "{n} {dim}"]:
    """x_0 ~ N(0, I). The same seed gives the same noise whatever the steps, the sampler, the dtype and the device.

    The first rows do not depend on how many follow.
    """
    return normal(n, dim, generator=stream(seed, "starting noise"), dtype=dtype).to(device)


def sample(
    model: Any,
    n: int,
    steps: int,
    *,
    seed: int,
    sampler: str = "deterministic",
    grid: str | TimeGrid | Sequence[float] = USUAL_GRID,
    horizon: float | None = None,
    delta: float | None = None,
    renoise: float | None = None,
    noiseless_end: bool = False,
    score: Score | None = None,
    dim: int | None = None,
) -> Trajectory:
    """Draw n samples in a few steps.

    Args:
        model: a trained model, any map (x, t, s) → x_s, or, for the baselines, a target or a score (x, t) → ∇log p_t.
        n: how many.
        steps: K, the number of steps. Some baselines make several calls in each.
        seed: an integer; determines the starting noise and, in an independent stream, the fresh noise. The first
            samples do not depend on n.
        sampler: a name in `SAMPLERS`.
        grid: a name in `GRIDS` or `FITTED_GRIDS`, or the times themselves, a list too (then steps must agree).
        horizon, delta: T and δ; by default the model's own, else 3 and 0.
        renoise: η_{k+1} as a share of t_{k+1}, for "algorithm_1" of the step h; by default 0.5 there, and 1 here.
        noiseless_end: let the last jump of such a sampler land at δ without noise.
        score: what a baseline follows: "exact" is the target's score, "model" the model's own velocity; by default
            exact where the target is known.
        dim: d, for a map that does not know it.

    Returns:
        The whole trajectory; `.points` are the samples, to be compared with p_δ, δ = `.delta`.

    Raises:
        ValueError: in a sentence, also where the answers of a map from elsewhere are no points like those it was given.
    """
    chosen = SAMPLERS[sampler]
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"Draw a whole number of samples, at least one; got n = {shortened(n)}.")
    source = source_for(model, chosen, score)
    dtype, device = like_map(getattr(model, "flow_map", model))
    noise = starting_noise(n, _dim(model, dim), seed=seed, dtype=dtype, device=device)
    times = grid_for(model, grid, steps, horizon, delta, seed=seed)
    fresh = stream(seed, "fresh noise")
    return chosen.draw(
        guarded(source) if chosen.needs == "map" else source,
        noise,
        times,
        renoise=renoise,
        noiseless_end=noiseless_end,
        earliest=earliest_of(model),
        generator=fresh,
    )


def source_for(model: Any, sampler: Sampler, score: Score | None = None) -> Any:
    """What a sampler draws from: the map of a model, or for a baseline the score that :func:`score_of` finds."""
    if score not in (None, "exact", "model"):
        raise ValueError(f"A score is 'exact' (the target's) or 'model' (its own); got {shortened(score)}.")
    return jump_map_of(model) if sampler.needs == "map" else score_of(model, score)[0]


def _dim(model: Any, dim: int | None) -> int:
    own = dim or getattr(model, "dim", None) or getattr(getattr(model, "flow_map", None), "dim", None)
    if own is None:
        raise ValueError("This map does not know its dimension; pass dim=.")
    return own


def grid_for(
    model: Any,
    grid: str | TimeGrid | Sequence[float],
    steps: int,
    horizon: float | None = None,
    delta: float | None = None,
    *,
    target: Target | None = None,
    seed: int = 0,
) -> TimeGrid:
    """The asked grid; T and δ are by default those the model was trained for, else 3 and 0.

    Grids of `FITTED_GRIDS` are made for the model, or for its target or the given one, at points of the seed.
    """
    if not isinstance(grid, str):
        grid = as_grid(grid)
        if grid.steps != steps:
            raise ValueError(f"The grid has {grid.steps} jumps and steps = {steps}; they must agree.")
        return grid
    start: float = getattr(model, "horizon", 3.0) if horizon is None else horizon
    end: float = getattr(model, "delta", 0.0) if delta is None else delta
    if grid in FITTED_GRIDS:
        return fitted_grid(grid, model, steps, horizon=start, delta=end, target=target, seed=seed).grid
    return make_grid(grid, steps, horizon=start, delta=end)
