"""The empirical law of a point set: atoms, or a kernel density with a bandwidth."""

import math

import torch
from torch import Tensor

from cmcore.process import Time, alpha, column, sigma
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

    def _log_prob(self, x: Tensor, t: Time) -> Tensor:
        """log mean_k N(x; α m_k, v I), v = α² h² + σ²: in float64, at one time, as a matrix product over the points.

        With −|x − α m|²/2v multiplied out, a kernel costs a tenth of what it costs coordinate by coordinate. The terms
        are some thousands and cancel to a few, which float64 can afford and float32 cannot.
        """
        if torch.as_tensor(t).ndim or x.dtype != torch.float64:
            return super()._log_prob(x, t)
        log_weights, means, variances, _ = self.parameters.like(x)
        a = alpha(column(t, x))
        v = a**2 * variances[:1, :1] + sigma(column(t, x)) ** 2
        slope = a * means / v
        log_joint = torch.addmm((log_weights - a[0] * (slope * means).sum(1) / 2)[:, None], slope, x.T)  # [K, n]
        top = log_joint.amax(0)
        # What is below e^-700 is nothing beside 1, and slow: its exponential has no normal float.
        log_sum = top + (log_joint - top).clamp(min=-700).exp().sum(0).log()
        return log_sum - (x.square().sum(1) / v[0] + self.dim * (2 * math.pi * v[0]).log()) / 2
