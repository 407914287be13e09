r"""Metrics: how an error e of the network's answer becomes a number.

=============  ====================================  ======================================================
metric         of e, |e|² = Σ e²                     known from
=============  ====================================  ======================================================
l2             |e|²                                  everywhere
pseudo_huber   √(|e|² + c²) − c                      iCT (Song & Dhariwal 2023, arXiv:2310.14189)
adaptive       |e|²/sg(|e|² + c)                     MeanFlow with p = 1 (Geng et al. 2025, arXiv:2505.13447)
unit           |e|²/sg(|e| + c)                      normalised tangents of sCM (Lu & Song 2024, arXiv:2410.11081)
=============  ====================================  ======================================================

sg is the stop-gradient: the gradient of "unit" with respect to e is 2e/(|e| + c), of bounded length.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Metric = Literal["l2", "pseudo_huber", "adaptive", "unit"]


def distance(error: Float[Tensor, "*n d"], metric: Metric, scale: float) -> Float[Tensor, "*n 1"]:
    """The metric of each row, c = scale."""
    return distance_and_slope(error, metric, scale)[0]


def distance_and_slope(
    error: Float[Tensor, "*n d"], metric: Metric, scale: float
) -> tuple[Float[Tensor, "*n 1"], Float[Tensor, "*n d"]]:
    """The metric of each row, and its gradient with respect to e."""
    squared = error.square().sum(-1, keepdim=True)
    if metric == "l2":
        return squared, 2 * error
    if metric == "pseudo_huber":
        root = (squared + scale**2).sqrt()
        return root - scale, error / root
    size = squared.detach() + scale if metric == "adaptive" else squared.detach().sqrt() + scale
    return squared / size, 2 * error / size
