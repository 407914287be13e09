"""The pictures of an experiment, one a panel, every line in the colour of what it is."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import plotly.graph_objects as go

from app.figures.log_axis import Interval, interval_band, marks, on_axis, reach
from app.figures.theme import Theme, fade, on_paper
from app.quoting import in_figure
from cmcore.experiments.base import Axis, Panel, Result, Series

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def panel_figure(result: Result, panel: Panel, theme: Theme, *, height: int = 400) -> go.Figure:
    """One panel of a result.

    A line's colour is its role; no two lines of a panel have dash and marker in common. Bands are 95 % intervals.
    Points whose interval has no upper end are no numbers; they are left out, as are those of which nothing is above
    zero on a logarithmic axis, and :func:`summary` says so.
    """
    return _drawn(tuple(line for line in result.series if line.panel == panel.name), (panel.x, panel.y), theme, height)


@lru_cache(maxsize=256)
def _drawn(lines: tuple[Series, ...], axes: tuple[Axis, Axis], theme: Theme, height: int) -> go.Figure:
    """The picture, made once for everybody. Nobody changes it."""
    horizontal, vertical = axes
    figure = go.Figure()
    span = _span(lines, vertical)
    for order, line in enumerate(lines):
        _draw(figure, line, vertical, theme, order=order, foot=span[0] if vertical.log else None)
    across = [line.x[i] for line in lines for i in drawable(line, vertical) if line.x[i] > 0]
    up = [line.y[i] for line in lines for i in drawable(line, vertical) if line.y[i] > 0]
    figure.update_xaxes(title_text=horizontal.label, **_scale(horizontal, across))
    figure.update_yaxes(
        title_text=vertical.label,
        range=[math.log10(end) for end in span] if vertical.log else None,
        **_scale(vertical, up),
    )
    return _framed(figure, theme, height + 19 * len(lines), len(lines))


def _scale(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Linear, or logarithmic: labels at the values where they are few powers of 2, at 1, 2, 5, or at whole decades."""
    if not axis.log:
        return {"type": "linear"}
    few = sorted(set(values))
    decades = math.log10(few[-1] / few[0]) if few else 1.0
    if len(few) <= 8 and all(math.log2(value).is_integer() for value in few):
        ticks = few
    elif decades < 1.6:
        first, last = (math.floor(math.log10(few[i])) for i in (0, -1)) if few else (0, 1)
        ticks = [m * 10.0**k for k in range(first - 1, last + 2) for m in (1, 2, 5)]
    else:
        return {"type": "log", "dtick": math.ceil(decades / 6)}
    return {"type": "log", "tickvals": ticks, "ticktext": [_tick(tick) for tick in ticks]}


def _tick(value: float) -> str:
    """0.002, 4, 500; further out 2·10⁻⁵."""
    if 1e-3 <= value < 1e4:
        return f"{value:.3g}"
    mantissa, _, power = f"{value:.0e}".partition("e")
    return f"{mantissa}·10<sup>{int(power)}</sup>"


def _span(lines: Sequence[Series], y: Axis) -> tuple[float, float]:
    """The ends of a logarithmic axis: a little around what it shows, and at least a decade."""
    low, high = reach(_interval(line, i) for line in lines for i in drawable(line, y)) or (1e-4, 1.0)
    room = max(0.06 * math.log10(high / low), (1 - math.log10(high / low)) / 2)
    return low / 10**room, high * 10**room


def _interval(line: Series, i: int) -> Interval:
    value = line.y[i]
    return value, line.low[i] if line.low else value, line.high[i] if line.high else value


