"""Times that a person moved: by N, between T and δ. Where none were moved the named grid holds."""

import math
from collections.abc import Mapping

from app.stage.scene import STEPS
from cmcore.config import SamplerConfig

ChosenTimes = Mapping[int, tuple[float, ...]]
"""t_1 > … > t_{N−1} by N."""
LATEST = 20.0
"""No horizon lies beyond."""


def checked_times(steps: object, times: object) -> tuple[float, ...] | None:
    """N − 1 times as the stage or a link gives them, to four figures; None where they are no such thing."""
    if steps not in STEPS or not isinstance(times, list) or len(times) != steps - 1 or not times:
        return None
    if not all(isinstance(t, int | float) and math.isfinite(t) for t in times):
        return None
    rounded = tuple(float(f"{t:.4g}") for t in times)
    falling = all(later < earlier for earlier, later in zip((LATEST, *rounded), (*rounded, 0.0), strict=True))
    return rounded if falling else None


def fitting(chosen: ChosenTimes | None, config: SamplerConfig) -> ChosenTimes:
    """Those that lie between this draw's T and δ; the others wait until they do again."""
    return {n: t for n, t in (chosen or {}).items() if config.horizon > t[0] and t[-1] > config.delta}


def with_times(config: SamplerConfig, chosen: ChosenTimes | None) -> SamplerConfig:
    """The draw with the times that were moved for its N, if there are some that fit."""
    times = fitting(chosen, config).get(config.steps)
    whole = None if times is None else (config.horizon, *times, config.delta)
    return SamplerConfig(**{**config.model_dump(), "times": whole})


def read_times(text: str) -> ChosenTimes:
    """The times that a link asks for: t_1,…,t_{N−1}, and for another N after a semicolon."""
    chosen: dict[int, tuple[float, ...]] = {}
    for part in text.split(";"):
        try:
            times = [float(t) for t in part.split(",")]
        except ValueError:
            times = []
        checked = checked_times(len(times) + 1, times)
        if checked is None:
            counts = ", ".join(str(n - 1) for n in STEPS if n > 1)
            raise ValueError(f"it asks for the times “{part[:40]}”, and times are {counts} falling numbers above 0")
        chosen[len(times) + 1] = checked
    return chosen


def write_times(chosen: ChosenTimes) -> str:
    """The times for a link."""
    return ";".join(",".join(f"{t:.4g}" for t in times) for _, times in sorted(chosen.items()))
