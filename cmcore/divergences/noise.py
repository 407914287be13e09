r"""Starting noise for estimators: weighted towards the tails, and in the plane quasi-random.

A few points far out, where a network has seen little and where the ratio of two laws has its tail, carry most of the
variance of a KL. They are drawn more often and weighted less: if V is uniform, a radius whose tail probability is
:math:`V^2` has weight :math:`w = 2V \le 2`, and E[w g(z)] = E g(Z) for Z ~ N(0, I). With :math:`V^{3/2}` nominal 95 %
intervals were measured to cover 81 to 88 % where q misses a small component of p, with :math:`V^2` 95 %.
"""

import torch
from jaxtyping import Float
from scipy.special import chdtri
from torch import Tensor

from cmcore.streams import stream

__all__ = ["SCRAMBLES", "weighted_noise"]

SCRAMBLES = 16
"""Independent scramblings of a Sobol sequence; their spread gives the error."""

_TAIL = 2.0


def weighted_noise(n: int, dim: int, *, seed: int) -> tuple[Float[Tensor, "rows m {dim}"], Float[Tensor, "rows m"]]:
    """About n noise points and weights, float64, as rows of which only the weighted means are independent.

    In the plane: 16 rows, each a scrambled Sobol sequence of 2^k ≤ n/16 points in polar coordinates. Otherwise, or
    when n is small: n rows of one independent point each.
    """
    each = 1 << max(0, (n // SCRAMBLES).bit_length() - 1)
    if dim == 2 and each >= 64:
        scrambles = torch.randint(2**31 - 1, (SCRAMBLES,), generator=stream(seed, "estimator scrambles")).tolist()
        engines = [torch.quasirandom.SobolEngine(2, scramble=True, seed=row) for row in scrambles]
        uniform = torch.stack([engine.draw(each, dtype=torch.float64) for engine in engines])
        angle = 2 * torch.pi * uniform[..., 1]
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        level = uniform[..., 0]
    else:
        generator = stream(seed, "estimator noise")
        level = torch.rand(n, 1, generator=generator, dtype=torch.float64)
        direction = torch.randn(n, 1, dim, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
    level = level.clamp(1e-12, 1 - 1e-12)
    radius = torch.from_numpy(chdtri(dim, (level**_TAIL).numpy())).sqrt()
    return radius[..., None] * direction, _TAIL * level ** (_TAIL - 1)
