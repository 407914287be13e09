r"""Gaussian mixtures: full, diagonal, isotropic or zero covariance (atoms), exact at every noise level.

A mixture stays one under the process: :math:`N(\mu_k, S_k) \to N(\alpha_t \mu_k, \alpha_t^2 S_k + \sigma_t^2 I)`.
In the eigenbasis :math:`S_k = U_k \operatorname{diag}(\lambda_k) U_k^\top` the covariance at any t is diagonal with
entries :math:`v_k(t) = \alpha_t^2 \lambda_k + \sigma_t^2`, so a separate t per point costs nothing extra.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time, alpha, column, sigma
from cmcore.targets.base import Parameters, Target, exactly

_CHUNK_ENTRIES = 1 << 18
"""Components × dimensions × points held at once: 2 MB in float64, which stays near the cache."""


class GaussianMixture(Target):
    r"""The mixture :math:`p_0 = \sum_k w_k N(\mu_k, S_k)`.

    Args:
        weights: w, [K], positive; normalised to sum 1.
        means: μ, [K, d].
        covariances: one number (isotropic S = c I for all), [K] (isotropic variances), [K, d] (diagonals),
            or [K, d, d] (full, symmetric positive semi-definite). Zeros make atoms. When K = d, a [K, d] array is
            read as diagonals.
        name: what people call it.

    Raises:
        ValueError: shapes that do not fit, weights that are not positive, covariances with a negative direction.
    """

    def __init__(self, weights, means, covariances, *, name: str = "gaussian_mixture") -> None:  # noqa: ANN001
        self.name = name
        self.weights, self.means = _checked(weights, means)
        self.dim = self.means.shape[1]
        self.variances, self.axes = _eigenbasis(covariances, *self.means.shape)
        smallest = float(self.variances.min())
        self.has_density = smallest > 0
        self.smooth = smallest > 0
        self._shared = self.axes is None and bool((self.variances == self.variances[0]).all())
        self.parameters = Parameters(self.weights.log(), self.means, self.variances, self.axes)

    # ---- density and score --------------------------------------------------------------------------------------
    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, " n"]:
        self._require_density(t)
        return exactly(self._log_prob, x, t, self._chunk)

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        self._require_density(t)
        return exactly(self._score, x, t, self._chunk)

    def responsibilities(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n k"]:
        """P(component k | X_t = x)."""
        self._require_density(t)
        return exactly(lambda x, t: self._whitened(x, t)[0].softmax(0).T, x, t, self._chunk)

    def _log_prob(self, x: Tensor, t: Time) -> Tensor:
        return self._whitened(x, t)[0].logsumexp(0)

    def _score(self, x: Tensor, t: Time) -> Tensor:
        if torch.as_tensor(t).ndim == 0:
            return self._score_at_one_time(x, t)
        log_joint, pull = self._whitened(x, t)
        share = log_joint.softmax(0)[:, None, :]  # [K, 1, n]
        axes = self.parameters.like(x)[3]
        if axes is None:
            return -(share * pull).sum(0).T
        return -torch.einsum("kdn,ked->ne", share * pull, axes)

    def _score_at_one_time(self, x: Tensor, t: Time) -> Tensor:
        """Σ_k P(k | x) Λ_k (α μ_k − x), Λ_k the precision of component k, as matrix products over components.

        The shares are linear in x and its squares (full covariances: its products x_i x_j) before the softmax. Where
        all components share one diagonal Λ, the squares cancel and are left out.
        """
        log_weights, means, variances, axes = self.parameters.like(x)
        a, s = alpha(column(t, x)), sigma(column(t, x))
        points, d = x.T, self.dim
        centre = a * means
        if self._shared:
            v = a**2 * variances[:1] + s**2
            slope = centre / v
            share = torch.addmm((log_weights - (centre * slope).sum(1) / 2)[:, None], slope, points).softmax(0)
            return ((centre.T @ share).sub_(points)).div_(v.T).T
        precision = 1 / (a**2 * variances + s**2)  # [K, d]
        log_scale = log_weights + precision.log().sum(1) / 2
        squares = points.square()
        if axes is not None:
            full = (axes * precision[:, None]) @ axes.mT
            slope = (full @ centre[:, :, None])[:, :, 0]
            precision, squares = full.reshape(-1, d * d), (points[:, None] * points).reshape(d * d, -1)
        else:
            slope = precision * centre
        log_joint = torch.addmm((log_scale - (centre * slope).sum(1) / 2)[:, None], slope, points)  # [K, n]
        share = log_joint.addmm_(precision, squares, alpha=-0.5).softmax(0)
        inward = precision.T @ share
        back = inward * points if axes is None else (inward.reshape(d, d, -1) * points).sum(1)
        return (slope.T @ share - back).T

    def _whitened(self, x: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """log w_k N(x; k, t) as [K, n], and the pull v_k(t)^{-1} U_kᵀ(x − α μ_k) as [K, d, n].

        Points run along the last axis: components-first is several times faster than points-first on a CPU.
        """
        log_weights, means, variances, axes = self.parameters.like(x)
        time = column(t, x).T  # [1, 1] or [1, n]
        a, s = alpha(time), sigma(time)
        offset = x.T[None] - a * means[:, :, None]  # [K, d, n]
        if axes is not None:
            offset = torch.einsum("ked,ken->kdn", axes, offset)
        variance = a**2 * variances[:, :, None] + s**2  # [K, d, 1 or n]
        pull = offset / variance
        log_joint = log_weights[:, None] - ((offset * pull).sum(1) + variance.log().sum(1)) / 2
        return log_joint - self.dim / 2 * math.log(2 * math.pi), pull

    # ---- one dimension ------------------------------------------------------------------------------------------
    def log_tails(self, x: Float[Tensor, " n"], t: Time) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        self._require_one_dimension()
        self._require_density(t)
        log_weights, means, variances, _ = self.parameters.like(x)  # with d = 1 the axes are ±1 and change nothing
        time = column(t, x[:, None]).T
        a, s = alpha(time), sigma(time)
        z = (x - a * means) / (a**2 * variances + s**2).sqrt()  # [K, n]
        below, above = ((log_weights[:, None] + torch.special.log_ndtr(side)).logsumexp(0) for side in (z, -z))
        return below, above

    # ---- sampling and moments -----------------------------------------------------------------------------------
    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        device = generator.device
        weights, means, variances = (v.to(device) for v in (self.weights, self.means, self.variances))
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=device)
        noise = variances[which].sqrt() * z
        if self.axes is not None:
            noise = torch.einsum("nij,nj->ni", self.axes.to(device)[which], noise)
        return means[which] + noise

    @property
    def components(self) -> int:
        return len(self.weights)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        centred = self.means - self.mean
        within = torch.diag(self.weights @ self.variances)
        if self.axes is not None:
            within = torch.einsum("k,kij,kj,klj->il", self.weights, self.axes, self.variances, self.axes)
        return within + torch.einsum("k,ki,kj->ij", self.weights, centred, centred)

    # ---- on disk ------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Tensor]:
        """The parameters as tensors, for :meth:`from_state`."""
        state = {"weights": self.weights, "means": self.means, "variances": self.variances}
        return state if self.axes is None else {**state, "axes": self.axes}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "GaussianMixture":
        """The mixture that :meth:`state` describes, checked like any other."""
        covariances = state["variances"]
        if "axes" in state:
            covariances = torch.einsum("kij,kj,klj->kil", state["axes"], state["variances"], state["axes"])
        return GaussianMixture(state["weights"], state["means"], covariances)

    @property
    def _chunk(self) -> int:
        return max(256, _CHUNK_ENTRIES // self.means.numel())


def _checked(weights, means) -> tuple[Tensor, Tensor]:  # noqa: ANN001
    weights = torch.as_tensor(weights, dtype=torch.float64).cpu()
    means = torch.as_tensor(means, dtype=torch.float64).cpu()
    if means.ndim != 2 or weights.shape != means.shape[:1] or not len(weights):
        raise ValueError(
            f"A mixture needs weights [K] and means [K, d]; got {tuple(weights.shape)} and {tuple(means.shape)}."
        )
    if not bool(torch.isfinite(means).all()):
        raise ValueError("The means of a mixture must be finite numbers.")
    if not bool((weights > 0).all()) or not bool(torch.isfinite(weights).all()):
        raise ValueError("The weights of a mixture must be positive, finite numbers.")
    return weights / weights.sum(), means


def _eigenbasis(covariances, k: int, d: int) -> tuple[Tensor, Tensor | None]:  # noqa: ANN001
    """Eigenvalues [K, d] and eigenvectors [K, d, d] (None where the given axes will do)."""
    given = torch.as_tensor(covariances, dtype=torch.float64).cpu()
    if given.shape == (k, d, d):
        if not torch.allclose(given, given.mT, atol=1e-12):
            raise ValueError("A full covariance must be symmetric.")
        values, vectors = torch.linalg.eigh(given)
        largest = values.abs().amax(dim=1, keepdim=True)
        if bool((values < -1e-10 * largest).any()):
            raise ValueError("A covariance must not be negative in any direction.")
        return torch.where(values < 1e-14 * largest, 0.0, values), vectors
    if given.shape == (k, d):
        values = given.clone()
    elif given.shape in ((), (k,)):
        values = given.reshape(-1, 1).expand(k, d).clone()
    else:
        raise ValueError(f"Covariances must be a number, [K], [K, d] or [K, d, d]; got {tuple(given.shape)}.")
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ValueError("A covariance must not be negative in any direction.")
    return values, None
