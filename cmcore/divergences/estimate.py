r"""What an estimate is: a number that says how it knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmcore.registry import Registry

__all__ = ["DATA_MODEL", "ESTIMATORS", "MODEL_DATA", "Direction", "Estimate", "Estimator"]

Direction = Literal["KL(model‖data)", "KL(data‖model)"]
"""KL(q‖p_δ) weighs errors where the model puts mass; KL(p_δ‖q) where the data does."""

MODEL_DATA: Direction = "KL(model‖data)"
DATA_MODEL: Direction = "KL(data‖model)"


@dataclass(frozen=True)
class Estimate:
    """An estimated divergence between the model's law q and the target's law p_δ.

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


@dataclass(frozen=True)
class Estimator:
    """How an estimate came about, for people."""

    label: str
    description: str


ESTIMATORS: Registry[Estimator] = Registry("estimator")
"""Every way an :class:`Estimate` is made, by the name it carries."""
