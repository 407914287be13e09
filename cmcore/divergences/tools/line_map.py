r"""A composed map of the line on cells: images, slopes, folds, and every preimage of a point.

A cell has two ends and the 15 nodes of a Gauss–Kronrod pair (G7, K15) between them. The integral of F' over it has to
be F(high) − F(low); where it is not, F jumps between two nodes, and the cell is halved. Cells are cut where F turns, so
that F is monotone in each, and a point has at most one preimage in every run of cells between two folds.

Nodes and weights: Piessens, de Doncker-Kapenga, Überhuber and Kahaner, QUADPACK, 1983.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cmcore.chain import JumpMap, Stage, land, like_map, with_jacobian

_NODES = (
    *(0.991455371120812639206854697526329, 0.949107912342758524526189684047851),
    *(0.864864423359769072789712788640926, 0.741531185599394439863864773280788),
    *(0.586087235467691130294144691258550, 0.405845151377397166906606412076961),
    *(0.207784955007898467600689403773245, 0.0),
)
_KRONROD = (
    *(0.022935322010529224963732008058970, 0.063092092629978553290700663189204),
    *(0.104790010322250183839876322541518, 0.140653259715525918745189590510238),
    *(0.169004726639267902826583426598550, 0.190350578064785409913256402421014),
    *(0.204432940075298892414161999234649, 0.209482141084727828012999174891714),
)
_GAUSS = (
    *(0.0, 0.129484966168869693270611432679082, 0.0, 0.279705391489276667901467771423780),
    *(0.0, 0.381830050505118944950369775488975, 0.0, 0.417959183673469387755102040816327),
)


def _both_sides(half: Sequence[float], sign: float = 1.0) -> Float[Tensor, " 15"]:
    """What is given for the nodes from the left end to the middle, mirrored."""
    return torch.tensor([*half[:-1], half[-1], *(sign * v for v in reversed(half[:-1]))], dtype=torch.float64)


def _legendre(x: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
    """The first n Legendre polynomials at n points, each with ∫ P² = 1 over [−1, 1]."""
    degrees = np.arange(len(x))
    return torch.from_numpy(np.polynomial.legendre.legvander(x.numpy(), len(x) - 1) * np.sqrt(degrees + 0.5))


_AT = torch.cat([torch.tensor([-1.0]), _both_sides([-v for v in _NODES], -1.0), torch.tensor([1.0])]).double()
KRONROD = _both_sides(_KRONROD)
GAUSS = _both_sides(_GAUSS)
"""The weights of G7 at the 15 nodes, 0 at those of K15 alone."""
_DEGREE = 9
_REMAINDER = torch.linalg.inv(_legendre(_AT[1:-1]))[_DEGREE + 1 :].T
"""From values at the nodes to the Legendre coefficients of their polynomial beyond degree 9."""
INNER = slice(1, 16)
"""The nodes of a cell among its 17 points; the first and the last are its ends."""

_CHUNK = 2048
_STEP = 1e-6
_SINGLE = 1e-9
"""A map that misses its own slope by more over a step of 1e-6 computes in less than float64."""
_NARROWEST = 256
"""The narrowest cell, in units of the map's rounding: nodes of one that is narrower would coincide."""
_JUMP = 0.01
"""The share of a cell's increment that its nodes may miss."""
_PARTS = 16
_SEARCHES = 12
_NEWTON_STEPS = 40
_CONVERGED = 1e-15


Rows = TypeVar("Rows", bound=tuple[Any, ...])
"""A named tuple of tensors with a row for each cell."""


class Cells(NamedTuple):
    """Cells, and what the map does at the 17 points of each.

    Attributes:
        low, high: the ends, [n].
        image: F, [n, 17].
        log_slope: log |F'|, [n, 17]; −∞ where F stands still.
        sign: of F', [n, 17].
    """

    low: Float[Tensor, " n"]
    high: Float[Tensor, " n"]
    image: Float[Tensor, "n 17"]
    log_slope: Float[Tensor, "n 17"]
    sign: Float[Tensor, "n 17"]


# ---- cells of any kind: tuples of tensors with a row for each -------------------------------------------------------
def points(low: Float[Tensor, " n"], high: Float[Tensor, " n"]) -> Float[Tensor, "n 17"]:
    """The two ends and the 15 nodes of each cell, in order."""
    inside = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * _AT
    return torch.cat([low[:, None], inside[:, INNER], high[:, None]], dim=1)


