r"""KL(data‖histogram of samples), the estimator of published tables of two-dimensional toys.

It is there to compare with those tables, and never chosen for a reader: a histogram of true samples scores as high as a
good model does, so it comes with that score.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, Estimate, Estimator
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

ESTIMATORS.register("histogram")(
    Estimator("histogram", "The data's density against a histogram of samples: coarse, for comparison with others.")
)

_WITHIN_A_BIN = 8
"""Points along each side of a bin at which the data's density is evaluated."""


@piecewise()
def kl_histogram(
    points: Float[Tensor, "n 2"],
    target: Target,
    *,
    half_width: float,
    seed: int,
    delta: float = 0.0,
    bins: int = 50,
    added: float = 0.5,
    binned: bool = False,
) -> Estimate:
    r"""KL(p_δ‖q̂) in nats, q̂ a histogram of the samples.

    .. math:: \sum_b \int_b p \log\frac{p}{\hat q_b}, \quad \hat q_b = \frac{n_b + a}{(n + a B)\,|b|}

    by the midpoint rule on 8 × 8 points a bin. The interval is that of the counts alone; the bias of the bins and of a
    finite sample, which is most of the value for a good model, is what `floor` says: the score of as many exact
    samples. Boffi et al. 2025 (arXiv:2505.18825) use 64,000 samples on 50 × 50 bins.

    Args:
        points: samples of the model at time δ.
        target: the truth, d = 2.
        half_width: the bins cover [−half_width, half_width]².
        seed: of the exact samples.
        delta: δ.
        bins: along each axis; B = bins².
        added: a, the part of a count added to each bin.
        binned: compare with the data's mass in each bin rather than with its density inside it.
    """
    if target.dim != 2:
        raise ValueError(f"The histogram is made for d = 2; {target.name} has d = {target.dim}.")
    if added <= 0 or bins < 2 or half_width <= 0:
        raise ValueError("A histogram needs added > 0, at least 2 bins along an axis and half_width > 0.")
    area = (2 * half_width / bins) ** 2
    negative_entropy, mass = _density(target, half_width, delta, bins)
    if binned:
        negative_entropy = float(torch.special.xlogy(mass, mass / area).sum())
    scores = []
    for x in (points, target.sample(len(points), t=delta, generator=stream(seed, "histogram"))):
        counts = _counts(x.double().cpu(), half_width, bins) + added
        q = counts / (len(x) + added * bins**2) / area
        variance = float((mass**2 / counts).sum()) - float(mass.sum()) ** 2 / len(x)
        scores.append((negative_entropy - float((mass * q.log()).sum()), 1.96 * max(0.0, variance) ** 0.5))
    (value, half), (floor, _) = scores
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        direction=DATA_MODEL,
        delta=delta,
        estimator="histogram",
        n=len(points),
        floor=floor,
        note=f"Exact samples score {floor:.3g} here: compare with that, not with 0.",
    )


def _density(target: Target, half_width: float, delta: float, bins: int) -> tuple[float, Tensor]:
    """∫ p log p over the square, and the mass of p in each bin."""
    fine = bins * _WITHIN_A_BIN
    cell = 2 * half_width / fine
    axis = -half_width + cell * (torch.arange(fine, dtype=torch.float64) + 0.5)
    log_p = torch.cat([target.log_prob(torch.cartesian_prod(row, axis), delta) for row in axis.split(_WITHIN_A_BIN)])
    p = log_p.exp() * cell**2
    mass = p.view(bins, _WITHIN_A_BIN, bins, _WITHIN_A_BIN).sum((1, 3))
    return float(torch.where(p > 0, p * log_p, 0.0).sum()), mass


def _counts(points: Float[Tensor, "n 2"], half_width: float, bins: int) -> Float[Tensor, "b b"]:
    """Samples in each bin; those outside all bins are in none."""
    index = ((points + half_width) / (2 * half_width) * bins).floor().long()
    inside = ((index >= 0) & (index < bins)).all(1)
    flat = index[inside, 0] * bins + index[inside, 1]
    return torch.bincount(flat, minlength=bins**2).double().view(bins, bins)
