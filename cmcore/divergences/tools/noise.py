r"""Starting noise for estimators: weighted towards the tails, and in the plane quasi-random.

A few points far out, where a network has seen little and where the ratio of two laws has its tail, carry most of the
variance of a KL. They are drawn more often and weighted less: if V is uniform, a radius whose tail probability is
:math:`V^2` has weight :math:`w = 2V \le 2`, and E[w g(z)] = E g(Z) for Z ~ N(0, I). With :math:`V^{3/2}` nominal 95 %
intervals were measured to cover 81 to 88 % where q misses a small component of p, with :math:`V^2` 95 %.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.special import chdtri
from torch import Tensor

from cmcore.streams import stream

Warp = Callable[[Float[Tensor, "*n 2"]], tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n"]]]
"""Even points of the unit square → points drawn more often somewhere, with their weights of mean 1."""

SCRAMBLES = 16
"""Independent scramblings of a Sobol sequence; their spread gives the error."""

_TAIL = 2.0


def weighted_noise(
    n: int, dim: int, *, seed: int, warp: Warp | None = None
) -> tuple[Float[Tensor, "rows m {dim}"], Float[Tensor, "rows m"]]:
    """About n noise points and weights, float64, as rows of which only the weighted means are independent.

    In the plane: 16 rows, each a scrambled Sobol sequence of 2^k ≤ n/16 points in polar coordinates, drawn more often
    where a warp says so. Otherwise, or when n is small: n rows of one independent point each.
    """
    each = 1 << max(0, (n // SCRAMBLES).bit_length() - 1)
    if dim == 2 and each >= 64:
        scrambles = torch.randint(2**31 - 1, (SCRAMBLES,), generator=stream(seed, "estimator scrambles")).tolist()
        engines = [torch.quasirandom.SobolEngine(2, scramble=True, seed=row) for row in scrambles]
        uniform = torch.stack([engine.draw(each, dtype=torch.float64) for engine in engines])
        uniform, drawn = warp(uniform) if warp else (uniform, 1.0)
        noise, weight = polar_noise(uniform)
        return noise, drawn * weight
    generator = stream(seed, "estimator noise")
    level = torch.rand(n, 1, generator=generator, dtype=torch.float64)
    direction = torch.randn(n, 1, dim, generator=generator, dtype=torch.float64)
    return _at_level(level, direction / direction.norm(dim=-1, keepdim=True))


def polar_noise(uniform: Float[Tensor, "*n 2"]) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n"]]:
    """Noise in the plane and its weight, from a level V and an angle in turns."""
    angle = 2 * torch.pi * uniform[..., 1]
    return _at_level(uniform[..., 0], torch.stack([angle.cos(), angle.sin()], dim=-1))


def _at_level(level: Float[Tensor, "*n"], direction: Float[Tensor, "*n d"]) -> tuple[Tensor, Tensor]:
    """Noise whose radius has the tail probability V², and its weight 2V."""
    level = level.clamp(1e-12, 1 - 1e-12)
    radius = torch.from_numpy(chdtri(direction.shape[-1], (level**_TAIL).numpy())).sqrt()
    return radius[..., None] * direction, _TAIL * level ** (_TAIL - 1)
