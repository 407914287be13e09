"""KL versus network calls, on logarithmic axes."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import plotly.graph_objects as go

from app.figures.log_axis import interval_band, marks, on_axis, reach, whole_decades
from app.figures.theme import Theme, fade, on_paper
from app.quoting import in_figure

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_SIGNS = dict(zip(SYMBOLS, "●■◆▲✚✖★", strict=True)) | {"triangle-down": "▼"}
"""A line's mark as a letter, before its name."""
NEAR = 3.0
"""A line comes near its floor within this factor; a floor far below its line would only seem to be another line's."""
ROW = 20
"""Pixels of one row of the legend."""
NAMED = 6
"""Up to so many lines have their name at their end; more would not find room there, and get a legend."""
LONGEST = 18
"""Letters of a name that stand beside a line; a longer name takes two rows."""
NAME_HEIGHT = 17
"""Pixels of a row of a name."""
LOWEST = 0.6
"""A presentation makes a plot as low as this share of its height: names that do not overlap there do so nowhere."""
TOP, FOOT = 8, 40
"""Pixels above and below the plot."""


def look_of(number: int) -> tuple[str, str]:
    """Dash and mark of the run with this number: those that share its colour have others."""
    rank = (number + number // len(DASHES)) % len(DASHES)
    return DASHES[rank], SYMBOLS[rank]


@dataclass(frozen=True)
class Point:
    """One estimate on the chart: network calls, value and 95 % interval in nats, the estimator's floor, n, and more."""

    calls: int
    value: float
    low: float
    high: float
    floor: float = 0.0
    n: int = 0
    estimator: str = ""
    about: str = ""


@dataclass(frozen=True)
class Line:
    """A named curve and what it is: a learned map, a baseline, or a bound; `symbol` marks its points.

    `number` counts the runs that are compared, from 0: each has its colour.
    """

    label: str
    role: Literal["model", "baseline", "bound"]
    points: tuple[Point, ...]
    dash: str = "solid"
    symbol: str = "circle"
    number: int = 0


def kl_curve(
    lines: Sequence[Line],
    *,
    theme: Theme,
    most: int = 16,
    height: int = 460,
    bands: bool = True,
    floors: bool = True,
    calls: int | None = None,
) -> go.Figure:
    """The chart from one network call to `most` of them, or to where the furthest point stands.

    What a line is gives its colour, and a run that is compared has one of its own; dash and marker tell apart too. A
    name stands at the end of each.

    Args:
        lines: the curves.
        theme: the colours.
        most: the largest N asked for.
        height: in pixels.
        bands: whether the 95 % interval of every line is drawn.
        floors: whether what an estimator cannot tell from zero is hatched, of lines that come near it.
        calls: where one run is looked at: its point there is marked, and the baselines stand back, without bands and
            markers.
    """
    return _drawn(tuple(lines), theme=theme, most=most, height=height, bands=bands, floors=floors, calls=calls)


@lru_cache(maxsize=256)
def _drawn(
    lines: tuple[Line, ...], *, theme: Theme, most: int, height: int, bands: bool, floors: bool, calls: int | None
) -> go.Figure:
    """The chart, made once for everybody: it takes more time than the rest of a page. Nobody changes it."""
    figure = go.Figure()
    drawn = [point for line in lines for point in line.points]
    span = (1, max([most, *(point.calls for point in drawn)]))
    limits = value_range(drawn)
    low, near = limits[0], NEAR if calls is None else math.inf
    whole = [line for line in lines if line.points and (calls is None or line.role == "model")]
    runs = len({line.number for line in whole if line.role == "model"})
    for line in whole:
        if floors and any(point.floor > max(low, point.value / near) for point in line.points):
            figure.add_trace(_floor(line, low, theme))
    for line in whole:
        if bands:
            figure.add_trace(band(line, low, theme, 0.22 if line.role == "model" and runs == 1 else 0.14))
    for rank, line in sorted(enumerate(lines), key=lambda ranked: ranked[1].role == "model"):
        figure.add_trace(curve(line, low, theme, markers=line in whole).update(legendrank=rank + 1))
    if calls is not None and whole:
        figure.add_vline(x=calls, line={"color": fade(theme.model, 0.45), "width": 1})
        for line in {line.number: line for line in reversed(whole)}.values():
            _mark(figure, line, calls, low, theme)
    if len(lines) <= NAMED:
        _frame(figure, theme, height, span, limits)
        longest = max((len(row) for line in lines for row in _rows(line.label)), default=0)
        if calls is None:
            name_lines(figure, lines, limits, theme, height - TOP - FOOT)
            figure.update_layout(margin={"r": 38 + 6.4 * longest})
        else:
            name_ends(figure, lines, limits, theme)
            figure.update_layout(margin={"r": 16 + 6.4 * longest})
    else:
        _frame(figure, theme, height + ROW * len(lines), span, limits)
        below = {"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "font": {"color": theme.ink, "size": 12}}
        figure.update_layout(margin={"r": 14}, showlegend=True, legend=below)
    return figure


def describe(lines: Sequence[Line]) -> str:
    """The chart in words."""
    ends = [(line.label, line.points[0], line.points[-1]) for line in lines if line.points]
    words = [
        f"{label}: {first.value:.2g} nats at {first.calls}, {last.value:.2g} at {last.calls} network calls"
        for label, first, last in ends
    ]
    return f"KL versus network calls, both axes logarithmic. {'; '.join(words)}." if words else "No measurement yet."


def colour_of(line: Line, theme: Theme) -> str:
    """The colour of what the line is, or of its run."""
    run = theme.runs[line.number % len(theme.runs)]
    return {"model": run, "baseline": theme.baseline, "bound": theme.bound}[line.role]


def value_range(points: Sequence[Point]) -> tuple[float, float]:
    """The lower and the upper end of the axis: whole decades."""
    return whole_decades(reach((p.value, p.low, p.high) for p in points))


def band(line: Line, foot: float, theme: Theme, opacity: float = 0.22) -> go.Scatter:
    """The 95 % intervals of a line as an area; `foot` is the lower end of the axis."""
    points = sorted(line.points, key=lambda p: p.calls)
    return interval_band(
        [p.calls for p in points],
        [(p.value, p.low, p.high) for p in points],
        foot,
        fillcolor=fade(colour_of(line, theme), opacity),
        name="interval",
        showlegend=False,
    )


def curve(line: Line, foot: float, theme: Theme, *, markers: bool) -> go.Scatter:
    """The values of a line; hover says how each was measured."""
    points = sorted(line.points, key=lambda p: p.calls)
    colour = colour_of(line, theme)
    return go.Scatter(
        x=[p.calls for p in points],
        y=[on_axis(p.value, foot) for p in points],
        cliponaxis=False,
        name=in_figure(line.label),
        mode="lines+markers" if markers else "lines",
        line={"color": colour, "width": 2.4 if line.role == "model" else 1.6, "dash": line.dash},
        marker={
            "size": 6 if line.symbol == "circle" else 10,
            "symbol": marks([p.value for p in points], line.symbol),
            "color": theme.paper,
            "line": {"color": colour, "width": 1.8},
        },
        customdata=[_how(p) for p in points],
        hovertemplate=f"%{{customdata}}<extra>{in_figure(line.label)}</extra>",
    )


def _how(p: Point) -> str:
    """Value, interval, estimator, n, floor and seeds of a point."""
    calls = "1 call" if p.calls == 1 else f"{p.calls} calls"
    value = f"{calls}: {p.value:.3g} nats" + (f" [{p.low:.3g}, {p.high:.3g}]" if p.high > p.low else "")
    below = f"{calls}: below what can be detected" if p.value <= p.floor and p.n else value
    how = ", ".join([p.estimator, *([f"n = {p.n:,}"] if p.n else []), *([f"floor {p.floor:.2g}"] if p.floor else [])])
    return "<br>".join(in_figure(words) for words in (below, how.removeprefix(", "), *p.about.split("\n")) if words)


def _mark(figure: go.Figure, model: Line, calls: int, foot: float, theme: Theme) -> None:
    look = {"size": 11, "symbol": model.symbol, "color": colour_of(model, theme)}
    for point in model.points:
        if point.calls == calls:
            figure.add_scatter(
                x=[calls], y=[on_axis(point.value, foot)], name="chosen", mode="markers", hoverinfo="skip",
                marker={**look, "line": {"color": theme.paper, "width": 1.5}},
            )  # fmt: skip


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


def name_ends(
    figure: go.Figure,
    lines: Sequence[Line],
    limits: tuple[float, float],
    theme: Theme,
) -> None:
    """A name at the right end of every line, pushed apart where two would overlap."""
    decades = math.log10(limits[1] / limits[0])
    gap = 0.085 * decades
    ends = sorted(
        ((math.log10(on_axis(line.points[-1].value, limits[0])), line) for line in lines if line.points),
        key=lambda end: end[0],
    )
    taken = -math.inf
    for height, line in ends:
        half = gap * len(_rows(line.label)) / 2
        middle = max(height, taken + half)
        taken = middle + half
        words = "<br>".join(map(in_figure, _rows(line.label)))
        figure.add_annotation(
            x=1.015, xref="paper", y=middle, yref="y", text=words, showarrow=False, xanchor="left", align="left",
            font={"size": 11, "color": theme.ink if line.role == "model" else theme.muted},
        )  # fmt: skip


def name_lines(
    figure: go.Figure, lines: Sequence[Line], limits: tuple[float, float], theme: Theme, height: float
) -> None:
    """A mark and a name where each line ends; a thin line leads to names that had to be pushed apart.

    `height` is that of the plot in pixels.
    """
    scale = LOWEST * height / math.log10(limits[1] / limits[0])
    ends = [(line, max(line.points, key=lambda p: p.calls)) for line in lines if line.points]
    taken: dict[int, float] = {}
    for line, point in sorted(ends, key=lambda end: end[1].value):
        at = math.log10(min(limits[1], on_axis(max(point.value, limits[0]), limits[0])))
        near = round(2 * math.log2(point.calls))
        half = NAME_HEIGHT * len(_rows(line.label, 3)) / 2
        shown = max(at * scale, taken.get(near, -math.inf) + half)
        taken[near] = shown + half
        colour = colour_of(line, theme)
        words = "<br>".join(map(in_figure, _rows(line.label, 3)))
        figure.add_annotation(
            x=math.log10(point.calls), y=at, xanchor="left", align="left", ax=26, ay=at * scale - shown,
            text=f'<span style="color:{colour}">{_SIGNS[line.symbol]}</span> {words}',
            showarrow=True, arrowhead=0, arrowwidth=0.8, arrowcolor=fade(colour, 0.6), standoff=7,
            bgcolor=fade(theme.paper, 0.72),
            font={"size": 11, "color": theme.ink if line.role == "model" else theme.muted},
        )  # fmt: skip


def _rows(label: str, most: int = 2) -> list[str]:
    """A label that fits beside its line."""
    return textwrap.wrap(label, LONGEST, max_lines=most, placeholder=" …")


def _decade(value: float) -> str:
    """0.01, 0.1, 1, …; smaller and larger ones as powers of ten."""
    return f"{value:g}" if 1e-3 < value < 1e4 else f"10<sup>{round(math.log10(value))}</sup>"


def _frame(figure: go.Figure, theme: Theme, height: int, span: tuple[int, int], limits: tuple[float, float]) -> None:
    """Axes and margins."""
    ticks = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if span[0] <= n <= span[1]]
    first, last = (round(math.log10(limit)) for limit in limits)
    decades = [10.0**k for k in range(first, last + 1, 1 + (last - first) // 6)]
    pad = 0.04 * max(0.3, math.log10(span[1] / span[0]))
    axis = {
        "type": "log",
        "color": theme.muted,
        "gridcolor": theme.hairline,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 11},
    }
    figure.update_layout(
        height=height,
        margin={"l": 46, "r": 74, "t": TOP, "b": FOOT},
        showlegend=False,
        **on_paper(theme),
    )
    small = {"size": 12}
    figure.update_xaxes(
        **axis,
        title={"text": "network calls", "standoff": 8, "font": small},
        tickvals=ticks,
        ticktext=[str(n) for n in ticks],
        showgrid=False,
        range=[math.log10(span[0]) - pad, math.log10(span[1]) + pad],
    )
    figure.update_yaxes(
        **axis,
        title={"text": "KL, nats", "standoff": 6, "font": small},
        tickvals=decades,
        ticktext=[_decade(d) for d in decades],
        range=[math.log10(limits[0]), math.log10(limits[1])],
    )
