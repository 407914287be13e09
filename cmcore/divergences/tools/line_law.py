r"""Laws on the line whose density is known everywhere, in logarithms: N(0, 1), and a law pushed forward and blurred.

With q the law before a stage, F its map and s its noise,

.. math:: q'(u) = \int q(z)\, N(u; F(z), s^2)\, dz,

by Gauss–Kronrod on cells of z that are halved until neighbouring nodes land less than s apart and both rules agree on
the density at the image of the cell. The law by the smaller rule is carried beside it, and shows what the cells miss.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cmcore.divergences.tools.line_map import GAUSS, INNER, KRONROD, LineMap, chosen, joined, points
from cmcore.divergences.tools.push_forward import log_standard_normal

_ROWS = 256
_MOST_CELLS = 1 << 13
_MOST_EVALUATIONS = 1 << 18
_APART = 1.0
"""How far apart neighbouring nodes may land, in spreads of the noise that follows."""
_AGREED = 1e-9
"""By how much of a cell's density its two rules may differ."""
_SPARE = 30.0
"""A source may have so many nats less mass than the cell it stands for."""
_NARROWEST = 1e-13


class NotFinite(ValueError):
    """A map, or its slope, is infinite or NaN."""

    def __init__(self) -> None:
        super().__init__(
            "The map has no finite value or slope at some of the noise: it has diverged, or is undefined there."
        )


class TooFine(ValueError):
    """A law is wider than as many cells of its narrowest feature as there may be."""

    def __init__(self) -> None:
        super().__init__("The fresh noise is too fine for the grid: choose a larger δ or a larger renoise.")


