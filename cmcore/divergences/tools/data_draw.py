r"""Exact samples of the data, drawn more often where a mean over them gets its variance from.

Mass of p where q is thin carries most of the variance of a mean of log p/q: a component of weight 0.002 is met by one
sample of 512, or by none. So many samples are drawn first, which costs little, and sorted by a score, such as a guess
of log p/q, into strata; a few of each are measured, more of those with a high score (double sampling for
stratification, Neyman 1938; Cochran 1977, chapter 12). A wrong score costs spread and no bias.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.push_forward import log_determinant, log_standard_normal
from cmcore.nearest import Nearest
from cmcore.streams import stream
from cmcore.targets.base import Target

_SHARES = (0.001, 0.009, 0.09, 0.9)
"""Mass of each stratum, from where the model is thinnest."""
_MEASURED = (0.06, 0.10, 0.14, 0.70)
"""Share of the measured points in each."""
_POOL = 16
_FEWEST, _MOST = 1 << 14, 1 << 16
_TANGENTS = 1024
_NEAREST = 4
_PAIRS = 1 << 23


class Mean(NamedTuple):
    """A mean, its standard error, the degrees of freedom of that error, and the skewness of the mean."""

    value: float
    error: float
    freedom: float
    skewness: float = 0.0


@dataclass(frozen=True)
class DataDraw:
    """Samples of p by strata.

    Attributes:
        points: x, [n, d], float64.
        stratum: which stratum each belongs to, [n].
        sizes: how many of the first, larger draw fell in each stratum, [strata].
    """

    points: Float[Tensor, "n d"]
    stratum: Int[Tensor, " n"]
    sizes: Int[Tensor, " strata"]

    @property
    def weight(self) -> Float[Tensor, " n"]:
        """How many times as often each would be among as many plain samples; of mean 1."""
        measured = torch.bincount(self.stratum, minlength=len(self.sizes)).double()
        share = self.sizes.double() / self.sizes.sum()
        return (share / measured)[self.stratum] * len(self.points)

    def share(self, where: Tensor) -> float:
        """The share of the data for which something holds."""
        return float((self.weight * where).mean())

    def mean(self, values: Float[Tensor, " n"]) -> Mean:
        """E_p of values at the points: errors within strata, and of the sizes of the strata."""
        value, pool = float((self.weight * values).mean()), float(self.sizes.sum())
        parts = [_Part.of(values[self.stratum == h], size, pool) for h, size in enumerate(self.sizes.tolist())]
        total, third = 0.0, 0.0
        for part in parts:
            away = part.mean - value
            total += part.share * (part.variance + away**2)
            third += part.share * (part.third + 3 * part.variance * away + away**3)
        variances = [part.of_mean(2) for part in parts] + [total / pool]
        variance = sum(variances)
        counts = [max(1.0, part.n - 1) for part in parts] + [pool]
        freedom = variance**2 / max(1e-300, sum(v * v / k for v, k in zip(variances, counts, strict=True)))
        skewness = (sum(part.of_mean(3) for part in parts) + third / pool**2) / max(1e-300, variance**1.5)
        return Mean(value, math.sqrt(variance), max(1.0, freedom), skewness if variance > 0 else 0.0)


class _Part(NamedTuple):
    """One stratum: its share of the data, how many were measured of how many, and the moments of what was measured."""

    share: float
    n: int
    size: int
    mean: float
    variance: float
    third: float

    @classmethod
    def of(cls, values: Float[Tensor, " n"], size: int, pool: float) -> "_Part":
        n, mean = len(values), float(values.mean())
        variance = float(values.var()) if n > 1 else 0.0
        return cls(size / pool, n, size, mean, variance, float((values - mean).pow(3).mean()))

    def of_mean(self, order: int) -> float:
        """Its part of the second or third central moment of the mean, given how many fell in it."""
        moment = self.variance if order == 2 else self.third
        return self.share**order * moment * (self.n ** (1.0 - order) - self.size ** (1.0 - order))


def draw_data(
    target: Target,
    t: float,
    n: int,
    *,
    seed: int,
    score: Callable[[Float[Tensor, "m d"]], Float[Tensor, " m"]],
    purpose: str = "inverted data",
    pool: int | None = None,
) -> DataDraw:
    """About n samples of p_t, more of them where a score is high.

    Args:
        target: the truth.
        t: the time.
        n: how many are measured.
        seed: of the samples.
        score: points → where a mean gets its variance from, roughly; only the order matters.
        purpose: of the stream of random numbers.
        pool: how many are scored; by default 16 times as many as are measured.
    """
    size = pool or pool_size(n)
    points = target.sample(size, t=t, generator=stream(seed, purpose))
    scores = score(points).nan_to_num(nan=math.inf)
    # Equal scores go to one stratum or the next by chance: by their number, strata would differ in what is drawn first.
    lot = torch.randperm(size, generator=stream(seed, f"{purpose}, equal scores"))
    order = lot[scores[lot].argsort(descending=True, stable=True)]
    ends = torch.tensor([0.0, *_SHARES], dtype=torch.float64).cumsum(0).mul(size).round().long().tolist()
    chosen, stratum = [], []
    for h, share in enumerate(_MEASURED):
        # In the order in which they were drawn, which says nothing of where they are.
        mine = order[ends[h] : ends[h + 1]].sort().values[: max(2, round(share * n))]
        chosen.append(mine)
        stratum.append(torch.full_like(mine, h))
    return DataDraw(points[torch.cat(chosen)], torch.cat(stratum), torch.tensor(ends).diff())


def pool_size(n: int) -> int:
    """How many samples are scored where n are measured."""
    return min(_MOST, max(_FEWEST, _POOL * n))


def tangent_guess(composed: ComposedMap, noise: Float[Tensor, "m d"]) -> Callable[[Tensor], Tensor]:
    """log q by the tangents of the map at some noise: that of the best of the four images nearest to a point."""
    noise = noise[:_TANGENTS]
    images, jacobian = composed.with_jacobian(noise)
    _, log_volume = log_determinant(jacobian)
    inverse = torch.linalg.inv_ex(jacobian)[0]
    whole = torch.isfinite(inverse).flatten(1).all(1) & torch.isfinite(log_volume) & torch.isfinite(images).all(1)
    noise, images, inverse, log_volume = noise[whole], images[whole], inverse[whole], log_volume[whole]

    nearest = Nearest(images)

    def piece(x: Tensor) -> Tensor:
        near = nearest.index(x, _NEAREST)
        z = noise[near] + torch.einsum("nkij,nkj->nki", inverse[near], x[:, None] - images[near])
        log_q = log_standard_normal(z.flatten(0, 1)).reshape(near.shape) - log_volume[near]
        return log_q.amax(1)

    def guess(x: Tensor) -> Tensor:
        if not len(images):
            return torch.zeros(len(x), dtype=torch.float64)
        each = _NEAREST * x.shape[1] ** 2  # numbers that a point takes
        return torch.cat([piece(part) for part in x.split(max(1, _PAIRS // each))])

    return guess
