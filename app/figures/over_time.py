"""One number against the time that jumps start from: its mean over the true law, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.heat import angle_axis
from app.figures.log_axis import interval_band, reach, whole_decades
from app.figures.theme import Theme, fade, on_paper


@dataclass(frozen=True)
class MeanAtTime:
    """A root mean square with its 95 % interval, for jumps from t; half lies below the median, 95 % below `most`."""

    t: float
    value: float
    low: float
    high: float
    median: float
    most: float


def over_time(
    means: Sequence[MeanAtTime], *, chosen: float, end: float, label: str, theme: Theme, height: int = 230
) -> go.Figure:
    """The curve from noise to data on a logarithmic axis, the chosen t marked."""
    positive = sorted((mean for mean in means if mean.value > 0), key=lambda mean: -mean.t)
    theta = [math.acos(math.exp(-mean.t)) for mean in positive]
    figure = go.Figure()
    intervals = [(m.value, m.low, m.high) for m in positive]
    limits = whole_decades(reach([*intervals, *((m.median, m.median, m.median) for m in positive)]))
    figure.add_trace(interval_band(theta, intervals, limits[0], fillcolor=fade(theme.error, 0.2), name="interval"))
    figure.add_scatter(
        x=theta, y=[m.value for m in positive], mode="lines+markers", name=label,
        line={"color": theme.error, "width": 2.2},
        marker={"size": 6, "color": theme.paper, "line": {"color": theme.error, "width": 1.6}},
        customdata=[(m.t, m.low, m.high) for m in positive],
        hovertemplate="t = %{customdata[0]:.3g}: %{y:.3g} [%{customdata[1]:.3g}, %{customdata[2]:.3g}]<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=theta, y=[m.median for m in positive], mode="lines", name="median",
        line={"color": theme.error, "width": 1.4, "dash": "dot"}, customdata=[m.t for m in positive],
        hovertemplate="t = %{customdata:.3g}: half of all below %{y:.3g}<extra></extra>",
    )  # fmt: skip
    here = [mean for mean in positive if mean.t == chosen]
    if here:
        at = math.acos(math.exp(-chosen))
        figure.add_vline(x=at, line={"color": fade(theme.error, 0.5), "width": 1})
        figure.add_scatter(
            x=[at], y=[here[0].value], mode="markers", hoverinfo="skip", name="chosen",
            marker={"size": 11, "color": theme.error, "line": {"color": theme.paper, "width": 1.5}},
        )  # fmt: skip
    start = max((m.t for m in positive), default=3.0)
    figure.update_xaxes(**angle_axis(start, end, theme))
    span = math.acos(math.exp(-start)) - math.acos(math.exp(-end))
    figure.update_xaxes(range=[math.acos(math.exp(-start)) + 0.03 * span, math.acos(math.exp(-end)) - 0.03 * span])
    figure.update_yaxes(
        type="log", color=theme.muted, gridcolor=theme.hairline, zeroline=False, fixedrange=True,
        tickfont={"size": 11}, title={"text": label, "font": {"size": 12}, "standoff": 4}, dtick=1,
        exponentformat="power", range=[math.log10(limit) for limit in limits],
    )  # fmt: skip
    figure.update_layout(
        height=height,
        margin={"l": 58, "r": 10, "t": 8, "b": 44},
        showlegend=False,
        **on_paper(theme),
    )
    return figure


def describe_means(means: Sequence[MeanAtTime], label: str) -> str:
    """The curve in words."""
    series = sorted(means, key=lambda mean: -mean.t)
    if not series:
        return "Not measured yet."
    worst = max(series, key=lambda mean: mean.value)
    return (
        f"{label}, root mean square: {series[0].value:.2g} at t = {series[0].t:.3g}, {series[-1].value:.2g} at "
        f"t = {series[-1].t:.3g}; largest at t = {worst.t:.3g}, {worst.value:.2g}. Dotted: the median."
    )
