r"""The times, and the renoising, that suit a given model best.

**For Bound A** the sum over jumps is additive, so the best K jumps among M candidate times are a shortest path. With
:math:`\varepsilon^2(i,l) = E_{x\sim p_{t_i}}|f(x,t_i,t_l) - \Phi_{t_i\to t_l}(x)|^2` for every pair of candidates, a
stage from t_i to t_j that lands at t_l and renoises for η = t_j − t_l costs

.. math:: c(i,j) = \min_{l > j} \frac{\varepsilon^2(i,l)}{2\,(e^{2(t_j - t_l)} - 1)},

and the least sum over paths of exactly K stages is found exactly (dynamic programming), η of every stage included.

**For the measured KL** nothing is additive: the gaps between the angles of the times, and η/t, are moved by the
simplex method (Nelder & Mead 1965) with the same noise in every trial, so that the objective is a function and not a
draw. What is found has been chosen for that noise: measure it again with another seed before believing its KL.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpSampler, RenoisedChain, earliest_of, jump_map_of, like_map, make_chain, renoised_chain
from cmcore.divergences import Direction, kl_of_chain
from cmcore.flow import ExactFlow
from cmcore.grids import TimeGrid, make_grid, named_grids
from cmcore.process import angle, time_from_angle
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

_LEAST_SHARE = 0.02
"""η is at least this share of t: below it the bound of any network is useless."""


@dataclass(frozen=True)
class BestChain:
    """The best chain of a search, and what it cost to find.

    Attributes:
        chain: times and η.
        objective: what was made small there, in nats: a number that was chosen for being small, and no estimate.
        started_from: what the search began with.
        trials: how many chains were looked at.
    """

    chain: RenoisedChain
    objective: float
    started_from: str
    trials: int


# ---- Bound A ------------------------------------------------------------------------------------------------------
@torch.no_grad()
@piecewise()
def least_bound(
    model: Any, target: Target, steps: int, *, horizon: float, delta: float, seed: int, n: int = 1024, levels: int = 49
) -> BestChain:
    """The K = steps renoised jumps from T to δ with the least Bound A among `levels` times even in angle.

    Args:
        model: a trained model or any map (x, t, s) → x_s that takes one time per point.
        target: the truth.
        steps: K.
        horizon, delta: T and δ > 0; landings may go below δ, down to the time the model was trained for.
        seed: of the points of p_T that are followed along the exact flow.
        n: how many.
        levels: candidate times from T to δ; the cost grows as their square.
    """
    if delta <= earliest_of(model) or not 1 <= steps < levels:
        raise ValueError("A best renoised grid needs 1 ≤ K < levels and δ later than the time the map was trained to.")
    times = _candidates(horizon, delta, earliest_of(model), levels)
    error = _pairwise_map_error(model, target, times, seed=seed, n=n)
    cost, landing = _stage_costs(error, times, levels)
    path, value = _shortest(cost, steps)
    grid = TimeGrid(tuple(float(times[i]) for i in path), "least bound")
    etas = [float(times[j] - times[landing[i, j]]) for i, j in pairwise(path)]
    return BestChain(
        renoised_chain(grid, etas), value, f"{levels} times even in angle", int(torch.isfinite(cost).sum())
    )


def _candidates(horizon: float, delta: float, earliest: float, levels: int) -> Float[Tensor, " m"]:
    """`levels` times even in angle from T to δ, then an eighth as many down to where landings may go."""
    first, last, end = angle(torch.tensor([horizon, delta, earliest], dtype=torch.float64)).tolist()
    below = torch.linspace(last, end, max(3, levels // 8), dtype=torch.float64)[1:]
    times = time_from_angle(torch.cat([torch.linspace(first, last, levels, dtype=torch.float64), below]))
    times[0], times[levels - 1], times[-1] = horizon, delta, earliest
    return times


def _pairwise_map_error(model: Any, target: Target, times: Tensor, *, seed: int, n: int) -> Float[Tensor, "m m"]:
    """ε²(i, l) for every pair t_i > t_l, under the law p_{t_i}; infinite elsewhere."""
    f = jump_map_of(model)
    dtype, device = like_map(f)
    start = target.sample(n, t=float(times[0]), generator=stream(seed, "best grid"))
    exact = ExactFlow(target).path(start, times)
    error = torch.full((len(times), len(times)), math.inf, dtype=torch.float64)
    for i, x in enumerate(exact[:-1]):
        later = exact[i + 1 :]
        points = x.to(device, dtype).repeat(len(later), 1)
        ends = times[i + 1 :].to(device, dtype).repeat_interleave(n)
        landed = torch.cat(
            [f(p, float(times[i]), s) for p, s in zip(points.split(4096), ends.split(4096), strict=True)]
        )
        gap = landed.double().cpu().view_as(later) - later
        error[i, i + 1 :] = gap.square().sum(2).mean(1)
    return error


def _stage_costs(error: Tensor, times: Tensor, levels: int) -> tuple[Float[Tensor, "k k"], Tensor]:
    """The least cost of a stage from t_i to t_j over where it lands, and the number of that landing."""
    eta = times[:levels, None] - times[None, :]  # of arriving at j after landing at l
    weight = torch.where(
        eta >= _LEAST_SHARE * times[:levels, None], 1 / (2 * torch.expm1(2 * eta.clamp(min=1e-12))), math.inf
    )
    cost = torch.full((levels, levels), math.inf, dtype=torch.float64)
    landing = torch.zeros(levels, levels, dtype=torch.long)
    for i in range(levels - 1):
        total = error[i][None, :] * weight
        total[: i + 1] = math.inf  # a stage arrives later in the chain than it starts
        cost[i], landing[i] = total.min(1)
    return cost, landing


def _shortest(cost: Float[Tensor, "k k"], steps: int) -> tuple[list[int], float]:
    """The path of exactly `steps` stages from the first time to the last with the least total."""
    value, before = cost[0], []
    for _ in range(steps - 1):
        value, best = (value[:, None] + cost).min(0)
        before.append(best)
    path = [len(cost) - 1]
    for best in reversed(before):
        path.append(int(best[path[-1]]))
    return [0, *reversed(path)], float(value[-1])


# ---- the measured KL ----------------------------------------------------------------------------------------------
@piecewise()
def least_kl(
    model: Any,
    target: Target,
    steps: int,
    *,
    horizon: float,
    delta: float,
    seed: int,
    sampler: JumpSampler = "deterministic",
    direction: Direction | None = None,
    n: int | None = None,
    trials: int = 120,
    progress: Callable[[float], None] | None = None,
) -> BestChain:
    """The times (and one η/t or η/h for all stages) with the least measured KL that a local search finds.

    It starts from the best of the registered grids. Renoised chains keep η/t, or η/h of "algorithm_1", between 0.02
    and 1, and land no earlier than the model was trained to.

    Args:
        sampler: "deterministic", "renoise" or "algorithm_1".
        direction: which KL; by default that of the sampler.
        n: samples or landings behind a trial; by default 4,096 and 32,768.
        trials: chains looked at, at most.
        progress: told the share of trials done.
    """
    f, earliest = jump_map_of(model), earliest_of(model)
    n = n or (4096 if sampler == "deterministic" else 1 << 15)
    done = 0

    def measured(chain: RenoisedChain) -> float:
        nonlocal done
        done += 1
        if progress:
            progress(min(1.0, done / trials))
        estimate = kl_of_chain(f, target, chain, seed=seed, n=n, direction=direction)
        seen = max(estimate.value, estimate.floor, 1e-12)  # below its floor the estimator cannot rank two chains
        return math.log(seen) if math.isfinite(seen) else 1e3

    def chain_of(free: Any) -> RenoisedChain:
        share = 0.5 if sampler == "deterministic" else _between(float(free[-1]))
        gaps = list(free) if sampler == "deterministic" else list(free[:-1])
        grid = _grid_of(gaps, horizon, delta)
        return make_chain(grid, sampler=sampler, renoise=share, earliest=earliest)

    named = named_grids(to_zero=delta == 0)
    starts = {name: make_grid(name, steps, horizon=horizon, delta=delta) for name in named}
    first = {
        name: measured(make_chain(grid, sampler=sampler, renoise=0.5, earliest=earliest))
        for name, grid in starts.items()
    }
    name = min(first, key=lambda key: first[key])
    free = _gaps_of(starts[name]) + ([] if sampler == "deterministic" else [0.0])
    if not free:  # one deterministic jump has nothing to choose
        return BestChain(chain_of(free), math.exp(first[name]), name, done)
    from scipy.optimize import minimize

    solution = minimize(
        lambda point: measured(chain_of(point)),
        free,
        method="Nelder-Mead",
        options={"maxfev": max(1, trials - done), "xatol": 1e-2, "fatol": 1e-3, "initial_simplex": _simplex(free)},
    )
    value, best = (solution.fun, chain_of(solution.x)) if solution.fun < first[name] else (first[name], chain_of(free))
    return BestChain(best, math.exp(value), name, done)


def _between(free: float) -> float:
    """η/t in [0.02, 1], 0.51 at 0."""
    return _LEAST_SHARE + (1 - _LEAST_SHARE) / (1 + math.exp(-free))


def _gaps_of(grid: TimeGrid) -> list[float]:
    """The logarithms of the gaps between the angles of the times, relative to the last gap; K − 1 numbers."""
    gaps = -angle(torch.tensor(grid.times, dtype=torch.float64)).diff()
    return (gaps[:-1] / gaps[-1]).log().tolist()


def _grid_of(gaps: list[float], horizon: float, delta: float) -> TimeGrid:
    """The grid with these gaps; the inverse of `_gaps_of`."""
    share = torch.softmax(torch.tensor([*gaps, 0.0], dtype=torch.float64).clamp(-8, 8), 0).cumsum(0)
    first, last = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    inner = time_from_angle(first + (last - first) * share[:-1]).tolist()
    return TimeGrid((horizon, *inner, delta), "least KL")


def _simplex(free: list[float]) -> list[list[float]]:
    """The start, and from it one step of 0.5 in each direction."""
    return [list(free), *([v + 0.5 * (i == j) for j, v in enumerate(free)] for i in range(len(free)))]
