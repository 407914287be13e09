"""Starting noise for estimators: independent draws, or scrambled quasi-random points in the plane."""

import warnings

import torch
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

from cmcore.streams import stream

__all__ = ["SCRAMBLES", "noise_in_rows"]

SCRAMBLES = 16
"""Independent scramblings of a Sobol sequence; their spread gives the error."""


def noise_in_rows(n: int, dim: int, *, seed: int) -> Float[Tensor, "rows m {dim}"]:
    """About n draws of N(0, I), float64, as rows of which only the means are independent.

    In the plane: 16 rows, each a scrambled Sobol sequence of 2^k ≤ n/16 points, which cuts the error of a smooth
    mean ten-fold or more. Otherwise, or when n is small: n rows of one independent point each.
    """
    each = 1 << max(0, (n // SCRAMBLES).bit_length() - 1)
    if dim != 2 or each < 64:
        return torch.randn(n, 1, dim, generator=stream(seed, "estimator noise"), dtype=torch.float64)
    scrambler = stream(seed, "estimator scrambles")
    seeds = torch.randint(2**31 - 1, (SCRAMBLES,), generator=scrambler).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uniform = [qmc.Sobol(dim, scramble=True, rng=row).random(each) for row in seeds]
    # A scrambled point can be exactly 0, whose normal quantile is −∞.
    return torch.stack([torch.from_numpy(ndtri(u.clip(1e-12, 1 - 1e-12))) for u in uniform])
