r"""All preimages of given points under a composed map: the full density where the map folds.

.. math:: q(x) = \sum_{z:\, f(z) = x} N(z; 0, I) / |\det Df(z)|

Candidates come from noise whose images are known: in the plane from a mesh, whose image triangles say which z lie
near a preimage (:mod:`cmcore.divergences.tools.plane_mesh`); elsewhere from the nearest images of random noise
(:class:`NoiseCloud`). Each is polished by Newton's method on the exact map in float64, and a root found twice is
counted once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.push_forward import Branch
from cmcore.nearest import Nearest

_RESIDUAL = 1e-7
_SAME_ROOT = 1e-4
_AHEAD = 1e-4
_ACROSS = 0.3
"""A root whose mirror image across a fold is expected this close is asked for it."""
_PAIRS = 1 << 18
_ENTRIES = 1 << 22
"""Numbers of the d × d matrices that are held at once, 32 MB: in the plane a million of them."""
_STEP = 3.0
"""A Newton step below this many resolutions is noise."""


@dataclass(frozen=True)
class Candidates:
    """Where preimages of n points may be.

    Attributes:
        index, noise: point `index[i]` may have a preimage near `noise[i]`.
        leading: log of the largest density expected from any candidate of a point, [n]; −∞ without any.
        minor: log of the density from all minor candidates of a point, which are not listed, [n].
        several: whether a point may have more than one preimage that matters, [n].
    """

    index: Int[Tensor, " pairs"]
    noise: Float[Tensor, "pairs d"]
    leading: Float[Tensor, " n"]
    minor: Float[Tensor, " n"]
    several: Bool[Tensor, " n"]

    def of(self, points: Int[Tensor, " m"], also: Float[Tensor, "m d"]) -> "Candidates":
        """The candidates of a subset of the points, and one more for each of them."""
        place = torch.full_like(self.leading, -1, dtype=torch.long)
        place[points] = torch.arange(len(points))
        pairs = place[self.index] >= 0
        return Candidates(
            torch.cat([torch.arange(len(points)), place[self.index[pairs]]]),
            torch.cat([also, self.noise[pairs]]),
            self.leading[points],
            self.minor[points],
            self.several[points],
        )


def joined(pieces: Sequence[Candidates]) -> Candidates:
    """The candidates of points that were looked for in pieces."""
    counts = [len(piece.leading) for piece in pieces]
    index = [piece.index + before for piece, before in zip(pieces, accumulate(counts, initial=0), strict=False)]
    names = ("noise", "leading", "minor", "several")
    return Candidates(torch.cat(index), *(torch.cat([getattr(piece, name) for piece in pieces]) for name in names))


@dataclass(frozen=True)
class Density:
    """The density at given points, from every preimage found.

    Attributes:
        log_density: log q, [n], nats; −∞ where no preimage was found.
        count: how many preimages, [n].
    """

    log_density: Float[Tensor, " n"]
    count: Int[Tensor, " n"]


# ---- from candidates to densities -----------------------------------------------------------------------------------
class Roots(NamedTuple):
    """Distinct preimages of points: which point, the noise, and what it adds to log q."""

    point: Int[Tensor, " roots"]
    noise: Float[Tensor, "roots d"]
    log_density: Float[Tensor, " roots"]


def full_density(
    composed: ComposedMap, points: Float[Tensor, "n d"], candidates: Candidates, *, newton_steps: int = 8
) -> Density:
    """log q at the points, summed over the distinct preimages that the candidates lead to."""
    return density_of(all_roots(composed, points, candidates, newton_steps=newton_steps), candidates.minor)


def density_of(roots: Roots, minor: Float[Tensor, " n"]) -> Density:
    """log q from the roots of n points and the density of their minor candidates."""
    count = torch.bincount(roots.point, minlength=len(minor))
    return Density(torch.logaddexp(log_total(roots.log_density, roots.point, len(minor)), minor), count)


def all_roots(
    composed: ComposedMap, points: Float[Tensor, "n d"], candidates: Candidates, *, newton_steps: int = 8
) -> Roots:
    """The distinct preimages that the candidates lead to, and those beside them across a fold."""
    roots = _roots(composed, points, candidates.index, candidates.noise, newton_steps)
    beside, partners = _fold_partners(composed, roots.noise)
    more = _roots(composed, points, roots.point[beside], partners, newton_steps)
    return merged(roots, more)


def merged(*several: Roots) -> Roots:
    """Roots of the same points taken together, each counted once."""
    index, noise, log_density = (torch.cat(parts) for parts in zip(*several, strict=True))
    first = _distinct(index, noise)
    return Roots(index[first], noise[first], log_density[first])


def _roots(composed: ComposedMap, points: Tensor, index: Tensor, start: Tensor, newton_steps: int) -> Roots:
    """The distinct roots that starts lead to."""
    roots = []
    for part in torch.arange(len(index)).split(_rows_of_matrices(start.shape[1])):
        noise, branch, solved = solve(composed, points[index[part]], start[part], steps=newton_steps)
        roots.append(Roots(index[part][solved], noise[solved], branch.log_density[solved]))
    return merged(*roots)


def _rows_of_matrices(dim: int) -> int:
    """How many points have their d × d matrices at once."""
    return max(256, _ENTRIES // dim**2)


def _fold_partners(composed: ComposedMap, noise: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
    """Which roots lie beside a fold, and where their mirror images across it should be.

    Along the direction v that the map almost annuls, f(z + av) ≈ f(z) + a s u + a² c u / 2 with s the smallest
    singular value and c the curvature along u; so the second root sits at a = −2 s/c. No mesh sees it closer than a
    cell to the fold, where the density is largest.
    """
    parts = [_across_fold(composed, part) for part in noise.split(_rows_of_matrices(noise.shape[1]))]
    beside, partners = (torch.cat(columns) for columns in zip(*parts, strict=True))
    index = beside.nonzero()[:, 0]
    return index, partners[index]


def _across_fold(composed: ComposedMap, noise: Float[Tensor, "n d"]) -> tuple[Bool[Tensor, " n"], Float[Tensor, "n d"]]:
    """Whether each root lies beside a fold, and where its mirror image would be."""
    _, jacobian = composed.with_jacobian(noise)
    left, values, right = torch.linalg.svd(jacobian)
    u, v = left[:, :, -1], right[:, -1]
    _, ahead = composed.with_jacobian(noise + _AHEAD * v)
    curvature = torch.einsum("ni,nij,nj->n", u, ahead - jacobian, v) / _AHEAD
    across = (-2 * values[:, -1] / curvature).nan_to_num(nan=math.inf)
    return across.abs() < _ACROSS, noise + across[:, None] * v


def solve(
    composed: ComposedMap, goal: Float[Tensor, "n d"], start: Float[Tensor, "n d"], *, steps: int
) -> tuple[Tensor, Branch, Tensor]:
    """Newton's method for f(z) = goal: the roots, the branch at them, and where it converged.

    A step longer than √(d/8), ½ in the plane, is shortened, and one that brings no gain is taken back and quartered:
    near a fold and on the ridges between basins the Jacobian changes within a step, and noise lies √d apart. It has
    converged where the image is the goal to 1e-7, or where the next step is below what the map's arithmetic resolves: a
    map in float32 comes no closer.
    """
    z, trial = start.clone(), start.clone()
    tolerance = _RESIDUAL * (1 + goal.norm(dim=1))
    best, left = torch.full_like(tolerance, torch.inf), torch.full_like(tolerance, torch.inf)
    direction, share = torch.zeros_like(z), torch.ones_like(tolerance)
    active, longest = torch.arange(len(z)), math.sqrt(max(2, z.shape[1]) / 8)
    for _ in range(steps):
        image, jacobian = composed.with_jacobian(trial[active])
        residual = image - goal[active]
        size = residual.norm(dim=1)
        newton = torch.linalg.solve_ex(jacobian, residual[:, :, None])[0][:, :, 0]
        length = newton.norm(dim=1).nan_to_num(nan=math.inf)
        newton = newton.nan_to_num() * (longest / length.clamp(longest, 1e300))[:, None]
        gained = size < best[active]
        won, lost = active[gained], active[~gained]
        z[won], best[won], direction[won], left[won] = trial[won], size[gained], newton[gained], length[gained]
        share[won], share[lost] = (2 * share[won]).clamp_max(1.0), share[lost] / 4
        # The step of the last round is taken too: from this close it squares the error.
        trial[active] = z[active] - share[active, None] * direction[active]
        active = active[~_converged(composed, best, tolerance, left, z)[active]]
        if not len(active):
            break
    converged = _converged(composed, best, tolerance, left, z)
    close = best <= tolerance
    z[close] = trial[close]
    branch = composed.branch(z)
    residual = (branch.points - goal).norm(dim=1)
    solved = converged & (residual <= torch.maximum(tolerance, 4 * best)) & torch.isfinite(branch.log_density)
    return z, branch, solved


def _converged(composed: ComposedMap, best: Tensor, tolerance: Tensor, left: Tensor, z: Tensor) -> Tensor:
    return (best <= tolerance) | (left <= _STEP * composed.resolution * (1 + z.norm(dim=1)))


def _distinct(index: Tensor, noise: Tensor) -> Tensor:
    """Positions of one pair for each distinct root of each point."""
    order = torch.from_numpy(np.lexsort((noise[:, 0].numpy(), index.numpy())))
    index, noise = index[order], noise[order]
    fresh = torch.ones(len(order), dtype=torch.bool)
    # A root and its double are neighbours in the first coordinate unless another root lies between: look a few back.
    for back in range(1, min(9, len(order))):
        near = (noise[back:] - noise[:-back]).norm(dim=1) < _SAME_ROOT
        fresh[back:] &= ~(near & (index[back:] == index[:-back]))
    return order[fresh]


def largest(values: Tensor, index: Tensor, n: int) -> Tensor:
    """The largest of the values that belong to each point; −∞ without any."""
    return torch.full((n,), -torch.inf, dtype=values.dtype).scatter_reduce(0, index, values, "amax")


def log_total(values: Tensor, index: Tensor, n: int) -> Tensor:
    """logsumexp of the values that belong to each point; −∞ without any."""
    top = largest(values, index, n)
    total = torch.zeros_like(top).index_add(0, index, (values - top[index]).exp())
    return torch.where(total > 0, top + total.log(), -torch.inf)


# ---- candidates in any dimension ------------------------------------------------------------------------------------
class NoiseCloud:
    """Noise with its images: near an image of z there may be a preimage near z.

    Args:
        noise: z, [m, d], float64.
        images: f(z), [m, d], float64.
    """

    def __init__(self, noise: Float[Tensor, "m d"], images: Float[Tensor, "m d"]) -> None:
        self.noise = noise
        self.images = Nearest(images)

    def nearest(self, points: Float[Tensor, "n d"], neighbours: int = 8) -> Int[Tensor, "n k"]:
        """Which images are nearest to each point."""
        return self.images.index(points, neighbours)

    def candidates(self, points: Float[Tensor, "n d"], neighbours: int = 8) -> Candidates:
        """The noise behind the nearest images of each point."""
        return self._starting_from(self.nearest(points, neighbours))

    def diverse(self, points: Float[Tensor, "n d"], count: int, *, among: int) -> Candidates:
        """So many noises that lie far apart, among those behind the nearest images of each point.

        Where one branch of a folding map is far denser than another, all of the nearest images lie on it.
        """
        pieces = [self._apart(self.nearest(piece, among), count) for piece in points.split(max(1, _PAIRS // among))]
        return self._starting_from(torch.cat(pieces) if pieces else torch.zeros(0, count, dtype=torch.long))

    def _apart(self, nearest: Int[Tensor, "n k"], count: int) -> Int[Tensor, "n c"]:
        """The nearest, then each time the one farthest from all chosen."""
        noise, row = self.noise.T[:, nearest], torch.arange(len(nearest))  # [d, n, k]: sums over few d are fast
        chosen, distance = [nearest[:, 0]], (noise - noise[:, :, :1]).square().sum(0)
        for _ in range(min(count, nearest.shape[1]) - 1):
            farthest = distance.argmax(1)
            chosen.append(nearest[row, farthest])
            distance = torch.minimum(distance, (noise - noise[:, row, farthest, None]).square().sum(0))
        return torch.stack(chosen, 1)

    def _starting_from(self, nearest: Int[Tensor, "n k"]) -> Candidates:
        index = torch.arange(len(nearest)).repeat_interleave(nearest.shape[1])
        unknown = torch.full((len(nearest),), -torch.inf, dtype=torch.float64)
        several = torch.ones(len(nearest), dtype=torch.bool)
        return Candidates(index, self.noise[nearest.flatten()], unknown, unknown, several)
