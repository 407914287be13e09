r"""Where in the noise plane a KL comes from, found by a pilot: noise is then drawn more often there.

A trained map tears noise apart between far modes. On such a tear a sliver of noise, a ten-thousandth of all, lands
where the data has hardly any density: log q − log p is large there and near 0 elsewhere, so that a few points carry the
variance of the mean. A pilot pushes vertices of a mesh forward, takes the density of a cell's image from its area, and
so guesses the integrand, :math:`r - 1 - \log r` with r = p/q for KL(q‖p) and :math:`r \log r - r + 1` for KL(p‖q), in
each cell. Cells in which it varies most are halved
again and again. Noise is then drawn from a density g on the cells, three tenths of it even and the rest in proportion
to the guess, and weighted by 1/g ≤ 10/3: whatever the pilot says, the mean stays unbiased.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.noise import polar_noise
from cmcore.divergences.tools.plane_mesh import signed_area, triangles
from cmcore.divergences.tools.push_forward import log_standard_normal
from cmcore.targets.base import Target

_EVEN_ROUNDS = 10
"""Halvings of every cell before the first guess: 32 × 32 cells."""
_TAIL_ROUNDS = 6
"""Further halvings of the outermost cells, down to a noise radius of 5.5: what happens far out would else be taken from
cells that reach to infinity."""
_UNSURE = 2e-4
"""A cell is halved while the integrand's variation in it exceeds this share of the whole."""
_EVEN = 0.3
"""The even part of g, against what a pilot overlooks."""
_LOW, _HIGH = -8.0, 7.0
"""What log r is taken to lie between: an image drawn straight says little of the ratio beyond."""

_WITHIN = torch.tensor([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [3, 3, 0], [3, 0, 3], [0, 3, 3]]).double()
_WITHIN = _WITHIN / _WITHIN.sum(1, keepdim=True)
"""Where a triangle is looked at, in shares of its corners."""


@dataclass(frozen=True)
class Pilot:
    """A density g on the unit square, constant on the leaves of a tree of halved cells.

    Attributes:
        axis: the coordinate along which a node is halved; −1 at a leaf.
        child: the lower half of a node; the upper half follows it.
        share: the probability under g of the lower half, given the node.
        low, size: the lowest corner and the sides of a node.
        weight: 1/g at a leaf.
    """

    axis: Int[Tensor, " nodes"]
    child: Int[Tensor, " nodes"]
    share: Float[Tensor, " nodes"]
    low: Float[Tensor, "nodes 2"]
    size: Float[Tensor, "nodes 2"]
    weight: Float[Tensor, " nodes"]

    def draw(self, uniform: Float[Tensor, "*n 2"]) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n"]]:
        """Even points of the square turned into points with density g, and their weights.

        Every node stretches its two halves, so that well spread points stay so (Clarberg, Jarosz, Akenine-Möller &
        Jensen 2005, wavelet importance sampling).
        """
        place = uniform.flatten(0, -2).clone()
        node = torch.zeros(len(place), dtype=torch.long)
        inner = torch.arange(len(place))
        while len(inner := inner[self.axis[node[inner]] >= 0]):
            at = node[inner]
            axis, share = self.axis[at], self.share[at]
            u = place[inner, axis]
            above = u >= share
            place[inner, axis] = torch.where(above, (u - share) / (1 - share), u / share)
            node[inner] = self.child[at] + above.long()
        points = self.low[node] + self.size[node] * place
        return points.reshape(uniform.shape), self.weight[node].reshape(uniform.shape[:-1])


def pilot(composed: ComposedMap, target: Target, *, vertices: int = 3_600, forward: bool = False) -> Pilot:
    """A density on the square that :func:`~.noise.polar_noise` starts from, for KLs of this map.

    At most about so many vertices are pushed forward, 1,300 of them to begin with.
    """
    cells = _Cells(composed, target, vertices, forward=forward)
    while len(torn := cells.torn()):
        cells.halve(torn, cells.longer_side(torn))
    return cells.pilot()


