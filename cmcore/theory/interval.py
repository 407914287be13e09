"""A value with its 95 % interval, as the bounds add them up."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from cmcore.divergences.tools.data_draw import Mean
from cmcore.divergences.tools.log_ratio import interval

_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class Interval:
    """A value with a 95 % interval, in the unit of the value."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """The interval of a positive multiple."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def __add__(self, other: "Interval") -> "Interval":
        """The interval of the sum, ends added: right however the two errors are correlated."""
        return Interval(self.value + other.value, self.low + other.low, self.high + other.high)

    def root(self) -> "Interval":
        """The interval of the square root: a root mean square from a mean square."""
        return Interval(math.sqrt(self.value), math.sqrt(self.low), math.sqrt(self.high))


def mean(values: Float[Tensor, " n"]) -> Interval:
    """The mean of n independent draws of something that is never negative."""
    centre, spread, n = float(values.mean()), float(values.std()), len(values)
    third = float((values - centre).pow(3).mean())
    skewness = third / (spread**3 * math.sqrt(n)) if spread > 0 else 0.0
    return of_mean(Mean(centre, spread / math.sqrt(n), n - 1.0, skewness))


def of_mean(mean: Mean) -> Interval:
    """A mean of something that is never negative, with its interval."""
    low, high = interval(mean)
    return Interval(mean.value, max(0.0, low), high)


def share(count: int, n: int) -> Interval:
    """The share count/n of n independent draws, with Wilson's interval: right at 0 and at n too (Wilson 1927)."""
    if not 0 <= count <= n or n < 1:
        raise ValueError(f"A share needs 0 ≤ count ≤ n and n ≥ 1; got {count} of {n}.")
    p, spread = count / n, _Z**2 / n
    centre = (p + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def largest(intervals: list[Interval]) -> Interval:
    """The largest of several quantities: its value and both its ends are the largest of theirs.

    The noise of each only lifts the largest value, so that a bound made of it errs upward.
    """
    return Interval(*(max(getattr(interval, end) for interval in intervals) for end in ("value", "low", "high")))