def integrals(low: Tensor, high: Tensor, values: Float[Tensor, "n 15"]) -> tuple[Tensor, Tensor]:
    """The integral over each cell, [n], by K15 and by G7 from values at the nodes."""
    half = (high - low) / 2
    return values @ KRONROD * half, values @ GAUSS * half


def unresolved(low: Tensor, high: Tensor, values: Float[Tensor, "n 15"]) -> Float[Tensor, " n"]:
    """How far the integral of each cell may be off: by what no polynomial of degree 9 can follow, or G7 can.

    Two rules may agree by chance where neither is near; the coefficients beyond degree 9 do not vanish together.
    Gonnet, ACM Trans. Math. Software 37 (2010), takes such a norm for the same reason.
    """
    whole, less = integrals(low, high, values)
    norm = (values @ _REMAINDER).square().sum(1).sqrt() * (high - low) / math.sqrt(2)
    return torch.maximum((whole - less).abs(), norm)


def chosen(rows: Rows, index: Tensor) -> Rows:
    """The rows of an index or a mask."""
    return type(rows)(*(field[index] for field in rows))


def joined(first: Rows, second: Rows) -> Rows:
    """The rows of both."""
    return type(first)(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


# ---- the map --------------------------------------------------------------------------------------------------------
class LineMap:
    """F, the composition of stages without their noise; the identity for no stages.

    Attributes:
        evaluations: how many points have been mapped.
    """

    def __init__(self, f: JumpMap, stages: Sequence[Stage]) -> None:
        self._f, self._stages = f, stages
        self._dtype, self._device = like_map(f)
        self.evaluations = 0

    def __call__(self, z: Float[Tensor, " m"]) -> tuple[Tensor, Tensor, Tensor]:
        """F(z), log |F'(z)| and the sign of F'(z), [m] each."""
        self.evaluations += len(z)
        pieces = [self._piece(piece) for piece in z.split(_CHUNK)] if self._stages else [(z, z * 0, z * 0 + 1)]
        image, log_slope, sign = (torch.cat(part) for part in zip(*pieces, strict=True))
        return image, log_slope, sign

    def _piece(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = z.to(self._device, self._dtype)[:, None]
        log_slope, sign = torch.zeros_like(z), torch.ones_like(z)
        for stage in self._stages:
            x, jacobian = with_jacobian(self._f, x, stage.t, stage.s)
            x, slope = stage.scale * x, stage.scale * jacobian[:, 0, 0].double().cpu()
            log_slope, sign = log_slope + slope.abs().log(), sign * slope.sign()
        return x[:, 0].double().cpu(), log_slope, sign

    def images(self, z: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        """F(z) alone."""
        self.evaluations += len(z)
        x = z.to(self._device, self._dtype)[:, None]
        for stage in self._stages:
            x = stage.scale * land(self._f, x, stage)
        return x[:, 0].double().cpu()

    def cells(self, low: Float[Tensor, " n"], high: Float[Tensor, " n"]) -> Cells:
        """The cells with these ends."""
        images = self(points(low, high).flatten())
        return Cells(low, high, *(values.reshape(-1, len(_AT)) for values in images))

    @cached_property
    def rounding(self) -> float:
        """The relative rounding of F: that of float64, or what F misses its own slope by over a small step."""
        z = torch.linspace(-3, 3, 63, dtype=torch.float64) + _STEP
        (x, log_slope, sign), (ahead, log_ahead, sign_ahead) = self(z), self(z + _STEP)
        slope = (sign * log_slope.exp() + sign_ahead * log_ahead.exp()) / 2
        missed = float(
            (ahead - x - _STEP * slope).abs().nan_to_num(0.0).median() / (1 + x.abs().nan_to_num(0.0).median())
        )
        return missed if missed > _SINGLE else torch.finfo(torch.float64).eps


# ---- cutting --------------------------------------------------------------------------------------------------------
def narrowest(F: LineMap, z: Tensor) -> Tensor:
    """The width below which a cell at z is not halved."""
    return _NARROWEST * F.rounding * z.abs().clamp_min(1.0)


def divisible(F: LineMap, cells: Cells) -> Bool[Tensor, " n"]:
    """Which cells are wide enough to be halved."""
    return cells.high - cells.low > 2 * narrowest(F, cells.low)


def halved(F: LineMap, cells: Cells) -> Cells:
    """Both halves of each cell: the left ones, then the right ones."""
    middle = (cells.low + cells.high) / 2
    return F.cells(torch.cat([cells.low, middle]), torch.cat([middle, cells.high]))


def cut(F: LineMap, cells: Cells, at: Float[Tensor, " m"]) -> Cells:
    """The cells, in order, with those that hold one of the points replaced by their parts."""
    at = at.sort().values
    index = (torch.searchsorted(cells.low, at, right=True) - 1).clamp_min(0)
    margin = narrowest(F, at)
    inside = (at > cells.low[index] + margin) & (at < cells.high[index] - margin)
    at, index = at[inside], index[inside]
    if not len(at):
        return cells
    at = at[torch.cat([torch.ones(1, dtype=torch.bool), at.diff() > margin[inside][1:]])]
    whole = torch.ones(len(cells.low), dtype=torch.bool)
    whole[index] = False
    # Sorted, the ends pair up: cells that are cut lie apart from each other.
    ends = [torch.cat([old[~whole], at]).sort().values for old in (cells.low, cells.high)]
    parts = joined(chosen(cells, whole), F.cells(*ends))
    return chosen(parts, parts.low.argsort())


def jumping(F: LineMap, cells: Cells) -> Bool[Tensor, " n"]:
    """In which cells the increment of F is not the integral of its slope over the nodes."""
    slope = cells.sign * cells.log_slope.exp()
    risen, _ = integrals(cells.low, cells.high, slope[:, INNER])
    increment = cells.image[:, -1] - cells.image[:, 0]
    rounding = 16 * F.rounding * (1 + cells.image.abs().amax(1))
    return ~((risen - increment).abs() <= _JUMP * increment.abs() + rounding)


def turns(F: LineMap, cells: Cells, folds: Float[Tensor, " k"]) -> Float[Tensor, " m"]:
    """Where F turns between two neighbouring nodes, folds that are there already left out."""
    z, sign = points(cells.low, cells.high)[:, INNER].flatten(), cells.sign[:, INNER].flatten()
    block = torch.cat([torch.zeros(1), (cells.low[1:] != cells.high[:-1]).cumsum(0)]).repeat_interleave(len(KRONROD))
    moving = sign.abs() > 0
    z, sign, block = z[moving], sign[moving], block[moving]
    turned = (sign[1:] != sign[:-1]) & (block[1:] == block[:-1])
    low, high = z[:-1][turned], z[1:][turned]
    marked = torch.searchsorted(folds, high) > torch.searchsorted(folds, low)
    return _searched(F, low[~marked], high[~marked])


def _searched(F: LineMap, low: Tensor, high: Tensor) -> Tensor:
    """A sign change of F' in each bracket, narrowed sixteenfold in every round."""
    share = torch.linspace(0, 1, _PARTS + 1, dtype=torch.float64)
    before = F(low)[2] if len(low) else low
    for _ in range(_SEARCHES):
        wide = high - low > narrowest(F, low) / _PARTS
        if not bool(wide.any()):
            break
        z = low[wide, None] + (high - low)[wide, None] * share
        sign = F(z[:, 1:-1].flatten())[2].reshape(len(z), -1)
        last = (sign == before[wide, None]).long().cumprod(1).sum(1, keepdim=True)
        low, high = low.clone(), high.clone()
        low[wide], high[wide] = z.gather(1, last)[:, 0], z.gather(1, last + 1)[:, 0]
    return (low + high) / 2


def resolved(
    F: LineMap, cells: Cells, folds: Float[Tensor, " k"], matter: Callable[[Cells], Tensor], *, most: int
) -> tuple[Cells, Float[Tensor, " l"]]:
    """The cells cut where F turns and halved where it jumps, as long as they matter; and all folds, in order.

    Args:
        most: evaluations of F after which to stop.
    """
    while F.evaluations < most:
        fresh = turns(F, cells, folds)
        if len(fresh):  # a fold beside an end is that end
            ends = torch.cat([cells.low, cells.high])
            nearest = ends[(ends - fresh[:, None]).abs().argmin(1)]
            fresh = torch.where((nearest - fresh).abs() <= narrowest(F, fresh), nearest, fresh)
            folds = torch.cat([folds, fresh]).unique()
        split = jumping(F, cells) & divisible(F, cells) & matter(cells)
        at = torch.cat([fresh, (cells.low + cells.high)[split] / 2])
        if not len(at):
            break
        cells = cut(F, cells, at)
    return cells, folds


# ---- preimages ------------------------------------------------------------------------------------------------------
class Pieces:
    """The runs of cells between folds, in each of which F is monotone."""

    def __init__(
        self, F: LineMap, cells: Cells, folds: Float[Tensor, " k"], log_density: Callable[[Tensor], Tensor]
    ) -> None:
        self._F = F
        starts = torch.isin(cells.low, folds)
        starts[1:] |= cells.low[1:] != cells.high[:-1]
        starts[0] = True
        first = starts.nonzero()[:, 0]
        self._low = cells.low[first]
        parts = torch.arange(len(starts)).tensor_split(first[1:])
        self._runs = [_Run.of(chosen(cells, part), log_density) for part in parts]

    def __len__(self) -> int:
        return len(self._runs)

    def of(self, cells: Cells) -> Int[Tensor, " n"]:
        """The piece in which each cell lies."""
        return torch.searchsorted(self._low, cells.low, right=True) - 1

    def rising(self, cells: Cells) -> Float[Tensor, " n"]:
        """1 or −1: the direction of F in the piece of each cell."""
        return torch.tensor([run.rising for run in self._runs], dtype=torch.float64)[self.of(cells)]

    def preimages(
        self, x: Float[Tensor, " m"], own: Int[Tensor, " m"], least: Float[Tensor, " m"]
    ) -> Iterator[tuple[Int[Tensor, " k"], Float[Tensor, " k"], Float[Tensor, " k"]]]:
        """For every piece: which of the points have a preimage in it that counts, the preimages, and log |F'| there.

        Args:
            own: the pieces whose preimages are there already.
            least: the log density of noise below which a preimage does not count.
        """
        waiting: list[tuple[Tensor, _Brackets]] = []
        for number, run in enumerate(self._runs):
            inside = (x > run.image[0]) & (x < run.image[-1])
            index = (inside & (own != number) & (least < run.likeliest)).nonzero()[:, 0]
            if len(index):
                waiting.append((index, run.brackets(x[index])))
            if sum(len(index) for index, _ in waiting) >= _CHUNK:
                yield from self._solved(waiting)
                waiting = []
        yield from self._solved(waiting)

    def _solved(self, waiting: Sequence[tuple[Tensor, "_Brackets"]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Together, since a call of the map costs more than its points."""
        if waiting:
            indices, brackets = zip(*waiting, strict=True)
            z = _Brackets(*(torch.cat(part) for part in zip(*brackets, strict=True))).solved(self._F)
            lengths = [len(index) for index in indices]
            yield from zip(indices, z.split(lengths), self._F(z)[1].split(lengths), strict=True)


class _Brackets(NamedTuple):
    """Points x, two noises each between whose images it lies, and a first guess of its preimage."""

    x: Float[Tensor, " m"]
    low: Float[Tensor, " m"]
    high: Float[Tensor, " m"]
    guess: Float[Tensor, " m"]

    def solved(self, F: LineMap) -> Float[Tensor, " m"]:
        """The z with F(z) = x: Newton steps kept inside the bracket."""
        x, low, high, z = self.x, self.low.clone(), self.high.clone(), self.guess.clone()
        active = torch.arange(len(x))
        for _ in range(_NEWTON_STEPS):
            here = z[active]
            image, log_slope, sign = F(here)
            gap = image - x[active]
            low[active] = torch.where(gap < 0, here, low[active])
            high[active] = torch.where(gap >= 0, here, high[active])
            newton = here - gap * sign * (-log_slope).exp()
            left, right = torch.minimum(low, high)[active], torch.maximum(low, high)[active]
            inside = (newton >= left) & (newton <= right)
            z[active] = torch.where(inside, newton, (left + right) / 2)
            moving = (z[active] - here).abs() > _CONVERGED * (1 + here.abs())
            active = active[moving & (gap.abs() > _CONVERGED * (1 + image.abs()))]
            if not len(active):
                break
        return z


class _Run(NamedTuple):
    """One monotone piece: its points by increasing image."""

    z: Float[Tensor, " k"]
    image: Float[Tensor, " k"]
    rising: float
    likeliest: float

    @classmethod
    def of(cls, cells: Cells, log_density: Callable[[Tensor], Tensor]) -> "_Run":
        z, image = points(cells.low, cells.high).flatten(), cells.image.flatten()
        rising = 1.0 if float(cells.sign[:, INNER].sum()) >= 0 else -1.0
        if rising < 0:
            z, image = z.flip(0), image.flip(0)
        return cls(z, image.cummax(0).values, rising, float(log_density(z).max()))

    def brackets(self, x: Float[Tensor, " m"]) -> _Brackets:
        """The two neighbouring points around each x, and where a line between them meets it."""
        above = torch.searchsorted(self.image, x).clamp(1, len(self.z) - 1)
        low, high = self.z[above - 1], self.z[above]  # by image: low may lie right of high
        span = self.image[above] - self.image[above - 1]
        share = ((x - self.image[above - 1]) / span).nan_to_num(0.5).clamp(0, 1)
        return _Brackets(x, low, high, low + share * (high - low))
