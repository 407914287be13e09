r"""Which modes a model fills, by how much, and what it leaves between them.

The modes of p_δ are the connected pieces of its highest-density region {p_δ ≥ c} of mass 1 − e^{-8}, the region
outside of which :func:`cmcore.divergences.off_mode_mass` counts. Their exact masses are integrals of p_δ; the
model's are shares of its samples, with Wilson's intervals; what is outside every piece is leakage. Squares of a box
mixture that touch are told apart by the nearest box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor

from cmcore.divergences.tools.off_mode import density_level
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.targets.box_mixture import BoxMixture
from cmcore.theory.interval import Interval, share
from cmcore.threads import piecewise

_SIDES = {1: 16_384, 2: 512}
"""Cells along each side of the lattice, by dimension: a blob of sd 0.1 has some 8 of them in the plane."""
_LEAST = 1e-5
"""A piece with less mass is a crumb of the lattice, and belongs to its neighbour."""


@dataclass(frozen=True)
class Modes:
    """The modes of p_δ.

    Attributes:
        target, delta: whose.
        level: c, in nats: the modes lie where log p_δ ≥ c.
        centres: the mean of p_δ over each mode, [k, d]; ordered along the line, or by angle around the mean.
        masses: the exact mass of each mode, [k]; with `outside` they sum to 1.
        labels: of the lattice's cells, the mode nearest to each, int, [side] or [side, side].
        low, width: the lattice's corner and the width of its cells, in each coordinate.
    """

    target: Target
    delta: float
    level: float
    centres: Float[Tensor, "k d"]
    masses: tuple[float, ...]
    labels: np.ndarray
    low: tuple[float, ...]
    width: tuple[float, ...]

    @property
    def outside(self) -> float:
        """The exact mass outside every mode, e^{-8} up to the sampling of the level."""
        return 1 - sum(self.masses)

    def of(self, points: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """The mode that each point lies on, −1 for none."""
        points = points.double().cpu()
        inside = self.target.log_prob(points, self.delta) >= self.level
        cells = ((points - torch.tensor(self.low)) / torch.tensor(self.width)).nan_to_num().long()
        at = tuple(cells[:, i].clamp(0, side - 1).numpy() for i, side in enumerate(self.labels.shape))
        return torch.where(inside, torch.from_numpy(self.labels[at]).long(), -1)


@dataclass(frozen=True)
class ModeMass:
    """The share of n samples on each mode, and on none.

    Attributes:
        masses: the share on each mode, with a 95 % interval.
        leakage: the share on none.
        n: samples.
    """

    masses: tuple[Interval, ...]
    leakage: Interval
    n: int


@piecewise()
def mode_mass(modes: Modes, points: Float[Tensor, "n d"]) -> ModeMass:
    """The share of independent samples on each mode, and on none."""
    counts = torch.bincount(modes.of(points) + 1, minlength=len(modes.masses) + 1).tolist()
    leakage, *masses = (share(count, len(points)) for count in counts)
    return ModeMass(tuple(masses), leakage, len(points))


@lru_cache(maxsize=32)
@piecewise()
def modes_of(target: Target, delta: float) -> Modes:
    """The modes of p_δ, on the line or in the plane.

    Raises:
        ValueError: in more dimensions, where no lattice tells pieces apart, or without a known density.
    """
    if target.dim not in _SIDES or not target.has_score:
        raise ValueError("Modes are told apart where the density is known on a lattice: in one and two dimensions.")
    level, _ = density_level(target, delta)
    points, low, width, shape = _lattice(target, delta)
    log_p = target.log_prob(points, delta)
    density = torch.where(log_p >= level, log_p.exp(), 0.0).numpy().reshape(shape) * float(np.prod(width))
    pieces = _pieces(target, density > 0, points, shape)
    weights = ndimage.sum_labels(density, pieces, range(1, pieces.max() + 1))
    large = 1 + np.flatnonzero(weights >= _LEAST)
    centres = np.stack(
        [ndimage.sum_labels(density * column, pieces, large) for column in points.numpy().T.reshape(-1, *shape)],
        axis=-1,
    )
    centres /= weights[large - 1, None]
    order = _order(centres - target.mean.numpy())
    renamed = np.full(pieces.max() + 1, -1)
    renamed[large[order]] = np.arange(len(large))
    labels = renamed[pieces]
    unnamed = labels < 0
    nearest: Any = ndimage.distance_transform_edt(unnamed, return_distances=False, return_indices=True)
    labels = labels[tuple(nearest)]
    masses = ndimage.sum_labels(density, labels, range(len(large)))
    return Modes(target, delta, level, torch.from_numpy(centres[order]), tuple(masses.tolist()), labels, low, width)


def _lattice(target: Target, delta: float) -> tuple[Tensor, tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Centres of the cells, first coordinate outermost, with the corner, the widths and the shape."""
    some = target.sample(50_000, t=delta, generator=stream(0, "extent of the modes"))
    ends = torch.stack([some.amin(0), some.amax(0)])
    low, high = ends + 0.1 * (ends[1] - ends[0]) * torch.tensor([[-1.0], [1.0]])
    side = _SIDES[target.dim]
    width = (high - low) / side
    axes = [a + (torch.arange(side, dtype=torch.float64) + 0.5) * w for a, w in zip(low, width, strict=True)]
    points = torch.cartesian_prod(*axes).reshape(-1, target.dim)
    return points, tuple(low.tolist()), tuple(width.tolist()), (side,) * target.dim


def _pieces(target: Target, inside: np.ndarray, points: Tensor, shape: Sequence[int]) -> np.ndarray:
    """Connected pieces, corners counting as contact, numbered from 1; 0 outside."""
    law: Any = target.law
    if isinstance(law, BoxMixture):
        centres = (law.lower + law.upper) / 2
        nearest = torch.cdist(points, centres.double()).argmin(1).numpy().reshape(shape)
        return np.where(inside, nearest + 1, 0)
    pieces = np.zeros(inside.shape, dtype=np.int32)
    ndimage.label(inside, structure=np.ones((3,) * inside.ndim), output=pieces)
    return pieces


def _order(offset: np.ndarray) -> np.ndarray:
    """Along the line, or counter-clockwise around the mean, starting to the right."""
    if offset.shape[1] == 1:
        return np.argsort(offset[:, 0])
    return np.argsort(np.mod(np.round(np.arctan2(offset[:, 1], offset[:, 0]), 6), 2 * np.pi))
