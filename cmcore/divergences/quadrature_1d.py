r"""The law of a sampler in one dimension, by quadrature: no sampling noise.

Deterministic jumps: with nodes z_i under N(0, 1), q(x) is the sum of φ(z)/|f'(z)| over all preimages, read off the
monotone pieces of the composed map. Renoised jumps: a cell of mass m whose ends land at a and b becomes, after noise
of standard deviation s,

.. math:: m\, \frac{\Phi((u - a)/s) - \Phi((u - b)/s)}{b - a},

exact where the map is linear across the cell. Cells narrower than the noise are taken as points at even steps of a
smooth integrand instead, where the sum converges faster than any power. The stated error is the larger of the changes
from a half and two thirds of the cells.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cmcore.chain import Chain, JumpMap, land
from cmcore.divergences.estimate import ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator
from cmcore.divergences.off_mode import density_level, off_mode_mass
from cmcore.divergences.push_forward import doubled, log_standard_normal, push_forward
from cmcore.streams import stream
from cmcore.targets.base import Target

__all__ = ["kl_1d"]

ESTIMATORS.register("quadrature_1d")(
    Estimator("quadrature", "In one dimension the model's law is computed on a grid; nothing is drawn.")
)

_EDGE = 8.5
"""Noise beyond ±8.5 (probability 2e-17) is ignored."""
_FAR = 7.2
_NODES = 1 << 15
_DATA_NODES = 1 << 12
_CELLS = 2048
_MOST_CELLS = 1 << 16
_CELLS_PER_SPREAD = 8
_SPREADS = 12
_NARROW = 1.0
"""A sum over points this far apart, in units of the noise's spread, is the integral to within e^{-2π²} of it."""
_REACH = 40
"""Beyond so many spreads a Gaussian density underflows."""
_ROWS = 256
_UNCOVERED = 1e-6
_ALL = 1e-10
"""How far a mass may be from 1 for all of it to lie on the nodes."""
_WHOLE = 1e-4
"""How far the total mass of a law on its nodes may be from 1 before they are too few."""


@dataclass(frozen=True)
class _Law:
    """q as quadrature nodes, and its density anywhere."""

    nodes: Float[Tensor, " n"]
    mass: Float[Tensor, " n"]
    log_q: Float[Tensor, " n"]
    log_density: Callable[[Float[Tensor, " m"]], Float[Tensor, " m"]]


