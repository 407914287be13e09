"""The empirical law of a point set: atoms, or a kernel density with a bandwidth."""

import torch

from cmcore.targets.gaussian_mixture import GaussianMixture


class Empirical(GaussianMixture):
    """Equal mass on every point, each blurred by N(0, h² I): a kernel density of bandwidth h.

    Args:
        points: [n, d].
        bandwidth: h ≥ 0; 0 leaves atoms, which have no density at t = 0.
        name: what people call it.
    """

    def __init__(self, points, bandwidth: float = 0.0, *, name: str = "empirical") -> None:  # noqa: ANN001
        points = torch.as_tensor(points, dtype=torch.float64)
        if points.ndim != 2 or not len(points):
            raise ValueError(f"An empirical law needs points [n, d] with n ≥ 1; got {tuple(points.shape)}.")
        if not bandwidth >= 0:
            raise ValueError(f"The bandwidth of a kernel density must not be negative; got {bandwidth}.")
        super().__init__(torch.ones(len(points)), points, float(bandwidth) ** 2, name=name)
        self.bandwidth = float(bandwidth)

    @property
    def points(self) -> torch.Tensor:
        """The data, [n, d]."""
        return self.means
