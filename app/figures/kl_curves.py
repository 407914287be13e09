"""Many KL curves together, on logarithmic axes."""

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from app.figures.kl_curve import Line, band, colour_of, curve, framed, name_ends, value_range
from app.figures.theme import Theme, fade
from app.quoting import in_figure

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
NEAR = 3.0
"""A line comes near its floor within this factor; a floor far below its line would only seem to be another line's."""
ROW = 20
"""Pixels of one row of the legend."""
NAMED = 6
"""Up to so many lines have their name at their end; more would not find room there, and get a legend."""
LONGEST = 18
"""Letters of a name that stand beside a line; a longer name takes two rows."""


def kl_curves(
    lines: Sequence[Line], *, theme: Theme, most: int, bands: bool = True, floors: bool = True, height: int = 460
) -> go.Figure:
    """The chart from one network call to `most` of them, or to where the furthest point stands.

    What a line is gives its colour; lines of one colour differ in dash and marker. With `bands`, the 95 % interval of
    every line; with `floors`, hatched, what the estimator cannot tell from zero, of lines that come near it.
    """
    figure = go.Figure()
    drawn = [point for line in lines for point in line.points]
    span = (1, max([most, *(point.calls for point in drawn)]))
    limits = value_range(drawn)
    for line in lines:
        if floors and any(point.floor > max(limits[0], point.value / NEAR) for point in line.points):
            figure.add_trace(_floor(line, limits[0], theme))
    for line in lines:
        if bands and line.points:
            figure.add_trace(band(line, limits[0], theme, 0.22 if line.role == "model" else 0.14))
    for rank, line in sorted(enumerate(lines), key=lambda ranked: ranked[1].role == "model"):
        figure.add_trace(curve(line, limits[0], theme, markers=True).update(legendrank=rank + 1))
    if len(lines) <= NAMED:
        framed(figure, theme, height, span, limits)
        name_ends(figure, lines, limits, theme, lambda label: "<br>".join(map(in_figure, _rows(label))))
        longest = max((len(row) for line in lines for row in _rows(line.label)), default=0)
        figure.update_layout(margin={"r": 16 + 6.4 * longest})
    else:
        framed(figure, theme, height + ROW * len(lines), span, limits)
        below = {"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "font": {"color": theme.ink, "size": 12}}
        figure.update_layout(margin={"r": 14}, showlegend=True, legend=below)
    return figure


def _rows(label: str) -> list[str]:
    """A label that fits beside its line."""
    return textwrap.wrap(label, LONGEST, max_lines=2, placeholder=" …")


def _floor(line: Line, bottom: float, theme: Theme) -> go.Scatter:
    """Hatched, from the lower edge of the chart to the floor of each point."""
    points = sorted(line.points, key=lambda p: p.calls)
    calls = [p.calls for p in points]
    colour = colour_of(line, theme)
    return go.Scatter(
        x=[*calls, *calls[::-1]],
        y=[max(p.floor, bottom) for p in points] + [bottom] * len(points),
        fill="toself",
        fillcolor=fade(colour, 0.3),
        fillpattern={"shape": "/", "size": 6, "fgcolor": fade(colour, 0.5), "bgcolor": "rgba(0,0,0,0)"},
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="floor",
        showlegend=False,
    )