class _Cells:
    """A tree of cells: the images of their corners, and what each is thought to add to the KL."""

    def __init__(self, composed: ComposedMap, target: Target, vertices: int, *, forward: bool) -> None:
        self.composed, self.target, self.most, self.forward = composed, target, vertices, forward
        self.axis = self.child = torch.full((1,), -1)
        self.low, self.size = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
        self.vertices = 0
        for level in range(_EVEN_ROUNDS):
            leaves = self.leaves
            self._split(leaves, torch.full_like(leaves, level % 2))
        for _ in range(_TAIL_ROUNDS):
            outermost = self.outermost
            self._split(outermost, torch.zeros_like(outermost))
        # All at once: one round after the other pushes a few points through every jump.
        self.images = self._pushed(_corners(self.low, self.size))
        self.part, self.unsure = self._guessed(self.low, self.size, self.images)

    @property
    def leaves(self) -> Int[Tensor, " leaves"]:
        return (self.axis < 0).nonzero()[:, 0]

    @property
    def outermost(self) -> Int[Tensor, " outermost"]:
        """The leaves at level 0, where the noise is largest."""
        leaves = self.leaves
        return leaves[self.low[leaves, 0] == 0]

    def torn(self) -> Int[Tensor, " torn"]:
        """The leaves to halve next, as far as the vertices go: the integrand varies in them by too much."""
        leaves = self.leaves
        unsure = self.unsure[leaves]
        most = max(0, self.most - self.vertices) // 2
        order = unsure.argsort(descending=True)[:most]
        return leaves[order[unsure[order] > _UNSURE * self.part[leaves].sum()]]

    def longer_side(self, nodes: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The axis along which the image of each node is the longer."""
        images = self.images[nodes]
        lengths = [(images.select(1 + axis, 1) - images.select(1 + axis, 0)).norm(dim=2).sum(1) for axis in (0, 1)]
        return (lengths[1] > lengths[0]).long()

    def halve(self, nodes: Int[Tensor, " n"], axis: Int[Tensor, " n"]) -> None:
        """Give each node two children, and look at these."""
        low, size = self._split(nodes, axis)
        # The lower side of the upper half is new, as [n, 2 ends]; the rest are corners of the node.
        across = (axis == 0)[:, None, None, None]
        corners = _corners(low[1::2], size[1::2])
        middle = self._pushed(torch.where(across, corners, corners.transpose(1, 2))[:, 0])
        whole = torch.where(across, self.images[nodes], self.images[nodes].transpose(1, 2))
        halves = torch.stack([whole[:, 0], middle, middle, whole[:, 1]], 1).unflatten(1, (2, 2))
        images = torch.where(across[:, None], halves, halves.transpose(2, 3)).flatten(0, 1)
        for name, values in zip(("images", "part", "unsure"), (images, *self._guessed(low, size, images)), strict=True):
            setattr(self, name, torch.cat([getattr(self, name), values]))

    def _split(self, nodes: Int[Tensor, " n"], axis: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Give each node two children; the lowest corners and the sides of these."""
        size = self.size[nodes].scatter_reduce(1, axis[:, None], torch.full((len(nodes), 1), 0.5).double(), "prod")
        upper = self.low[nodes] + self.size[nodes] - size
        low, size = torch.stack([self.low[nodes], upper], 1).flatten(0, 1), size.repeat_interleave(2, 0)
        self.axis, self.child = self.axis.clone(), self.child.clone()
        self.axis[nodes], self.child[nodes] = axis, len(self.axis) + 2 * torch.arange(len(nodes))
        leaf = torch.full((len(low),), -1)
        for name, values in zip(("axis", "child", "low", "size"), (leaf, leaf, low, size), strict=True):
            setattr(self, name, torch.cat([getattr(self, name), values]))
        return low, size

    def _pushed(self, square: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """The images of points of the square; neighbours share theirs."""
        points, place = torch.unique(square.flatten(0, -2), dim=0, return_inverse=True)
        self.vertices += len(points)
        return self.composed.images(polar_noise(points)[0])[place].reshape(square.shape)

    def _guessed(self, low: Tensor, size: Tensor, images: Tensor) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """What each cell adds to the KL, and by how much the integrand varies in it, both times its mass."""
        noise, images = triangles(polar_noise(_corners(low, size))[0]), triangles(images)
        areas = signed_area(torch.stack([noise, images])).abs().clamp_min(1e-30).log()
        noise, images = (_WITHIN @ corners for corners in (noise, images))
        log_q = log_standard_normal(noise.flatten(0, -2)).reshape(noise.shape[:-1]) + (areas[0] - areas[1])[..., None]
        log_p = self.target.log_prob(images.flatten(0, -2), self.composed.grid.delta).reshape(images.shape[:-1])
        log_ratio = (log_p - log_q).nan_to_num(nan=0.0).clamp(_LOW, _HIGH)
        excess = torch.expm1(log_ratio)
        integrand = (log_ratio.exp() * log_ratio - excess if self.forward else excess - log_ratio).flatten(1)
        mass = size.prod(1) * (2 * low[:, 0] + size[:, 0])  # of the level V, with its weight 2V, and the angle
        return mass * integrand.square().mean(1).sqrt(), mass * (integrand.amax(1) - integrand.amin(1))

    def pilot(self) -> Pilot:
        """The density g."""
        leaves = self.leaves
        area = self.size[leaves].prod(1)
        part = self.part[leaves] / self.part[leaves].sum()
        probability = torch.zeros_like(self.part)
        probability[leaves] = _EVEN * area + (1 - _EVEN) * torch.where(part.isfinite(), part, area)
        weight = torch.ones_like(probability)
        weight[leaves] = area / probability[leaves]
        inner = (self.axis >= 0).nonzero()[:, 0]
        summed, child = probability.tolist(), self.child.tolist()  # thousands of sums of two numbers
        for node in inner.flip(0).tolist():  # children come after their parents
            summed[node] = summed[child[node]] + summed[child[node] + 1]
        probability = torch.tensor(summed, dtype=torch.float64)
        share = torch.ones_like(probability)
        share[inner] = probability[self.child[inner]] / probability[inner]
        return Pilot(self.axis, self.child, share, self.low, self.size, weight)


def _corners(low: Float[Tensor, "n 2"], size: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2 2 2"]:
    """The corners of cells, the first coordinate along the second dimension."""
    steps = torch.tensor([[[0, 0], [0, 1]], [[1, 0], [1, 1]]], dtype=torch.float64)
    return low[:, None, None] + steps * size[:, None, None]
