r"""Time grids made for the map, or for the target, at hand; the others know T, δ and K alone.

**Semigroup.** The exact map composes, :math:`\Phi_{u\to s}\circ\Phi_{t\to u} = \Phi_{t\to s}`, and a learned one hardly
does where it is wrong. Each jump goes as far as :math:`|f(f(x,t,u),u,s) - f(x,t,s)|` stays below a tolerance (after
arXiv:2605.08454, known by its abstract), with the tolerance that takes K jumps. Only the map is asked, no truth.

**Lipschitz.** With L(u) the one-sided Lipschitz constant of the flow towards the data,
:math:`1 + \lambda_{\max}(\nabla^2\log p_u)`, the grid is even in :math:`\int L_+(u)\,du` (after arXiv:2606.03820,
known by its abstract): no jump stretches errors by more than another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, Stage, jump_map_of, land, like_map, with_jacobian
from cmcore.grids import TimeGrid, make_grid
from cmcore.process import Time, angle, time_from_angle
from cmcore.registry import Registry
from cmcore.streams import normal, stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

_LEVELS, _POINTS = 25, 256
"""Candidate times of the semigroup grid, and starting points."""
_RATES, _SAMPLES = 33, 512
"""Times at which L is looked for, and samples of the target at each."""
_FLOOR = 0.01
"""Where the flow contracts, L₊ counts as this share of its mean, so that times go on decreasing."""
_INSTANT = 1e-6


@dataclass(frozen=True)
class Fitting:
    """A grid, and what finding it cost.

    Attributes:
        grid: the times.
        calls: evaluations of the map, of all points together.
        tolerance: the semigroup residual that each jump keeps to; 0 for a grid that asks for none.
    """

    grid: TimeGrid
    calls: int = 0
    tolerance: float = 0.0


@dataclass(frozen=True)
class FittedGrid:
    """A way to make a grid for the case at hand.

    Attributes:
        name: the registered name.
        label, description: for people.
        needs: whether it asks the "map" or the "target".
        fit: (map or target, K, horizon=T, delta=δ, seed=…) → :class:`Fitting`.
    """

    name: str
    label: str
    description: str
    needs: Literal["map", "target"]
    fit: Callable[..., Fitting]


FITTED_GRIDS: Registry[FittedGrid] = Registry("fitted time grid")
"""Grids made for a case, by name; :func:`cmcore.samplers.grid_for` takes them as it takes those of `GRIDS`."""


def fitted_grid(
    name: str, model: Any, steps: int, *, horizon: float, delta: float, target: Target | None = None, seed: int = 0
) -> Fitting:
    """The fitted grid `name` with K = steps jumps from T = horizon to δ = delta.

    Args:
        model: a trained model or any map; where the target is asked, it may be left out (None).
        target: the truth; by default the model's own.
        seed: of the points looked at.
    """
    make_grid("uniform_angle", steps, horizon=horizon, delta=delta)  # says what is wrong with K, T and δ
    kind = FITTED_GRIDS[name]
    source: Any = jump_map_of(model) if kind.needs == "map" else target or getattr(model, "target", None)
    if kind.needs == "target" and not (isinstance(source, Target) and source.has_score):
        raise ValueError(f"The grid {name!r} is made for a target whose score is known; none is known here.")
    dim = getattr(source, "dim", None) or getattr(target, "dim", None) or getattr(model, "dim", None)
    if kind.needs == "map" and dim is None:
        raise ValueError("This map does not know its dimension; pass a target.")
    return kind.fit(source, steps, horizon=horizon, delta=delta, seed=seed, dim=dim)


# ---- as far as the map composes -------------------------------------------------------------------------------------
@torch.no_grad()
@piecewise()
def semigroup_jumps(f: JumpMap, steps: int, *, horizon: float, delta: float, seed: int, dim: int) -> Fitting:
    """The longest jumps whose semigroup residual stays below the least tolerance that K of them allow.

    The residual of a jump is the root mean square of f(f(x,t,u),u,s) − f(x,t,s) over points that one jump brings from
    noise to t, u halfway in angle. Residuals of all pairs of candidate times are computed once.
    """
    times = _even_in_angle(horizon, delta, max(_LEVELS, 3 * steps + 1))
    residual, calls = _residuals(f, times, seed=seed, dim=dim)
    tolerances = residual[torch.isfinite(residual)].unique().tolist()
    low, high = 0, len(tolerances) - 1
    while low < high:  # the least tolerance whose greedy walk takes no more than K jumps
        middle = (low + high) // 2
        low, high = (low, middle) if len(_walk(residual, tolerances[middle])) <= steps + 1 else (middle + 1, high)
    path = _with_jumps(_walk(residual, tolerances[low]), residual, steps)
    return Fitting(TimeGrid(tuple(times[i] for i in path), "semigroup"), calls, tolerances[low])


def _even_in_angle(horizon: float, delta: float, levels: int) -> list[float]:
    first, last = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    times = time_from_angle(torch.linspace(first, last, levels, dtype=torch.float64)).tolist()
    return [horizon, *times[1:-1], delta]


def _residuals(f: JumpMap, times: list[float], *, seed: int, dim: int) -> tuple[Float[Tensor, "m m"], int]:
    """The residual of every jump from an earlier to a later candidate, infinite elsewhere; and the calls it took."""
    dtype, device = like_map(f)
    noise = normal(_POINTS, dim, generator=stream(seed, "semigroup noise")).to(device, dtype)
    m, calls = len(times), 0
    residual = torch.full((m, m), torch.inf, dtype=torch.float64)
    for i in range(m - 1):
        x = noise if i == 0 else land(f, noise, Stage(times[0], times[i]))
        for j in range(i + 1, m):
            halfway = _even_in_angle(times[i], times[j], 3)[1]
            whole = land(f, x, Stage(times[i], times[j]))
            halves = land(f, land(f, x, Stage(times[i], halfway)), Stage(halfway, times[j]))
            residual[i, j] = float((halves - whole).double().square().sum(1).mean().sqrt())
            calls += 3
        calls += i > 0
    return residual.nan_to_num(nan=1e300), calls * _POINTS


def _walk(residual: Float[Tensor, "m m"], tolerance: float) -> list[int]:
    """From the first candidate to the last, each jump as long as the tolerance allows, or to the next."""
    path = [0]
    while path[-1] < len(residual) - 1:
        here = path[-1]
        allowed = (residual[here] <= tolerance).nonzero()[:, 0].tolist()
        path.append(max(allowed, default=here + 1))
    return path


def _with_jumps(path: list[int], residual: Float[Tensor, "m m"], steps: int) -> list[int]:
    """A path of exactly `steps` jumps: the worst jump that can be halved is, until there are as many."""
    while len(path) - 1 < steps:
        worst = max((k for k in range(len(path) - 1) if path[k + 1] - path[k] > 1), key=lambda k: float(
            residual[path[k], path[k + 1]]
        ))  # fmt: skip
        path = [*path[: worst + 1], (path[worst] + path[worst + 1]) // 2, *path[worst + 1 :]]
    return path


FITTED_GRIDS.register("semigroup")(
    FittedGrid(
        "semigroup",
        "As far as the map composes",
        "Each jump goes as far as two halves of it land where the whole does, to within a tolerance.",
        "map",
        semigroup_jumps,
    )
)


# ---- even in the integral of L --------------------------------------------------------------------------------------
@piecewise()
def one_sided_lipschitz(target: Target, t: float, *, seed: int = 0, n: int = _SAMPLES) -> Float[Tensor, " n"]:
    """1 + λ_max(∇² log p_t) at n samples of p_t: how fast the flow towards the data pulls neighbours apart."""
    x = target.sample(n, t=t, generator=stream(seed, f"Lipschitz at {t:g}"))

    def score(x: Tensor, t: Time, _: Time) -> Tensor:
        return target.score(x, t)

    hessian = with_jacobian(score, x, t, t)[1]
    return 1 + torch.linalg.eigvalsh((hessian + hessian.mT) / 2)[:, -1]


def lipschitz_grid(target: Target, steps: int, *, horizon: float, delta: float, seed: int, dim: int) -> Fitting:
    """Times even in ∫ L₊(u) du, L the largest 1 + λ_max(∇² log p_u) at samples of p_u."""
    times, total = stretching(target, horizon, delta, seed)
    goals = torch.linspace(0, float(total[-1]), steps + 1, dtype=torch.float64)[1:-1]
    place = torch.searchsorted(total, goals).clamp(1, len(total) - 1)
    share = (goals - total[place - 1]) / (total[place] - total[place - 1])
    inner = times[place - 1] + share * (times[place] - times[place - 1])
    return Fitting(TimeGrid((horizon, *inner.tolist(), delta), "lipschitz"))


def stretching(
    target: Target, horizon: float, delta: float, seed: int
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Times from T down to δ, and ∫ L₊ from T to each, by trapezoids; a little more where the flow contracts."""
    times, rates = lipschitz_rates(target, horizon, delta, seed)
    rates = rates.clamp_min(0)
    rates = rates + _FLOOR * rates.mean().clamp_min(1e-3)
    parts = -times.diff() * (rates[1:] + rates[:-1]) / 2
    return times, torch.cat([torch.zeros(1, dtype=torch.float64), parts]).cumsum(0)


@lru_cache(maxsize=32)
def lipschitz_rates(
    target: Target, horizon: float, delta: float, seed: int = 0
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Times from T down to δ, even in angle, and at each L: the largest 1 + λ_max(∇² log p_t) at samples of p_t."""
    times = torch.tensor(_even_in_angle(horizon, delta, _RATES), dtype=torch.float64)
    rates = [one_sided_lipschitz(target, max(u, _INSTANT), seed=seed).max() for u in times.tolist()]
    return times, torch.stack(rates)


FITTED_GRIDS.register("lipschitz")(
    FittedGrid(
        "lipschitz",
        "Even in ∫ L dt",
        "Each jump stretches errors alike: L is the one-sided Lipschitz constant of the flow towards the data.",
        "target",
        lipschitz_grid,
    )
)
