r"""Starting noise for estimators: weighted towards the tails, and in the plane quasi-random.

A few points far out, where a network has seen little, carry most of the variance of a KL. They are drawn more often
and weighted less: if V is uniform, a radius whose tail probability is :math:`V^{3/2}` has weight
:math:`w = \tfrac32 V^{1/2} \le 3/2`, and E[w g(z)] = E g(Z) for Z ~ N(0, I). Measured on learned
maps of the eight Gaussians, this halves the standard error at 8 and 16 jumps.
"""

import torch
from jaxtyping import Float
from scipy.stats import chi2, qmc
from torch import Tensor

from cmcore.streams import stream

__all__ = ["SCRAMBLES", "weighted_noise"]

SCRAMBLES = 16
"""Independent scramblings of a Sobol sequence; their spread gives the error."""

_TAIL = 1.5


def weighted_noise(n: int, dim: int, *, seed: int) -> tuple[Float[Tensor, "rows m {dim}"], Float[Tensor, "rows m"]]:
    """About n noise points and weights, float64, as rows of which only the weighted means are independent.

    In the plane: 16 rows, each a scrambled Sobol sequence of 2^k ≤ n/16 points in polar coordinates. Otherwise, or
    when n is small: n rows of one independent point each.
    """
    each = 1 << max(0, (n // SCRAMBLES).bit_length() - 1)
    if dim == 2 and each >= 64:
        scrambles = torch.randint(2**31 - 1, (SCRAMBLES,), generator=stream(seed, "estimator scrambles")).tolist()
        rows = [qmc.Sobol(2, scramble=True, rng=row).random(each) for row in scrambles]
        uniform = torch.stack([torch.from_numpy(row) for row in rows])
        angle = 2 * torch.pi * uniform[..., 1]
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        level = uniform[..., 0]
    else:
        generator = stream(seed, "estimator noise")
        level = torch.rand(n, 1, generator=generator, dtype=torch.float64)
        direction = torch.randn(n, 1, dim, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
    level = level.clamp(1e-12, 1 - 1e-12)
    radius = torch.from_numpy(chi2.isf((level**_TAIL).numpy(), dim)).sqrt()
    return radius[..., None] * direction, _TAIL * level ** (_TAIL - 1)
