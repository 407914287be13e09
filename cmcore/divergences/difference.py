r"""The difference of two KL divergences from one truth, with an interval.

Where both estimates come from independent rows of noise, those of one place are paired: the spread of their differences
is the error, whatever the two have in common. With one seed they have the noise in common, which narrows it.

What an interval holds beyond the spread of its rows (a bracket, a skew, all of it where there are no rows) is added on
either side: the standard error of a difference is at most the sum of both. Without rows that leaves
:math:`[a_{low} - b_{high},\ a_{high} - b_{low}]`, which holds the difference with at least 95 %.
"""

import math
import statistics
from dataclasses import dataclass

from cmcore.divergences.estimate import Estimate
from cmcore.divergences.tools.log_ratio import quantile


@dataclass(frozen=True)
class Difference:
    """One KL minus another, in nats, with a 95 % interval for these two models.

    Attributes:
        value: the difference.
        low, high: its interval.
        paired: whether it comes from rows of noise side by side, and not from both intervals alone.
    """

    value: float
    low: float
    high: float
    paired: bool

    @property
    def resolved(self) -> bool:
        """Whether the two can be told apart."""
        return self.low > 0 or self.high < 0


def kl_difference(first: Estimate, second: Estimate) -> Difference | None:
    """The KL of `first` minus that of `second`; None where one of them is no number to trust.

    An estimate that its estimator cannot tell from zero counts as anything between 0 and its floor.
    """
    if (first.direction, first.delta) != (second.direction, second.delta):
        raise ValueError(
            f"Only one kind of KL has differences: here are {first.direction} at δ = {first.delta:g} and "
            f"{second.direction} at δ = {second.delta:g}."
        )
    if not (first.trusted and second.trusted):
        return None
    value = first.value - second.value
    paired = 1 < len(first.replicates) == len(second.replicates)
    half = 0.0
    if paired:
        half = _half_width([a - b for a, b in zip(first.replicates, second.replicates, strict=True)])
    (below, above), (under, over) = _beyond(first, paired=paired), _beyond(second, paired=paired)
    return Difference(value, value - half - below - over, value + half + above + under, paired)


def _beyond(estimate: Estimate, *, paired: bool) -> tuple[float, float]:
    """How far its interval reaches on either side beyond the spread of its rows."""
    low, high = estimate.low, estimate.high
    if estimate.value <= estimate.floor:
        low, high = 0.0, max(high, estimate.floor)
    half = _half_width(estimate.replicates) if paired else 0.0
    return max(0.0, estimate.value - low - half), max(0.0, high - estimate.value - half)


def _half_width(rows: tuple[float, ...] | list[float]) -> float:
    return quantile(len(rows)) * statistics.stdev(rows) / math.sqrt(len(rows))