@dataclass(frozen=True)
class StandardNormal:
    """N(0, 1), on cells of the given width."""

    width: float
    rough = None

    def log_density(self, z: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
        """log q(z), in nats."""
        return log_standard_normal(z.reshape(-1, 1)).reshape(z.shape)

    @property
    def log_missed(self) -> float:
        """The log of the density that may be missing anywhere: none."""
        return -math.inf

    def cells(self, depth: float) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The ends of even cells that hold all but e^{−depth} of the law."""
        return _even(-math.sqrt(2 * depth), math.sqrt(2 * depth), self.width)


@dataclass(frozen=True)
class Blurred:
    """Masses at places, in order, plus N(0, spread²).

    Attributes:
        depth: masses below e^{−depth}, and the kernel where it is e^{−depth} of its peak, are left out.
        rough: the same law less well integrated.
    """

    places: Float[Tensor, " k"]
    log_mass: Float[Tensor, " k"]
    spread: float
    depth: float
    rough: "Blurred | None" = None

    def log_density(self, z: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
        """log q(z), in nats."""
        at, order = z.flatten().sort()
        values = torch.empty_like(at)
        for part in torch.arange(len(at)).split(_ROWS):
            here = at[part]
            ends = torch.stack([here[0] - self._reach, here[-1] + self._reach])
            first, last = torch.searchsorted(self.places, ends).tolist()
            near = slice(first, last) if last > first else slice(None)
            distance = (here[:, None] - self.places[near]) / self.spread
            values[order[part]] = torch.logsumexp(self.log_mass[near] - distance.square() / 2, 1)
        return values.reshape(z.shape) - self._log_peak

    @property
    def log_missed(self) -> float:
        """The log of the density that may be missing anywhere."""
        return math.log(2) - self.depth - self._log_peak

    def cells(self, depth: float) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The ends of even cells, a spread wide, that hold all but e^{−depth} of the law."""
        there = self.places[self.log_mass > -depth]
        low, high = _even(float(there[0]) - self._reach, float(there[-1]) + self._reach, self.spread)
        # Between modes far apart there is nothing.
        filled = torch.searchsorted(there, high + self._reach) > torch.searchsorted(there, low - self._reach)
        return low[filled], high[filled]

    @property
    def _reach(self) -> float:
        return math.sqrt(2 * self.depth) * self.spread

    @property
    def _log_peak(self) -> float:
        return math.log(self.spread * math.sqrt(math.tau))


LineLaw = StandardNormal | Blurred
"""A law on the line whose density is known in logarithms everywhere."""


def _even(low: float, high: float, width: float) -> tuple[Tensor, Tensor]:
    count = max(1, math.ceil((high - low) / width))
    if count > _MOST_CELLS:
        raise TooFine
    edges = torch.linspace(low, high, count + 1, dtype=torch.float64)
    return edges[:-1], edges[1:]


# ---- pushed forward and blurred -------------------------------------------------------------------------------------
class _Masses(NamedTuple):
    """Cells of z: their ends, the images of their 17 points, and both log densities at their nodes."""

    low: Float[Tensor, " n"]
    high: Float[Tensor, " n"]
    image: Float[Tensor, "n 17"]
    log_q: Float[Tensor, "n 15"]
    log_rough: Float[Tensor, "n 15"]


def blurred(law: LineLaw, F: LineMap, spread: float, *, depth: float) -> Blurred:
    """The law of F(z) + N(0, spread²) with z ~ law.

    Args:
        depth: what has less mass than e^{−depth} is left out.

    Raises:
        TooFine: the noise is too fine for as many cells as there may be.
        NotFinite: F is not finite.
    """
    cells, fresh = None, _masses(law, F, *law.cells(depth))
    while True:
        if not bool(torch.isfinite(fresh.image).all()):
            raise NotFinite
        split = _crude(fresh, spread, depth) & (F.evaluations < _MOST_EVALUATIONS)
        settled = chosen(fresh, ~split)
        cells = settled if cells is None else joined(cells, settled)
        if not bool(split.any()):
            break
        low, high = fresh.low[split], fresh.high[split]
        middle = (low + high) / 2
        fresh = _masses(law, F, torch.cat([low, middle]), torch.cat([middle, high]))
    fine = _sources(cells, cells.log_q, KRONROD, spread, depth)
    return replace(fine, rough=_sources(cells, cells.log_rough, GAUSS, spread, depth))


def _masses(law: LineLaw, F: LineMap, low: Tensor, high: Tensor) -> _Masses:
    z = points(low, high)
    log_q = law.log_density(z[:, INNER])
    log_rough = log_q if law.rough is None else law.rough.log_density(z[:, INNER])
    return _Masses(low, high, F.images(z.flatten()).reshape(z.shape), log_q, log_rough)


def _crude(cells: _Masses, spread: float, depth: float) -> Bool[Tensor, " n"]:
    """Which cells do not give the density to its digits, and have the mass to matter and the width to be halved."""
    width, top = cells.high - cells.low, cells.log_q.amax(1)
    matter = (top + width.log() > -depth) & (width > _NARROWEST * cells.low.abs().clamp_min(1.0))
    apart = cells.image.diff(dim=1).abs().amax(1) > _APART * spread
    q = (cells.log_q - top[:, None]).exp()
    at = torch.stack([cells.image[:, i] for i in (0, 8, 16)], dim=1)
    kernel = (((cells.image[:, None, INNER] - at[:, :, None]) / spread).square() / -2).exp()
    seen = torch.cat([q[:, None], q[:, None] * kernel], dim=1)  # alone, and blurred, at both ends and the middle
    whole, less = seen @ KRONROD, seen @ GAUSS
    return matter & (apart | ((whole - less).abs() > _AGREED * whole).any(1))


def _sources(cells: _Masses, log_q: Tensor, weights: Tensor, spread: float, depth: float) -> Blurred:
    half = (cells.high - cells.low)[:, None] / 2
    log_mass = (log_q + (half * weights).log()).flatten()
    places, order = cells.image[:, INNER].flatten().sort()
    log_mass = log_mass[order]
    there = log_mass > -depth - _SPARE
    return Blurred(places[there], log_mass[there], spread, depth)
