r"""The Ornstein–Uhlenbeck process and its time coordinates.

The forward process :math:`dX = -X\,dt + \sqrt 2\,dB` has :math:`X_t = \alpha_t X_0 + \sigma_t Z` with
:math:`\alpha_t = e^{-t}` and :math:`\sigma_t = \sqrt{1 - e^{-2t}}`: data at t = 0, noise at large t. Four coordinates
name the same instant:

========================  =================================  ====================================
coordinate                from t                             back to t
========================  =================================  ====================================
time t                    t                                  t
angle θ (TrigFlow)        arccos e^{-t}                      −log cos θ
log-SNR                   log(α²/σ²) = −log(e^{2t} − 1)      ½ log(1 + e^{−logSNR})
noise level σ/α (EDM)     √(e^{2t} − 1) = tan θ              ½ log(1 + (σ/α)²)
========================  =================================  ====================================

Every function takes and returns tensors of any shape, and keeps dtype and device.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

Time = float | int | Float[Tensor, ""] | Float[Tensor, " n"]
"""A time: one number for the whole batch, or one per sample."""


def alpha(t: Tensor) -> Tensor:
    """Signal coefficient α_t = e^{-t}."""
    return torch.exp(-t)


def sigma(t: Tensor) -> Tensor:
    """Noise coefficient σ_t = √(1 − e^{-2t}), accurate for small t."""
    return torch.sqrt(-torch.expm1(-2 * t))


def angle(t: Tensor) -> Tensor:
    """Angle θ = arccos e^{-t} in [0, π/2), in any precision; cos θ = α_t and sin θ = σ_t."""
    return round_angle(torch.atan2(sigma(t), alpha(t)), t.dtype)


def round_angle(theta: Tensor, dtype: torch.dtype) -> Tensor:
    """Angles in [0, π/2) in this dtype, still below π/2.

    The number nearest to π/2 lies above it in single precision, and from T = 17.9 on θ_T is rounded to it: there the
    cosine and the tangent are negative. The largest number below π/2 is taken instead, 8e-8 away.
    """
    return theta.to(dtype).clamp(max=_largest_angle(dtype))


@lru_cache
def _largest_angle(dtype: torch.dtype) -> float:
    nearest = float(torch.tensor(math.pi / 2, dtype=dtype))
    return nearest if nearest <= math.pi / 2 else nearest - torch.finfo(dtype).eps


def time_from_angle(theta: Tensor) -> Tensor:
    """t = −log cos θ, accurate for small θ (through cos θ = 1 − 2 sin²(θ/2)) and near π/2."""
    theta = round_angle(theta, theta.dtype)
    cosine = theta.cos()
    return torch.where(cosine > 0.5, -torch.log1p(-2 * torch.sin(theta / 2) ** 2), -torch.log(cosine))


def log_snr(t: Tensor) -> Tensor:
    """log(α_t²/σ_t²), in nats; +∞ at t = 0."""
    return -torch.log(torch.expm1(2 * t))


def time_from_log_snr(value: Tensor) -> Tensor:
    """t = ½ log(1 + e^{−logSNR})."""
    return torch.logaddexp(-value, torch.zeros_like(value)) / 2


def noise_level(t: Tensor) -> Tensor:
    """σ_t/α_t = √(e^{2t} − 1) = tan θ, the noise level of variance-exploding models."""
    return torch.sqrt(torch.expm1(2 * t))


def time_from_noise_level(level: Tensor) -> Tensor:
    """t = ½ log(1 + (σ/α)²)."""
    return torch.log1p(level**2) / 2


def as_time(t: Time, x: Tensor) -> Tensor:
    """The time(s) t in the dtype and on the device of x.

    A number is written there as a constant: a copy from the CPU would wait until a GPU has done all it was asked for.
    """
    if isinstance(t, int | float):
        return torch.full((), t, dtype=x.dtype, device=x.device)
    return torch.as_tensor(t, dtype=x.dtype, device=x.device)


def some_at_zero(t: Time) -> bool:
    """Whether a time is 0 or below. Only what the CPU holds is looked at: a look at a GPU's tensor would stop it."""
    if isinstance(t, Tensor):
        return t.device.type == "cpu" and bool((t <= 0).any())
    return t <= 0


def all_at_zero(t: Time) -> bool:
    """Whether every time is 0 or below, as far as it can be seen without stopping a GPU."""
    if isinstance(t, Tensor):
        return t.device.type == "cpu" and bool((t <= 0).all())
    return t <= 0


def column(t: Time, x: Float[Tensor, "*s n d"]) -> Tensor:
    """The time(s) t in the dtype and on the device of x, shaped (1, 1) or (n, 1) to broadcast over coordinates."""
    time = as_time(t, x)
    if time.ndim == 0:
        return time.reshape(1, 1)
    if time.shape != x.shape[-2:-1]:
        raise ValueError(f"t has {tuple(time.shape)} values for {x.shape[-2]} points; give one time, or one per point.")
    return time[:, None]


def forward_noise(x: Float[Tensor, "n d"], t: Time, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """A draw of α_t x + σ_t z with fresh z ~ N(0, I): the forward process run for a time t from x."""
    time = column(t, x)
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return alpha(time) * x + sigma(time) * z
