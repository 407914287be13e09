r"""Gaussian mixtures: full, diagonal, isotropic or zero covariance (atoms), exact at every noise level.

A mixture stays one under the process: :math:`N(\mu_k, S_k) \to N(\alpha_t \mu_k, \alpha_t^2 S_k + \sigma_t^2 I)`.
In the eigenbasis :math:`S_k = U_k \operatorname{diag}(\lambda_k) U_k^\top` the covariance at any t is diagonal with
entries :math:`v_k(t) = \alpha_t^2 \lambda_k + \sigma_t^2`, so a separate t per point costs nothing extra.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time, alpha, column, sigma
from cmcore.targets.base import Parameters, Target, exactly

_CHUNK_ENTRIES = 1 << 18
"""Components × dimensions × points held at once: 2 MB in float64, which stays near the cache."""
_FAR = 1e140
"""Squares of what lies farther out have no number."""


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
        if torch.as_tensor(t).ndim:
            return exactly(lambda x, t: self._whitened(x, t)[0].logsumexp(0), x, t, self._rows)
        now = self._at(t, x)
        return exactly(lambda x, _: now.log_prob(x), x, t, now.rows)

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        self._require_density(t)
        if torch.as_tensor(t).ndim:
            return exactly(self._score, x, t, self._rows)
        now = self._at(t, x)
        return exactly(lambda x, _: now.score(x), x, t, now.rows)

    def responsibilities(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n k"]:
        """P(component k | X_t = x)."""
        self._require_density(t)
        return exactly(lambda x, t: self._whitened(x, t)[0].softmax(0).T, x, t, self._rows)

    def _at(self, t: Time, x: Tensor) -> "_AtOneTime":
        """The mixture at one time, float64, where x lives."""
        like = x.new_empty(0, 1, dtype=torch.float64)
        return _AtOneTime.of(self.parameters.like(like), column(t, like), shared=self._shared)

    def _score(self, x: Tensor, t: Time) -> Tensor:
        log_joint, pull = self._whitened(x, t)
        share = log_joint.softmax(0)[:, None, :]  # [K, 1, n]
        axes = self.parameters.like(x)[3]
        if axes is None:
            return -(share * pull).sum(0).T
        return -torch.einsum("kdn,ked->ne", share * pull, axes)

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
    def _rows(self) -> int:
        """Points at once where each has a time of its own."""
        return max(16, _CHUNK_ENTRIES // self.means.numel())


@dataclass(frozen=True)
class _AtOneTime:
    """A mixture at one time, by matrix products: log w_k N(x; k) is linear in x and its squares, or products x_i x_j.

    Coordinate by coordinate a component costs ten times as much. Around the middle of the law the terms may be
    thousands that cancel to a few, which float64 can afford. Where all components share one diagonal precision Λ the
    squares cancel, and are left out.

    Attributes:
        middle: of the law, [1, d].
        constant: the part of log w_k N(x; k) that does not depend on x, [K, 1].
        slope: Λ_k m_k, m_k the centre of component k from the middle, [K, d].
        precision: Λ_k, [K, d] or [K, d d]; [1, d] where it is shared.
        shared: whether it is.
    """

    middle: Float[Tensor, "1 d"]
    constant: Float[Tensor, "k 1"]
    slope: Float[Tensor, "k d"]
    precision: Float[Tensor, "precisions m"]
    shared: bool

    @classmethod
    def of(cls, parameters: tuple[Any, ...], t: Float[Tensor, "1 1"], *, shared: bool) -> "_AtOneTime":
        """From log w, μ, and the eigenvalues and axes of all covariances."""
        log_weights, means, variances, axes = parameters
        a, s = alpha(t), sigma(t)
        middle = a * (log_weights.exp() @ means)
        centre = a * means - middle
        precision = 1 / (a**2 * (variances[:1] if shared else variances) + s**2)
        log_scale = log_weights + (precision.log() - math.log(2 * math.pi)).sum(1) / 2
        if axes is None:
            slope = precision * centre
        else:
            full = (axes * precision[:, None]) @ axes.mT
            slope, precision = (full @ centre[:, :, None])[:, :, 0], full.flatten(1)
        return cls(middle, (log_scale - (centre * slope).sum(1) / 2)[:, None], slope, precision, shared)

    @property
    def rows(self) -> int:
        """Points at once: each has K terms, and as many squares as there are in a precision."""
        return max(64, _CHUNK_ENTRIES // max(self.slope.numel(), self.precision.shape[1]))

    def log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        joint, points = self._joint(x)
        rest = (self.precision @ points.square())[0] / -2 if self.shared else 0.0
        top = joint.detach().amax(0)
        # What is below e^-700 is nothing beside 1, and slow: its exponential has no normal float.
        log_sum = (joint - top).clamp(min=-700).exp().sum(0).log()
        return torch.where(x.detach().abs().amax(1) > _FAR, -math.inf, log_sum + top + rest)

    def score(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Σ_k P(k | x) Λ_k (m_k − x)."""
        joint, points = self._joint(x)
        share, d = joint.softmax(0), len(points)
        pull = self.slope.T @ share
        if self.shared:
            return pull.sub_(self.precision.T * points).T
        inward = self.precision.T @ share
        back = inward * points if len(inward) == d else (inward.reshape(d, d, -1) * points).sum(1)
        return pull.sub_(back).T

    def _joint(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "k n"], Float[Tensor, "d n"]]:
        """log w_k N(x; k), but for what all components share, and x from the middle."""
        points = (x - self.middle).T
        joint = torch.addmm(self.constant, self.slope, points)
        if not self.shared:
            diagonal = self.precision.shape[1] == len(points)
            squares = points.square() if diagonal else (points[:, None] * points).flatten(0, 1)
            joint = joint.addmm_(self.precision, squares, alpha=-0.5)
        return joint, points


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
