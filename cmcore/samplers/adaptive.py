r"""The probability-flow ODE solved to a tolerance: what a score is worth once no step size is to blame.

Dormand–Prince steps of order 5 in the angle. Where to step is decided once, on pilot points drawn from N(0, I), by
scipy's adaptive solver; all points then take those steps. So every point moves by itself, the map has a derivative,
and the number of calls is known before anything is drawn.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmcore.chain import JumpMap, like_map
from cmcore.grids import TimeGrid
from cmcore.process import angle, time_from_angle
from cmcore.samplers.base import SAMPLERS, Path, Plan, Sampler, one_stage
from cmcore.samplers.scores import ScoreFunction, following, slope_in_angle
from cmcore.streams import stream

_PILOTS = 128
_TOLERANCE = 1e-7


@cache
def _tableau() -> tuple[list[tuple[float, list[float]]], list[float]]:
    """Nodes and weights of the six slopes, and how those are weighed (Dormand & Prince 1980), as scipy has them."""
    from scipy.integrate import RK45  # all of scipy's integrators take a while to load

    return list(zip(RK45.C.tolist(), RK45.A.tolist(), strict=True)), RK45.B.tolist()


@dataclass(frozen=True, kw_only=True)
class AdaptiveSampler(Sampler):
    """A solver that chooses its own steps; the grid says which states are shown, and where they end."""

    def plan(
        self,
        source: Any,
        grid: TimeGrid,
        *,
        renoise: float | None = None,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Plan:
        times = _steps(source, grid)

        def step(score: ScoreFunction) -> JumpMap:
            along = _path(score, grid, times)
            return lambda x, t, s: along(x)[-1]

        calls = len(_tableau()[0]) * (len(times) - 1) - (grid.delta == 0)
        return Plan(following(source, step), one_stage(grid), calls, _path(source, grid, times))


def _steps(score: Any, grid: TimeGrid) -> list[float]:
    """Times from T to δ, those of the grid among them, between which a step keeps to the tolerance on the pilot."""
    dim = getattr(score, "dim", None)
    if dim is None:
        raise ValueError("A solver that chooses its steps needs to know d: give a target or a learned map.")
    from scipy.integrate import solve_ivp

    slope = slope_in_angle(score)
    dtype, device = like_map(score)
    noise = torch.randn(_PILOTS, dim, generator=stream(0, "pilot"), dtype=torch.float64)
    thetas = angle(torch.tensor(grid.times, dtype=torch.float64)).tolist()

    def rate(theta: float, x: np.ndarray) -> np.ndarray:
        points = torch.from_numpy(x.reshape(_PILOTS, dim)).to(device, dtype)
        t = grid.delta if theta <= thetas[-1] else float(time_from_angle(torch.tensor(theta, dtype=torch.float64)))
        return slope(points, t).double().cpu().numpy().ravel()

    tolerance = max(_TOLERANCE, 20 * torch.finfo(dtype).eps)
    with torch.no_grad():
        solved = solve_ivp(rate, (thetas[0], thetas[-1]), noise.numpy().ravel(), rtol=tolerance, atol=tolerance)
    if not solved.success:
        raise ValueError(f"The ODE could not be solved to {tolerance:g}: {solved.message} Choose a larger δ.")
    between = torch.tensor(solved.t[1:-1], dtype=torch.float64)
    return sorted({*grid.times, *time_from_angle(between).tolist()}, reverse=True)


def _path(score: ScoreFunction, grid: TimeGrid, times: list[float]) -> Path:
    slope = slope_in_angle(score)
    stages, final = _tableau()
    thetas = angle(torch.tensor(times, dtype=torch.float64)).tolist()
    shown = set(grid.times)

    def path(x: Tensor) -> Tensor:
        states = [x]
        for (first, last), end in zip(pairwise(thetas), times[1:], strict=True):
            h, slopes = last - first, list[Tensor]()
            for node, weights in stages:
                at = end if node == 1 else float(time_from_angle(torch.tensor(first + node * h, dtype=torch.float64)))
                slopes.append(slope(x + h * _sum(weights, slopes), at))
            x = x + h * _sum(final, slopes)
            if end in shown:
                states.append(x)
        return torch.stack(states)

    return path


def _sum(weights: list[float], slopes: list[Tensor]) -> Tensor | float:
    """Σ w_i k_i over the slopes there are."""
    return sum((w * k for w, k in zip(weights, slopes, strict=False) if w), start=0.0)


DOPRI5 = AdaptiveSampler(
    name="dopri5",
    label="Adaptive ODE",
    description="The probability-flow ODE to a tolerance of 1e-7: as many score evaluations as that takes.",
    needs="score",
)
SAMPLERS.register("dopri5")(DOPRI5)
