r"""Mixtures of uniform circles in the plane, with or without thickness, exact at every noise level.

Blurred to variance v, the uniform law on the circle of radius R around c has the density

.. math:: \frac{1}{2\pi v} \exp\Bigl(-\frac{\rho^2 + R^2}{2v}\Bigr) I_0\Bigl(\frac{\rho R}{v}\Bigr),
          \qquad \rho = |x - c|,

with I₀ the modified Bessel function, computed in its exponentially scaled form.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time, alpha, column, sigma
from cmcore.targets.base import Parameters, Target, exactly

_CHUNK_ENTRIES = 1 << 18


class CircleMixture(Target):
    r"""The mixture of uniform laws on circles, each blurred by N(0, ς² I) where ς is its thickness.

    Args:
        weights: w, [K], positive; normalised to sum 1.
        centres: [K, 2].
        radii: R ≥ 0, one number or [K].
        thickness: ς ≥ 0, one number or [K]. With 0 the law lives on a curve: no density at t = 0.
        name: what people call it.

    Raises:
        ValueError: shapes that do not fit, weights that are not positive, negative radii or thickness.
    """

    dim = 2

    def __init__(self, weights, centres, radii, thickness=0.0, *, name: str = "circle_mixture") -> None:  # noqa: ANN001
        self.name = name
        self.weights, self.centres, self.radii, self.variances = _checked(weights, centres, radii, thickness)
        self.has_density = self.smooth = float(self.variances.min()) > 0
        radii, variances = self.radii[:, None], self.variances[:, None]
        self.parameters = Parameters(self.weights.log(), self.centres, radii, variances)

    # ---- density and score --------------------------------------------------------------------------------------
    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, " n"]:
        self._require_density(t)
        return exactly(lambda x, t: self._log_joint(x, t)[0].logsumexp(0), x, t, self._chunk)

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        self._require_density(t)
        return exactly(self._score, x, t, self._chunk)

    def _score(self, x: Tensor, t: Time) -> Tensor:
        log_joint, offset, pull = self._log_joint(x, t)
        return -(log_joint.softmax(0)[:, None] * pull[:, None] * offset).sum(0).T

    def _log_joint(self, x: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k p_t(x | circle k), [K, n]; x − α c_k, [K, 2, n]; and how strongly that offset pulls back, [K, n]."""
        log_weights, centres, radii, variances = self.parameters.like(x)
        time = column(t, x).T
        a, s = alpha(time), sigma(time)
        v, radius = a**2 * variances + s**2, a * radii
        offset = x.T[None] - a * centres[:, :, None]
        # The floor keeps the gradient of |x − c| finite at the centre, where it is multiplied by 0.
        distance = offset.square().sum(1).clamp(min=1e-60).sqrt()
        kappa = distance * radius / v
        i0, i1 = torch.special.i0e(kappa), torch.special.i1e(kappa)
        log_density = i0.log() - (distance - radius) ** 2 / (2 * v) - v.log() - math.log(math.tau)
        pull = (1 - radius * i1 / (i0 * distance)) / v
        return log_weights[:, None] + log_density, offset, pull

    # ---- sampling and moments -----------------------------------------------------------------------------------
    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        device = generator.device
        weights, centres, radii, variances = (
            v.to(device) for v in (self.weights, self.centres, self.radii, self.variances)
        )
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        phase = math.tau * torch.rand(n, generator=generator, dtype=torch.float64, device=device)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64, device=device)
        ring = radii[which, None] * torch.stack([phase.cos(), phase.sin()], dim=1)
        return centres[which] + ring + variances[which, None].sqrt() * noise

    @property
    def components(self) -> int:
        return len(self.weights)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.weights @ self.centres

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        centred = self.centres - self.mean
        within = self.weights @ (self.radii**2 / 2 + self.variances)
        return within * torch.eye(2, dtype=torch.float64) + (self.weights * centred.T) @ centred

    @property
    def _chunk(self) -> int:
        return max(256, _CHUNK_ENTRIES // len(self.weights))


def _checked(weights, centres, radii, thickness) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ANN001
    weights, centres, radii, thickness = (
        torch.as_tensor(v, dtype=torch.float64).cpu() for v in (weights, centres, radii, thickness)
    )
    if centres.ndim != 2 or centres.shape[1] != 2 or weights.shape != centres.shape[:1] or not len(weights):
        raise ValueError(
            f"Circles need weights [K] and centres [K, 2]; got {tuple(weights.shape)} and {tuple(centres.shape)}."
        )
    if radii.shape not in ((), weights.shape) or thickness.shape not in ((), weights.shape):
        raise ValueError("Radii and thickness are each one number, or one per circle.")
    if not all(bool(torch.isfinite(v).all()) for v in (weights, centres, radii, thickness)):
        raise ValueError("Weights, centres, radii and thickness must be finite numbers.")
    if not bool((weights > 0).all()) or bool((radii < 0).any()) or bool((thickness < 0).any()):
        raise ValueError("Weights must be positive; radii and thickness must not be negative.")
    return weights / weights.sum(), centres, radii.expand(weights.shape), thickness.expand(weights.shape) ** 2
