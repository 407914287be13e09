r"""The difference of two KL divergences from one truth, with an interval.

Each interval holds its KL with 95 %, and the errors of the two may depend on each other, since they come from the same
noise. Whatever they have in common, the standard error of the difference is at most the sum of both, so that
:math:`[a_{low} - b_{high},\ a_{high} - b_{low}]` holds the difference with at least 95 %; also where one is a bracket.
"""

from dataclasses import dataclass

from cmcore.divergences.estimate import Estimate


@dataclass(frozen=True)
class Difference:
    """One KL minus another, in nats, with a 95 % interval for these two models."""

    value: float
    low: float
    high: float

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
    (low, high), (least, most) = _ends(first), _ends(second)
    return Difference(_value(first) - _value(second), low - most, high - least)


def _value(estimate: Estimate) -> float:
    """Not pulled up to 0 by what no divergence falls below: of two values near 0 that would hide which is less."""
    return estimate.diagnostics.get("unclipped", estimate.value)


def _ends(estimate: Estimate) -> tuple[float, float]:
    if estimate.value > estimate.floor:
        return estimate.low, estimate.high
    return 0.0, max(estimate.high, estimate.floor)
