r"""The noise plane as a mesh, pushed forward: where the preimages of a point may be.

Vertices of a triangulated noise plane are pushed forward by the composed map; every image triangle around a point x
says that x may have a preimage near that triangle's corners.
"""

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.preimages import Candidates, joined, largest, log_total
from cmcore.divergences.tools.push_forward import log_standard_normal

_CUTS = 4
_MARGIN = 0.25
"""Triangles near a fold are enlarged by this share, since their images are bent."""
_REACH = 5.5
"""Noise beyond this radius (probability 3e-7 in the plane) is ignored."""
_MINOR = 0.01
"""A candidate expected to give less than this share of the density at its point is taken at its word: the density of
its triangle is added and no root is sought."""
_CHUNK = 1024
"""Points looked for at once: where a map folds finely hundreds of boxes overlap at a point, 40 kB of arithmetic."""


class PlaneMesh:
    """The noise plane as triangles, pushed forward by the composed map.

    Cells where the image of the mesh folds are cut again: most of those folds come from cells that span a narrow
    ridge between two basins of the map, and vanish; the others are then drawn more truly.

    Args:
        composed: the map of all jumps.
        turned: noise that the map is known to turn over: folds finer than the mesh, which is coarse far out.
        resolution: vertices along an axis, at quantiles of N(0, 4), so that they are dense where the noise is.
    """

    def __init__(
        self, composed: ComposedMap, *, turned: Float[Tensor, "m 2"] | None = None, resolution: int = 128
    ) -> None:
        axis = 2 * torch.from_numpy(ndtri((np.arange(resolution) + 0.5) / resolution))
        whole = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)[None]
        corners, images = _pushed(composed, whole)
        near = _near_fold(corners, images)
        if turned is not None:
            near |= _around(_cells_of(turned, axis))
        fine = _cut(whole, near[0])
        fine_corners, fine_images = _pushed(composed, fine)
        bent = _near_fold(fine_corners, fine_images)
        smooth = ~near
        self.corners = torch.cat([corners[smooth].flatten(0, 1), fine_corners.flatten(0, 3)])
        self.images = torch.cat([images[smooth].flatten(0, 1), fine_images.flatten(0, 3)])
        bent = torch.cat([torch.zeros(2 * int(smooth.sum()), dtype=torch.bool), bent.flatten().repeat_interleave(2)])
        near = (self.corners.norm(dim=2) < _REACH).all(1)
        self.corners, self.images, bent = self.corners[near], self.images[near], bent[near]
        stretch = signed_area(self.images) / signed_area(self.corners)
        self.turned = stretch < 0
        self.margin = _MARGIN * bent.double() + 1e-9
        self.log_density = log_standard_normal(self.corners.mean(1)) - stretch.abs().clamp_min(1e-30).log()
        self.tree = shapely.STRtree(_boxes(self.images, self.margin))

    def candidates(self, points: Float[Tensor, "n 2"]) -> Candidates:
        """A candidate for each image triangle around each point."""
        return joined([self._candidates(piece) for piece in points.split(_CHUNK)])

    def _candidates(self, points: Float[Tensor, "n 2"]) -> Candidates:
        index, triangle = (torch.from_numpy(part) for part in self.tree.query(shapely.points(points.numpy())))
        a, b, c = self.images[triangle].unbind(1)
        whole, margin = _cross(b - a, c - a), self.margin[triangle]
        u = _cross(points[index] - a, c - a) / whole
        v = _cross(b - a, points[index] - a) / whole
        inside = (u >= -margin) & (v >= -margin) & (u + v <= 1 + margin)
        index, triangle, u, v = index[inside], triangle[inside], u[inside, None], v[inside, None]
        log_density, n = self.log_density[triangle], len(points)
        leading = largest(log_density, index, n)
        minor = log_density < leading[index] + np.log(_MINOR)
        strictly = torch.minimum(torch.minimum(u, v), 1 - u - v)[:, 0] >= 0
        a, b, c = self.corners[triangle].unbind(1)
        start = a + u * (b - a) + v * (c - a)
        counted = minor & strictly
        # A point inside just one triangle, and inside no turned one however enlarged, has one preimage.
        single = torch.bincount(index[strictly & ~minor], minlength=n) == 1
        several = ~single | (torch.bincount(index[self.turned[triangle] & ~minor], minlength=n) > 0)
        small = log_total(log_density[counted], index[counted], n)
        return Candidates(index[~minor], start[~minor], leading, small, several)


def _pushed(
    composed: ComposedMap, vertices: Float[Tensor, "blocks rows columns 2"]
) -> tuple[Float[Tensor, "blocks r c 2 3 2"], Float[Tensor, "blocks r c 2 3 2"]]:
    """Two triangles for each cell of each block of vertices, in the noise plane and pushed forward."""
    return triangles(vertices), triangles(composed.images(vertices.flatten(0, 2)).reshape(vertices.shape))


def triangles(v: Float[Tensor, "blocks rows columns 2"]) -> Float[Tensor, "blocks r c 2 3 2"]:
    """Two triangles for each cell of each block of vertices."""
    a, b, c, d = v[:, :-1, :-1], v[:, 1:, :-1], v[:, :-1, 1:], v[:, 1:, 1:]
    return torch.stack([torch.stack([a, b, c], dim=-2), torch.stack([d, c, b], dim=-2)], dim=-3)


def _near_fold(corners: Tensor, images: Tensor) -> Bool[Tensor, "blocks r c"]:
    """Cells with a triangle that the map turns over, and the cells around them."""
    return _around((signed_area(corners) * signed_area(images) < 0).any(-1))


def _cells_of(points: Float[Tensor, "m 2"], axis: Float[Tensor, " vertices"]) -> Bool[Tensor, "1 r c"]:
    """Which cells between the vertices hold one of the points."""
    cells = torch.zeros(1, len(axis) - 1, len(axis) - 1, dtype=torch.bool)
    row, column = (torch.searchsorted(axis, points.T.contiguous()) - 1).clamp(0, len(axis) - 2)
    cells[0, row, column] = True
    return cells


def _around(cells: Bool[Tensor, "blocks r c"]) -> Bool[Tensor, "blocks r c"]:
    """The cells and those that touch them."""
    return torch.nn.functional.max_pool2d(cells[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def _cut(whole: Float[Tensor, "1 rows columns 2"], cells: Bool[Tensor, "r c"]) -> Float[Tensor, "blocks m m 2"]:
    """The given cells of a rectangular mesh, each as a block of 4 × 4 cells."""
    low, high = whole[0, :-1, :-1][cells], whole[0, 1:, 1:][cells]
    share = torch.linspace(0, 1, _CUTS + 1, dtype=torch.float64)
    steps = torch.stack(torch.meshgrid(share, share, indexing="ij"), dim=-1)
    return low[:, None, None] + steps * (high - low)[:, None, None]


def _cross(a: Float[Tensor, "*n 2"], b: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def signed_area(corners: Float[Tensor, "*n 3 2"]) -> Float[Tensor, "*n"]:
    """Signed area of triangles."""
    a, b, c = corners.unbind(-2)
    return _cross(b - a, c - a) / 2


def _boxes(corners: Float[Tensor, "triangles 3 2"], margin: Float[Tensor, " triangles"]) -> NDArray[np.object_]:
    """A segment with the bounding box of each enlarged triangle.

    The tree needs no more than bounding boxes, and segments are made several times faster than triangles.
    """
    low, high = corners.amin(1), corners.amax(1)
    extra = margin[:, None] * (high - low)
    return np.asarray(shapely.linestrings(torch.stack([low - extra, high + extra], dim=1).numpy()))