def summary(result: Result, panel: Panel) -> str:
    """The panel in words: every line from its first point to its last, and what could not be drawn."""
    sentences = []
    for line in result.series:
        if line.panel != panel.name:
            continue
        shown = drawable(line, panel.y)
        if not shown:
            sentences.append(f"{line.label}: nothing that this axis can show")
            continue
        first, last = shown[0], shown[-1]
        words = f"{line.label}: {line.y[first]:.3g} at {line.x[first]:.3g}"
        if last != first:
            words += f", {line.y[last]:.3g} at {line.x[last]:.3g}"
        sentences.append(words + _exceptions(line, shown, panel.y))
    return f"{panel.y.label} against {panel.x.label}. " + "; ".join(sentences) + "."


def _exceptions(line: Series, shown: Sequence[int], y: Axis) -> str:
    """In brackets, how many points have no place on the axis of their own; nothing where all have one."""
    on_foot = sum(line.y[i] <= 0 for i in shown) if y.log else 0
    left_out = len(line.x) - len(shown)
    words = []
    if on_foot:
        words.append(f"{on_foot} not above zero, on the foot of the axis")
    if left_out:
        words.append(f"{left_out} left out without an upper end" + (" above zero" if y.log else ""))
    return f" (of {len(line.x)} points: {'; '.join(words)})" if words else ""


def drawable(line: Series, y: Axis) -> list[int]:
    """The points that this axis can show."""
    high = line.high or line.y
    finite = (i for i, value in enumerate(line.y) if math.isfinite(value) and math.isfinite(high[i]))
    return [i for i in finite if max(line.y[i], high[i]) > 0 or not y.log]


def role_colour(line: Series, theme: Theme) -> str:
    """The colour of what the line is."""
    return {
        "model": theme.model,
        "exact": theme.exact,
        "baseline": theme.baseline,
        "bound": theme.bound,
        "floor": theme.muted,
    }[line.role]


def _look(order: int) -> tuple[str, str]:
    """Dash and marker of a line by its place: the first six differ in both, later ones in the pair."""
    return DASHES[order % len(DASHES)], SYMBOLS[(order + order // len(DASHES)) % len(SYMBOLS)]


def _draw(figure: go.Figure, line: Series, y: Axis, theme: Theme, *, order: int, foot: float | None) -> None:
    shown = drawable(line, y)
    if not shown:
        return
    colour = role_colour(line, theme)
    x = [line.x[i] for i in shown]
    intervals = [_interval(line, i) for i in shown]
    values = [value for value, _, _ in intervals]
    dash, symbol = _look(order)
    if line.low:
        style = {"fillcolor": fade(colour, 0.16), "showlegend": False, "name": in_figure(f"{line.label}, interval")}
        figure.add_trace(interval_band(x, intervals, foot, **style))
    figure.add_scatter(
        x=x,
        y=[on_axis(value, foot) for value in values],
        cliponaxis=foot is None,
        name=in_figure(line.label),
        mode="lines+markers" if len(x) <= 40 else "lines",
        line={
            "color": colour,
            "width": 2.4 if line.role == "model" else 1.7,
            "dash": dash,
        },
        marker={"size": 6, "symbol": symbol if foot is None else marks(values, symbol), "color": colour},
        customdata=intervals,
        hovertemplate="%{x:.4g}: %{customdata[0]:.4g} [%{customdata[1]:.4g}, %{customdata[2]:.4g}]"
        + (f"<br>{in_figure(line.how)}" if line.how else "")
        + f"<extra>{in_figure(line.label)}</extra>",
    )


def _framed(figure: go.Figure, theme: Theme, height: int, count: int) -> go.Figure:
    axis = {
        "color": theme.muted,
        "gridcolor": theme.hairline,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 11},
        "title": {"font": {"size": 12}, "standoff": 6},
        "exponentformat": "power",
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(
        height=height,
        margin={"l": 56, "r": 12, "t": 8, "b": 60 + 19 * count},
        legend={
            "orientation": "v",
            "yref": "container",
            "yanchor": "bottom",
            "y": 0,
            "x": 0,
            "font": {"color": theme.ink, "size": 11.5},
        },
        **on_paper(theme),
    )
    return figure
