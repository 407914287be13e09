r"""Distances between two samples in any dimension, each beside what two samples of one law would show.

With A, B and C the means of a kernel h over pairs (x, y), (x, x') and (y, y'), no row paired with itself,

* energy distance 2A − B − C with h = |x − y| (Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018);
* MMD² B + C − 2A with a Gaussian kernel (Gretton et al. 2012), whose bandwidth is the median distance or a quarter of
  it, which sees finer differences;
* sliced W₂²: the mean over random directions θ of the squared Wasserstein distance between θ·x and θ·y, which in one
  dimension joins the sorted values (Rabin et al. 2012, doi:10.1007/978-3-642-24785-9_37). It is biased upward.

None is a KL, and none is 0 for a finite sample. The band around "no difference" is that of 200 random exchanges of
rows between the two samples; the interval is a jackknife over ten blocks of rows. At 2,000 rows a KL of 0.01 nats is
inside the band: these tell good models from bad ones, and good ones from each other only with many rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cmcore.divergences.estimate import ESTIMATORS, Estimator
from cmcore.divergences.tools.log_ratio import quantile
from cmcore.divergences.tools.rows import two_samples
from cmcore.streams import stream
from cmcore.threads import piecewise

ESTIMATORS.register("energy_distance")(
    Estimator("energy distance", "How much farther rows are from the other sample than from their own; any d.")
)
ESTIMATORS.register("mmd")(
    Estimator(
        "MMD²", "How unlike two samples are to a Gaussian kernel of the median distance, or a quarter of it; any d."
    )
)
ESTIMATORS.register("sliced_wasserstein")(
    Estimator("sliced W₂²", "Squared transport distance of two samples along a line, averaged over lines; any d.")
)

FEWEST_ROWS = 40
MOST_ROWS = 2_000
"""Rows of each sample that are compared pair by pair; memory grows as the square."""

_BLOCKS = 10
_EXCHANGES = 200
_DIRECTIONS = 50
_THINNED = 4
"""Of the pairs, every sixteenth is enough for their median."""

Membership = Bool[Tensor, "k rows"]
"""k ways to choose rows of the pooled sample."""
Statistic = Callable[[Membership, Membership], Float[Tensor, " k"]]
"""A distance as a function of which pooled rows are one sample and which the other."""


@dataclass(frozen=True)
class Distance:
    """A distance between two samples, in its own unit, beside what two samples of one law would show.

    Attributes:
        value: the distance; a U-statistic may be negative.
        low, high: a 95 % interval.
        null_low, null_high: where it would lie in 95 % of cases if both samples came from one law.
        n: rows of each sample.
        name: the registered name.
        label: for people.
        unit: of the value.
        note: one sentence on what to know; may be empty.
    """

    value: float
    low: float
    high: float
    null_low: float
    null_high: float
    n: int
    name: str
    label: str
    unit: str
    note: str = ""

    @property
    def difference_seen(self) -> bool:
        """Whether the value lies above what one law would show; by chance it does once in forty times."""
        return self.value > self.null_high


@piecewise()
def energy_distance(points: Float[Tensor, "n d"], data: Float[Tensor, "m d"], *, seed: int) -> Distance:
    """The energy distance 2 E|x − y| − E|x − x'| − E|y − y'| of two samples, in units of length; 0 for equal laws.

    Args:
        points: samples of the model.
        data: samples of the data, independent of the points.
        seed: of the choice and the exchange of rows.
    """
    pooled = _pooled(points, data, seed)
    statistic = _u_statistic(_pair_distances(pooled))
    return _distance(statistic, len(pooled), seed, "energy_distance", "energy distance", "length")


@piecewise()
def mmd(points: Float[Tensor, "n d"], data: Float[Tensor, "m d"], *, seed: int, bandwidth: float = 1.0) -> Distance:
    """MMD² of two samples for the kernel exp(−|x − y|²/2b²), b a share of the median distance between rows.

    Args:
        points: samples of the model.
        data: samples of the data, independent of the points.
        seed: of the choice and the exchange of rows.
        bandwidth: b as a share of the median distance.
    """
    if bandwidth <= 0:
        raise ValueError(f"The bandwidth is a positive share of the median distance; got {bandwidth:g}.")
    pooled = _pooled(points, data, seed)
    distances = _pair_distances(pooled)
    b = bandwidth * float(distances[::_THINNED, 1::_THINNED].median())
    if b == 0:
        raise ValueError("Most rows are one and the same point, so there is no bandwidth: use the energy distance.")
    kernel = torch.exp(distances.square() / (-2 * b**2))
    label = "MMD²" if bandwidth == 1 else f"MMD², {bandwidth:g} × the median distance"
    return _distance(_u_statistic(-kernel), len(pooled), seed, "mmd", label, "1", f"Gaussian kernel, b = {b:.3g}.")


@piecewise()
def sliced_wasserstein(
    points: Float[Tensor, "n d"], data: Float[Tensor, "m d"], *, seed: int, directions: int = _DIRECTIONS
) -> Distance:
    """Sliced W₂² of two samples, in units of length squared, biased upward by about the middle of the band.

    Args:
        points: samples of the model.
        data: samples of the data, independent of the points.
        seed: of the directions and of the choice and the exchange of rows.
        directions: how many lines; in one dimension one is all there is.
    """
    pooled = _pooled(points, data, seed)
    d = pooled.shape[1]
    lines = torch.randn(d, 1 if d == 1 else directions, generator=stream(seed, "slices"), dtype=torch.float64)
    statistic = _sliced(pooled @ (lines / lines.norm(dim=0)))
    return _distance(statistic, len(pooled), seed, "sliced_wasserstein", "sliced W₂²", "length²")


# ---- the statistics, for many choices of rows at once ---------------------------------------------------------------
def _u_statistic(h: Float[Tensor, "rows rows"]) -> Statistic:
    """2A − B − C from all pairs; h(x, x) is left out of B and C."""
    own = h.diagonal()

    def statistic(first: Membership, second: Membership) -> Tensor:
        x, y = first.double(), second.double()
        n, m = x.sum(1), y.sum(1)
        from_x, from_y = x @ h, y @ h
        within_x = ((from_x * x).sum(1) - x @ own) / (n * (n - 1))
        within_y = ((from_y * y).sum(1) - y @ own) / (m * (m - 1))
        return 2 * (from_x * y).sum(1) / (n * m) - within_x - within_y

    return statistic


def _sliced(along: Float[Tensor, "rows lines"]) -> Statistic:
    """The mean squared difference of sorted values along each line; the two samples must be equally large."""
    order = np.argsort(along.numpy().T, axis=1)
    values = np.take_along_axis(along.numpy().T, order, axis=1)

    def statistic(first: Membership, second: Membership) -> Tensor:
        means = []
        for x, y in zip(first.numpy(), second.numpy(), strict=True):
            # Sorted once: choosing rows in that order leaves them sorted.
            difference = values[x[order]] - values[y[order]]
            means.append(np.square(difference).mean())
        return torch.tensor(means, dtype=torch.float64)

    return statistic


def _pair_distances(pooled: Float[Tensor, "rows d"]) -> Float[Tensor, "rows rows"]:
    """|x − y| of all pairs. The expanded square would lose the small ones to rounding."""
    return torch.cdist(pooled, pooled, compute_mode="donot_use_mm_for_euclid_dist")


# ---- from a statistic to a distance ---------------------------------------------------------------------------------
def _pooled(points: Tensor, data: Tensor, seed: int) -> Float[Tensor, "rows d"]:
    """Equally many rows of both, chosen at random, the points first."""
    points, data = two_samples(points, data, fewest=FEWEST_ROWS)
    n = min(len(points), len(data), MOST_ROWS) // _BLOCKS * _BLOCKS
    generator = stream(seed, "rows compared")
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)[:n]] for rows in (points, data)])


def _distance(  # noqa: PLR0917
    statistic: Statistic, rows: int, seed: int, name: str, label: str, unit: str, note: str = ""
) -> Distance:
    """The statistic, its jackknife over ten blocks of rows of both samples, and its band under random exchanges."""
    n = rows // 2
    place = torch.arange(rows)
    points = (place < n)[None]
    value = float(statistic(points, ~points))
    retained = place % n % _BLOCKS != torch.arange(_BLOCKS)[:, None]
    without = statistic(retained & points, retained & ~points)
    half = quantile(_BLOCKS) * math.sqrt((_BLOCKS - 1) * float(without.var(correction=0)))
    generator = stream(seed, "exchanged rows")
    exchanged = torch.stack([torch.randperm(rows, generator=generator) < n for _ in range(_EXCHANGES)])
    null = np.quantile(statistic(exchanged, ~exchanged).numpy(), [0.025, 0.975])
    return Distance(value, value - half, value + half, float(null[0]), float(null[1]), n, name, label, unit, note)
