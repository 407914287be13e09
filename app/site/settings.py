"""Under which settings the own draws of a run were measured."""

from dataclasses import dataclass

import cmcore as cm
from app.runs.run import Run
from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import Direction
from cmcore.samplers import SAMPLERS


@dataclass(frozen=True)
class Setting:
    """How curves of a run were drawn: those with equal settings share a chart."""

    sampler: str
    grid: str
    horizon: float
    delta: float
    renoise: float
    direction: Direction

    @property
    def name(self) -> str:
        """Of the draw, in words."""
        words = [SAMPLERS[self.sampler].label, f"δ = {self.delta:g}"]
        words += [f"η = {self.renoise:g} t"] if SAMPLERS[self.sampler].noisy else []
        return ", ".join(words + ([] if self.grid == USUAL_GRID else [self.grid.replace("_", " ")]))


def settings_of(run: Run) -> list[Setting]:
    """The settings under which the run's own draws were measured, in the order of its file."""
    return list(
        dict.fromkeys(_setting(curve) for curve in run.curves.values() if SAMPLERS[curve.sampler].needs == "map")
    )


def _setting(curve: cm.Curve) -> Setting:
    config = curve.config
    eta = config.get("renoise", 0.5) if SAMPLERS[curve.sampler].noisy else 0.5
    return Setting(curve.sampler, config["grid"], config["horizon"], config["delta"], eta, curve.estimates[0].direction)
