"""One number from several models trained with different seeds: the median, and how the models differ."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cmcore.model import TrainedModel


@dataclass(frozen=True)
class OverSeeds:
    """The median over models, the lowest, the highest, and each."""

    median: float
    low: float
    high: float
    each: tuple[float, ...]


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """The median and the range of the values."""
    return OverSeeds(statistics.median(values), min(values), max(values), tuple(values))


def finished(models: Sequence[TrainedModel]) -> list[TrainedModel]:
    """The models whose training did not diverge; ValueError where none is left."""
    sound = [model for model in models if model.status == "finished"]
    if not sound:
        raise ValueError("Every model diverged: more training steps, a smaller network or a larger δ helps.")
    return sound
