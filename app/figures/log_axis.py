"""Values with intervals on a logarithmic axis: the one rule by which all figures draw them.

The axis reaches over the values and over as much of their intervals as lies within a factor of ten of them. The end of
an interval is drawn where it is, even where that is beyond the axis; one at or below zero lies below its foot. A value
at or below zero has no place either: its mark stands on the foot, and the upper end of its interval is all that counts.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

Interval = tuple[float, float, float]
"""Value, low end, high end."""
NEAR = 10.0
BELOW = "triangle-down-open"
"""The mark of a value at or below zero."""


def reach(intervals: Iterable[Interval]) -> tuple[float, float] | None:
    """The least and the largest number that the axis shows; None where nothing has a place on it."""
    shown: list[float] = []
    for value, low, high in intervals:
        if value > 0:
            shown += [value, max(low, value / NEAR), min(high, value * NEAR)]
        else:
            shown.append(high)
    placed = [number for number in shown if number > 0 and math.isfinite(number)]
    return (min(placed), max(placed)) if placed else None


def whole_decades(span: tuple[float, float] | None) -> tuple[float, float]:
    """Powers of ten around what an axis shows."""
    if span is None:
        return 1e-4, 1.0
    return 10 ** math.floor(math.log10(span[0]) - 0.15), 10 ** math.ceil(math.log10(span[1]) + 0.05)


def on_axis(value: float, foot: float | None) -> float:
    """Where a value is drawn: in its place, or on the foot of the axis; a linear one has none."""
    return value if foot is None or value > 0 else foot


def marks(values: Sequence[float], symbol: str) -> list[str]:
    """The mark of each value: the line's own, or :data:`BELOW`."""
    return [symbol if value > 0 else BELOW for value in values]


def interval_band(x: Sequence[float], intervals: Sequence[Interval], foot: float | None, **style: Any) -> go.Scatter:
    """The intervals of a line as an area, from the high ends back along the low ones."""
    ends = [high for _, _, high in intervals] + [low for _, low, _ in intervals[::-1]]
    below = None if foot is None else foot / NEAR
    return go.Scatter(
        x=[*x, *x[::-1]],
        y=[on_axis(end, below) for end in ends],
        fill="toself",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        **style,
    )
