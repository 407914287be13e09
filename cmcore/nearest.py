"""The nearest of some points to others: by a tree in few dimensions, by matrix products in many.

A tree looks at few of its leaves in the plane, at many in ten dimensions and at all of them in sixty, point by point:
there products with all points are twenty times as fast, and grow with d and no faster.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_FEW_DIMENSIONS = 10
_ENTRIES = 1 << 20
"""Numbers that are held at once beside the answer."""


class Nearest:
    """Points that are asked which of them lie nearest to others.

    Args:
        points: [m, d].
    """

    def __init__(self, points: Float[Tensor, "m d"]) -> None:
        self.points = points.detach().double().cpu()
        self.tree = None
        if self.points.shape[1] <= _FEW_DIMENSIONS:
            from scipy.spatial import KDTree  # which takes a while to load, and few runs need

            self.tree = KDTree(self.points.numpy())
        self.middle = self.points.mean(0)
        self.centred = self.points - self.middle
        self.half_squares = self.centred.square().sum(1) / 2

    def __len__(self) -> int:
        return len(self.points)

    def index(self, others: Float[Tensor, "n d"], count: int) -> Int[Tensor, "n k"]:
        """Which are the nearest to each of the others, k = count or as many as there are; the nearest first."""
        return self(others, count)[1]

    def __call__(self, others: Float[Tensor, "n d"], count: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """The distances to the nearest, k = count or as many as there are, and which they are; the nearest first."""
        others, count = others.detach().double().cpu(), min(count, len(self.points))
        if self.tree is not None:
            distance, index = (np.asarray(part).reshape(-1, count) for part in self.tree.query(others.numpy(), k=count))
            return torch.from_numpy(distance), torch.from_numpy(index)
        rows = max(1, _ENTRIES // (len(self.points) + count * others.shape[1]))
        pieces = [self._by_products(piece, count) for piece in others.split(rows)]
        distance, index = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        return distance, index

    def _by_products(self, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Half of |x − y|² less what all y share chooses them; their distances are then taken without cancelling."""
        further = torch.addmm(self.half_squares, others - self.middle, self.centred.T, alpha=-1)
        index = further.topk(count, largest=False).indices
        return (others[:, None] - self.points[index]).norm(dim=2), index
