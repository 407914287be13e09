"""Loss, or the error of one jump, against optimiser steps, of any runs laid over each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import plotly.graph_objects as go

from app.figures.kl_curve import look_of
from app.figures.log_axis import reach, whole_decades
from app.figures.theme import Theme, fade, on_paper
from app.quoting import in_figure

HEIGHT = 300


@dataclass(frozen=True)
class TrainingCurve:
    """What one run, or several seeds of one training, came to at each report.

    Attributes:
        label: for people.
        number: of the run among those compared, from 0: its colour and its dash.
        points: (step, value).
        band: (step, lowest, highest) over seeds, where there are several.
    """

    label: str
    number: int
    points: tuple[tuple[int, float], ...]
    band: tuple[tuple[int, float, float], ...] = ()


def training_curves(curves: Sequence[TrainingCurve], title: str, *, theme: Theme) -> go.Figure:
    """A line a run, by colour and dash as on the other charts of these runs."""
    return _drawn(tuple(curves), title, theme)


@lru_cache(maxsize=64)
def _drawn(curves: tuple[TrainingCurve, ...], title: str, theme: Theme) -> go.Figure:
    """The chart, made once for everybody. Nobody changes it."""
    figure = go.Figure()
    shown = [(value, value, value) for curve in curves for _, value in curve.points]
    low, high = whole_decades(reach(shown))
    for curve in curves:
        colour = theme.runs[curve.number % len(theme.runs)]
        if curve.band:
            steps = [step for step, _, _ in curve.band]
            figure.add_scatter(
                x=[*steps, *steps[::-1]],
                y=[*(top for _, _, top in curve.band), *(foot for _, foot, _ in reversed(curve.band))],
                fill="toself", fillcolor=fade(colour, 0.16), line={"width": 0}, mode="lines", hoverinfo="skip",
                showlegend=False, name="seeds",
            )  # fmt: skip
        placed = [(step, value) for step, value in curve.points if value > 0 and math.isfinite(value)]
        figure.add_scatter(
            x=[step for step, _ in placed],
            y=[value for _, value in placed],
            mode="lines",
            name=in_figure(curve.label),
            line={"color": colour, "width": 2, "dash": look_of(curve.number)[0]},
            hovertemplate=f"step %{{x:,}}: %{{y:.3g}}<extra>{in_figure(curve.label)}</extra>",
        )
    axis = {"color": theme.muted, "zeroline": False, "fixedrange": True, "tickfont": {"size": 11}}
    below = {"orientation": "h", "yanchor": "top", "y": -0.24, "x": 0, "font": {"color": theme.ink, "size": 12}}
    figure.update_layout(
        height=HEIGHT + 20 * len(curves), margin={"l": 52, "r": 14, "t": 8, "b": 40}, showlegend=True, legend=below,
        **on_paper(theme),
    )  # fmt: skip
    figure.update_xaxes(**axis, title={"text": "optimiser steps", "standoff": 8, "font": {"size": 12}}, showgrid=False)
    figure.update_yaxes(
        **axis, title={"text": title, "standoff": 6, "font": {"size": 12}}, type="log", gridcolor=theme.hairline,
        exponentformat="power",
        range=[math.log10(low), math.log10(high)], dtick=1,
    )  # fmt: skip
    return figure


def describe_curves(curves: Sequence[TrainingCurve], title: str) -> str:
    """The chart in words."""
    ends = [f"{curve.label}: {curve.points[-1][1]:.2g} at step {curve.points[-1][0]:,}" for curve in curves]
    return f"{title} against optimiser steps, on a logarithmic axis. {'; '.join(ends)}."