def kl_1d(f: JumpMap, target: Target, chain: Chain, *, direction: Direction) -> Estimate:
    """KL between the law of a chain in one dimension and p_δ, in nats, in either direction.

    Every stage must add noise, or none.
    """
    if not (chain.deterministic or chain.always_noisy):
        raise ValueError("In one dimension a chain adds noise at every stage or at none.")
    f = doubled(f)
    make, size = (_pushed_law, _NODES) if chain.deterministic else (_renoised_law, _CELLS)
    law = make(f, chain, size)
    value, uncovered, total = _kl(law, target, chain.delta, direction)
    coarser = [_kl(make(f, chain, fewer), target, chain.delta, direction)[0] for fewer in (size // 2, 2 * size // 3)]
    # Two of them: where a map folds the error does not fall evenly, and one difference may vanish by chance.
    error = max(abs(value - other) for other in coarser) + 1e-12
    problem = _problem(value, error, uncovered, total)
    log_p = target.log_prob(law.nodes[:, None], chain.delta)
    return Estimate(
        value=math.inf if uncovered >= _UNCOVERED else value,
        low=0.0 if problem else value - error,
        high=math.inf if problem else value + error,
        direction=direction,
        delta=chain.delta,
        estimator="quadrature_1d",
        n=len(law.nodes),
        floor=error,
        trusted=not problem,
        note=problem,
        diagnostics={
            "uncovered_share": uncovered,
            "off_mode_mass": off_mode_mass(target, log_p, law.mass, delta=chain.delta),
            "off_mode_floor": density_level(target, chain.delta)[1],
        },
    )


def _problem(value: float, error: float, uncovered: float, total: float) -> str:
    """Why the number is none, in a sentence; empty where it is one."""
    if not math.isfinite(value) or abs(total - 1) > _WHOLE or value + error < 0:
        return "The laws are too narrow for these nodes, so the KL could not be computed; a larger δ would help."
    if uncovered >= _UNCOVERED:
        return "One law has mass where the other has none: the KL is infinite."
    return ""


def _kl(law: _Law, target: Target, delta: float, direction: Direction) -> tuple[float, float, float]:
    """The KL, the share of its first law that the second does not cover, and the total mass of the first."""
    log_p = target.log_prob(law.nodes[:, None], delta)
    carried = law.mass * (log_p - law.log_q).exp()  # what the data has, at the model's nodes
    everywhere = abs(float(carried.nan_to_num().sum()) - 1) < _ALL
    if direction == MODEL_DATA:
        mass, log_a, log_b = law.mass, law.log_q, log_p
    elif everywhere:
        mass, log_a, log_b = carried.nan_to_num(), log_p, law.log_q
    else:
        nodes = _data_nodes(target, delta)
        log_a, log_b = target.log_prob(nodes[:, None], delta), law.log_density(nodes)
        mass = log_a.exp() * (nodes[1] - nodes[0])
    covered = (mass > 0) & torch.isfinite(log_b)
    uncovered = float(mass[(mass > 0) & ~torch.isfinite(log_b)].sum())
    log_ratio = (log_b - log_a)[covered]
    # a (r − 1 − log r) ≥ 0 with r = b/a: nothing cancels when the two are close, where the nodes hold all of both.
    terms = torch.expm1(log_ratio) - log_ratio if everywhere else -log_ratio
    return float((mass[covered] * terms).sum()), uncovered, float(mass.sum())


def _data_nodes(target: Target, delta: float) -> Float[Tensor, " n"]:
    """Even nodes over the range of p_δ."""
    data = target.sample(20_000, t=delta, generator=stream(0, "data nodes"))
    low, high = float(data.min()), float(data.max())
    margin = (high - low) / 4
    return torch.linspace(low - margin, high + margin, _DATA_NODES, dtype=torch.float64)


# ---- deterministic jumps --------------------------------------------------------------------------------------------
def _pushed_law(f: JumpMap, chain: Chain, size: int) -> _Law:
    # Even in u for z = 2 sinh(u/2): close to even where the noise is, and out to where its density underflows, since
    # data that only such noise reaches has a finite log q all the same.
    side = 2 * _FAR / size
    u = -_FAR + side * (torch.arange(size, dtype=torch.float64) + 0.5)
    z, stretch = 2 * torch.sinh(u / 2), torch.cosh(u / 2)
    branch = push_forward(f, z[:, None], chain.grid)
    nodes = branch.points[:, 0]
    pieces = _monotone_pieces(nodes, branch.log_density)

    def log_density(x: Tensor) -> Tensor:
        total = np.full(len(x), -np.inf)
        for at, log_branch in pieces:
            total = np.logaddexp(total, np.interp(x.numpy(), at, log_branch, left=-np.inf, right=-np.inf))
        return torch.from_numpy(total)

    log_q = branch.log_density if len(pieces) == 1 else log_density(nodes)
    return _Law(nodes, log_standard_normal(z[:, None]).exp() * stretch * side, log_q, log_density)


def _monotone_pieces(nodes: Tensor, log_branch: Tensor) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Increasing images with the branch density along them, one pair for each monotone run of the map."""
    x, values = nodes.numpy(), log_branch.numpy()
    rising = np.sign(np.diff(x))
    moving = np.flatnonzero(rising)  # a fold may land two neighbours on one point
    turns = moving[1:][rising[moving[1:]] != rising[moving[:-1]]]
    ends = [0, *turns.tolist(), len(x) - 1]
    runs = [slice(first, last + 1) for first, last in pairwise(ends)]
    return [(x[run], values[run]) if x[run][-1] >= x[run][0] else (x[run][::-1], values[run][::-1]) for run in runs]


# ---- renoised jumps -------------------------------------------------------------------------------------------------
def _renoised_law(f: JumpMap, chain: Chain, size: int) -> _Law:
    edges = torch.linspace(-_EDGE, _EDGE, size + 1, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    density = log_standard_normal(centres[:, None]).exp()
    mass, landings = density, _Landings(edges, centres, density, 1.0)
    for stage in chain.stages:
        mass = density * (edges[1] - edges[0])
        landed = stage.scale * land(f, torch.cat([edges, centres])[:, None], stage)[:, 0]
        landings = _Landings(landed[: len(edges)], landed[len(edges) :], mass, stage.spread)
        edges = _edges(landings, size)
        centres = (edges[1:] + edges[:-1]) / 2
        density = landings.spread_out(centres)
    mass = density * (edges[1] - edges[0])
    return _Law(centres, mass, density.log(), lambda x: landings.spread_out(x).log())


@dataclass(frozen=True)
class _Landings:
    """Where the ends and the middle of each cell land, the mass of each, and the noise that follows."""

    ends: Float[Tensor, " edges"]
    middles: Float[Tensor, " cells"]
    mass: Float[Tensor, " cells"]
    spread: float

    def spread_out(self, at: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        """The density of the landings plus noise, at the given points."""
        low, high = torch.minimum(self.ends[:-1], self.ends[1:]), torch.maximum(self.ends[:-1], self.ends[1:])
        # Narrow images are taken as points at even steps of a smooth integrand, which is exact to rounding.
        narrow = high - low < _NARROW * self.spread
        near = self.mass > 0
        density = torch.zeros_like(at)
        for part in torch.arange(len(at)).split(_ROWS):
            first, last = at[part].min() - _REACH * self.spread, at[part].max() + _REACH * self.spread
            close = near & (high >= first) & (low <= last)
            points, wide = close & narrow, close & ~narrow
            density[part] = _noisy_points(self.middles[points], self.mass[points], at[part], self.spread)
            if bool(wide.any()):
                density[part] += _noisy_intervals(low[wide], high[wide], self.mass[wide], at[part], self.spread)
        return density


def _edges(landings: _Landings, size: int) -> Float[Tensor, " edges"]:
    """Even cells over the landings that carry mass, and twelve spreads around; a few cells to a spread at least."""
    spread, carrying = landings.spread, landings.mass > 1e-30
    ends = torch.cat([landings.ends[:-1][carrying], landings.ends[1:][carrying]])
    low, high = float(ends.min()) - _SPREADS * spread, float(ends.max()) + _SPREADS * spread
    needed = math.ceil((high - low) / spread * _CELLS_PER_SPREAD * size / _CELLS)
    if needed > _MOST_CELLS:
        raise ValueError("The fresh noise is too fine for the grid: choose a larger δ or a larger renoise.")
    return torch.linspace(low, high, max(size, needed) + 1, dtype=torch.float64)


def _noisy_points(points: Tensor, mass: Tensor, at: Tensor, spread: float) -> Float[Tensor, " m"]:
    """Σ m N(at; point, spread²)."""
    z = (at[:, None] - points) / (spread * math.sqrt(2))
    return torch.exp_(z.square_().neg_()) @ mass / (spread * math.sqrt(2 * math.pi))


def _noisy_intervals(low: Tensor, high: Tensor, mass: Tensor, at: Tensor, spread: float) -> Float[Tensor, " m"]:
    """The density of masses even over intervals, plus noise."""
    z = torch.stack([(at[:, None] - low) / spread, (at[:, None] - high) / spread])
    # Differences of the smaller tail keep their digits; across the middle either would do.
    left = z[0] + z[1] < 0
    tails = torch.erfc(torch.where(left, -z, z) / math.sqrt(2)) / 2
    return (tails[1] - tails[0]).abs() / (high - low) @ mass
