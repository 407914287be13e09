r"""All preimages of given points under a composed map: the full density where the map folds.

.. math:: q(x) = \sum_{z:\, f(z) = x} N(z; 0, I) / |\det Df(z)|

Candidates come from noise whose images are known: in the plane from a mesh, whose image triangles say which z lie
near a preimage (:mod:`cmcore.divergences.plane_mesh`); elsewhere from the nearest images of random noise
(:class:`NoiseCloud`). Each is polished by Newton's method on the exact map in float64, and a root found twice is
counted once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.divergences.push_forward import Branch, push_forward, with_jacobian
from cmcore.grids import TimeGrid
from cmcore.threads import in_pieces

__all__ = ["Candidates", "Density", "NoiseCloud", "full_density", "joined", "largest", "log_total", "solve"]

_RESIDUAL = 1e-7
_SAME_ROOT = 1e-4
_AHEAD = 1e-4
_ACROSS = 0.3
"""A root whose mirror image across a fold is expected this close is asked for it."""


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
def full_density(
    f: JumpMap, grid: TimeGrid, points: Float[Tensor, "n d"], candidates: Candidates, *, newton_steps: int = 8
) -> Density:
    """log q at the points, summed over the distinct preimages that the candidates lead to. f must take float64."""
    index, noise, log_density = _roots(f, grid, points, candidates.index, candidates.noise, newton_steps)
    beside, partners = _fold_partners(f, grid, noise)
    more = _roots(f, grid, points, index[beside], partners, newton_steps)
    index, noise, log_density = (torch.cat(pair) for pair in zip((index, noise, log_density), more, strict=True))
    first = _distinct(index, noise)
    index, log_density = index[first], log_density[first]
    count = torch.bincount(index, minlength=len(points))
    return Density(torch.logaddexp(log_total(log_density, index, len(points)), candidates.minor), count)


def _roots(  # noqa: PLR0917
    f: JumpMap, grid: TimeGrid, points: Tensor, index: Tensor, start: Tensor, newton_steps: int
) -> tuple[Int[Tensor, " roots"], Float[Tensor, "roots d"], Float[Tensor, " roots"]]:
    """The distinct roots that starts lead to: the point each belongs to, the noise, and its share of log q."""
    noise, branch, found = solve(f, grid, points[index], start, steps=newton_steps)
    index, noise, log_density = index[found], noise[found], branch.log_density[found]
    first = _distinct(index, noise)
    return index[first], noise[first], log_density[first]


def _fold_partners(f: JumpMap, grid: TimeGrid, noise: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
    """Which roots lie beside a fold, and where their mirror images across it should be.

    Along the direction v that the map almost annuls, f(z + av) ≈ f(z) + a s u + a² c u / 2 with s the smallest
    singular value and c the curvature along u; so the second root sits at a = −2 s/c. No mesh sees it closer than a
    cell to the fold, where the density is largest.
    """
    _, jacobian = _composed(f, grid, noise)
    left, values, right = torch.linalg.svd(jacobian)
    u, v = left[:, :, -1], right[:, -1]
    _, ahead = _composed(f, grid, noise + _AHEAD * v)
    curvature = torch.einsum("ni,nij,nj->n", u, ahead - jacobian, v) / _AHEAD
    across = (-2 * values[:, -1] / curvature).nan_to_num(nan=math.inf)
    beside = (across.abs() < _ACROSS).nonzero()[:, 0]
    return beside, noise[beside] + across[beside, None] * v[beside]


def solve(
    f: JumpMap, grid: TimeGrid, goal: Float[Tensor, "n d"], start: Float[Tensor, "n d"], *, steps: int
) -> tuple[Tensor, Branch, Tensor]:
    """Newton's method for f(z) = goal: the roots, the branch at them, and where it converged.

    A step longer than ½ is shortened, and one that brings no gain is taken back and quartered: near a fold and on the
    ridges between basins the Jacobian changes within a step.
    """
    z, trial = start.clone(), start.clone()
    tolerance = _RESIDUAL * (1 + goal.norm(dim=1))
    best = torch.full_like(tolerance, torch.inf)
    direction, share = torch.zeros_like(z), torch.ones_like(tolerance)
    active = torch.arange(len(z))
    for _ in range(steps):
        image, jacobian = _composed(f, grid, trial[active])
        residual = image - goal[active]
        size = residual.norm(dim=1)
        newton = torch.linalg.solve_ex(jacobian, residual[:, :, None])[0][:, :, 0].nan_to_num()
        newton = newton * (0.5 / newton.norm(dim=1, keepdim=True).clamp_min(0.5))
        gained = size < best[active]
        won, lost = active[gained], active[~gained]
        z[won], best[won], direction[won] = trial[won], size[gained], newton[gained]
        share[won], share[lost] = (2 * share[won]).clamp_max(1.0), share[lost] / 4
        # The step of the last round is taken too: from this close it squares the error.
        trial[active] = z[active] - share[active, None] * direction[active]
        active = active[best[active] > tolerance[active]]
        if not len(active):
            break
    converged = best <= tolerance
    z[converged] = trial[converged]
    branch = push_forward(f, z, grid)
    found = ((branch.points - goal).norm(dim=1) <= tolerance) & torch.isfinite(branch.log_density)
    return z, branch, found


def _composed(f: JumpMap, grid: TimeGrid, z: Tensor) -> tuple[Tensor, Tensor]:
    """The image of z under all jumps, and the Jacobian of the composed map."""
    jacobian = torch.eye(z.shape[1], dtype=z.dtype).expand(len(z), -1, -1)
    for t, s in grid.jumps:
        pieces = in_pieces(lambda z, t=t, s=s: with_jacobian(f, z, t, s), z, rows=2048)
        z = torch.cat([image for image, _ in pieces])
        jacobian = torch.cat([one for _, one in pieces]) @ jacobian
    return z, jacobian


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
        self.tree = KDTree(images.numpy())

    def nearest(self, points: Float[Tensor, "n d"], neighbours: int = 8) -> Int[Tensor, "n k"]:
        """Which images are nearest to each point."""
        count = min(neighbours, len(self.noise))
        _, nearest = self.tree.query(points.numpy(), k=count)
        return torch.from_numpy(np.asarray(nearest)).reshape(len(points), count)

    def candidates(self, points: Float[Tensor, "n d"], neighbours: int = 8) -> Candidates:
        """The noise behind the nearest images of each point."""
        nearest = self.nearest(points, neighbours)
        index = torch.arange(len(points)).repeat_interleave(nearest.shape[1])
        unknown = torch.full((len(points),), -torch.inf, dtype=torch.float64)
        several = torch.ones(len(points), dtype=torch.bool)
        return Candidates(index, self.noise[nearest.flatten()], unknown, unknown, several)
