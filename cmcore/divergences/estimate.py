r"""What an estimate is: a value with its interval, its estimator, and whether it can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as shortened
from typing import Literal

from cmcore.registry import Registry

Direction = Literal["KL(model‖data)", "KL(data‖model)"]
"""KL(q‖p_δ) weighs errors where the model puts mass; KL(p_δ‖q) where the data does."""

MODEL_DATA: Direction = "KL(model‖data)"
DATA_MODEL: Direction = "KL(data‖model)"


def _spellings(direction: Direction, first: str, then: str) -> dict[str, Direction]:
    kinds = (f"kl({first}‖{then})", f"kl({first}||{then})", f"kl({first}∥{then})", f"{first}-{then}", f"{first}_{then}")
    return dict.fromkeys(kinds, direction)


_SPELLINGS = _spellings(MODEL_DATA, "model", "data") | _spellings(DATA_MODEL, "data", "model")


def direction_of(name: str) -> Direction:
    """The direction that a spelling means; anything else raises ValueError with what there is to choose from.

    Taken are "KL(model‖data)", also with two ASCII bars, and "model-data" as on the command line; case and spaces do
    not matter.
    """
    spelled = "".join(name.lower().split()) if isinstance(name, str) else ""
    if spelled not in _SPELLINGS:
        raise ValueError(
            f'A direction is "{MODEL_DATA}" or "{DATA_MODEL}", or in short "model-data" or "data-model"; '
            f"got {shortened(name)}."
        )
    return _SPELLINGS[spelled]


@dataclass(frozen=True)
class Estimate:
    """An estimated divergence between the model's law q and the target's law p_δ.

    Whatever estimator makes one, 0 ≤ low ≤ value ≤ high unless the value is NaN, and a trusted one is finite; what is
    not raises ValueError. No divergence is negative, so a value that noise brings below 0 is given as 0, which is
    nearer to the truth for sure, with an interval [0, h] as long above it as it was above the raw value; that one
    stays in `diagnostics["unclipped"]`, for means over seeds, which the clipping would bias upward.

    Attributes:
        value: the estimate, in nats.
        low, high: a 95 % interval for this model (spread over training seeds is a separate thing). Where the
            estimator only brackets the truth, the interval contains the bracket.
        direction: which divergence.
        delta: δ, the noise level at which q and p are compared.
        estimator: the registered name, e.g. "change_of_variables".
        n: sample size.
        floor: the smallest value this estimator can tell from zero at this n.
        trusted: whether the value may be shown as a number.
        note: one sentence on what to know or change; always there when not trusted.
        diagnostics: numbers beside it: `mean_ratio`, `fold_share`, `off_mode_mass`, …
        replicates: values from a few independent rows of noise, whose spread is the error; empty where there are no
            such rows. Two estimates of one seed have the noise of a row in common, which `kl_difference` uses.
    """

    value: float
    low: float
    high: float
    direction: Direction
    delta: float
    estimator: str
    n: int
    floor: float
    trusted: bool = True
    note: str = ""
    unit: str = "nats"
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    replicates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", direction_of(self.direction))
        if -math.inf < self.value < 0:
            object.__setattr__(self, "diagnostics", {**self.diagnostics, "unclipped": self.value})
            object.__setattr__(self, "high", self.high - self.value)
            object.__setattr__(self, "value", 0.0)
        if self.low < 0:
            object.__setattr__(self, "low", 0.0)
        bounds = f"{self.value:g} in [{self.low:g}, {self.high:g}]"
        if not (0 <= self.low <= self.high and (math.isnan(self.value) or self.low <= self.value <= self.high)):
            raise ValueError(f"An estimate lies within its interval, and a divergence is at least 0; got {bounds}.")
        if self.trusted and not (math.isfinite(self.value) and math.isfinite(self.high)):
            raise ValueError(f"A trusted estimate is finite; got {bounds}.")


@dataclass(frozen=True)
class Estimator:
    """The name and one-sentence description of an estimator, for people."""

    label: str
    description: str


ESTIMATORS: Registry[Estimator] = Registry("estimator")
"""Every way an :class:`Estimate` is made, by the name it carries."""
