"""KL versus network calls, on logarithmic axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from app.figures.log_axis import interval_band, marks, on_axis, reach, whole_decades
from app.figures.theme import Theme, fade, on_paper
from app.quoting import in_figure


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
    """A named curve and what it is: a learned map, a baseline, or a bound; `symbol` marks its points."""

    label: str
    role: Literal["model", "baseline", "bound"]
    points: tuple[Point, ...]
    dash: str = "solid"
    symbol: str = "circle"


def kl_curve(
    lines: Sequence[Line], *, calls: int, theme: Theme, span: tuple[int, int] = (1, 16), height: int = 260
) -> go.Figure:
    """The chart over `span` network calls, with the model's point at `calls` of them marked.

    Lines are told apart by colour, by dash, and by a name at their end; the band is the interval of this model, the
    hatched zone what its estimator cannot tell from zero.
    """
    figure = go.Figure()
    model = next((line for line in lines if line.role == "model"), None)
    drawn = [point for line in lines for point in line.points]
    if not drawn:
        return framed(figure, theme, height, span, (1e-4, 1.0))
    low, high = value_range(drawn)
    floor = max((p.floor for p in model.points), default=0.0) if model else 0.0
    if floor > low:
        _floor(figure, span, low, floor, theme)
    for line in sorted(lines, key=lambda line: line.role == "model"):
        _draw(figure, line, low, theme)
    if model:
        _mark(figure, model, calls, low, theme)
    name_ends(figure, lines, (low, high), theme)
    return framed(figure, theme, height, span, (low, high))


def describe(lines: Sequence[Line]) -> str:
    """The chart in words."""
    told = []
    for line in lines:
        if not line.points:
            continue
        first, last = line.points[0], line.points[-1]
        told.append(
            f"{line.label}: {first.value:.2g} nats at {first.calls}, {last.value:.2g} at {last.calls} network calls"
        )
    return "KL versus network calls, both axes logarithmic. " + "; ".join(told) + "." if told else "No measurement yet."


def colour_of(line: Line, theme: Theme) -> str:
    """The colour of what the line is."""
    return {"model": theme.model, "baseline": theme.baseline, "bound": theme.bound}[line.role]


def value_range(points: Sequence[Point]) -> tuple[float, float]:
    """The lower and the upper end of the axis: whole decades."""
    return whole_decades(reach((p.value, p.low, p.high) for p in points))


def _draw(figure: go.Figure, line: Line, foot: float, theme: Theme) -> None:
    if line.role == "model":
        figure.add_trace(band(line, foot, theme))
    figure.add_trace(curve(line, foot, theme, markers=line.role == "model"))


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
    """The values of a line; hover says how each is known."""
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
    known = ", ".join([p.estimator, *([f"n = {p.n:,}"] if p.n else []), *([f"floor {p.floor:.2g}"] if p.floor else [])])
    return "<br>".join(in_figure(words) for words in (below, known.removeprefix(", "), *p.about.split("\n")) if words)


def _mark(figure: go.Figure, model: Line, calls: int, foot: float, theme: Theme) -> None:
    figure.add_vline(x=calls, line={"color": fade(theme.model, 0.45), "width": 1})
    chosen = [p for p in model.points if p.calls == calls]
    if chosen:
        figure.add_scatter(
            x=[calls], y=[on_axis(chosen[0].value, foot)], name="chosen", mode="markers", hoverinfo="skip",
            marker={"size": 11, "color": theme.model, "line": {"color": theme.paper, "width": 1.5}},
        )  # fmt: skip


def _floor(figure: go.Figure, span: tuple[int, int], low: float, floor: float, theme: Theme) -> None:
    x = [span[0], span[1], span[1], span[0]]
    figure.add_scatter(
        x=x, y=[low, low, floor, floor], fill="toself", line={"width": 0}, hoverinfo="skip", name="floor",
        fillpattern={"shape": "/", "size": 6, "fgcolor": fade(theme.baseline, 0.5), "bgcolor": "rgba(0,0,0,0)"},
        fillcolor=fade(theme.baseline, 0.3), mode="lines",
    )  # fmt: skip


def name_ends(
    figure: go.Figure,
    lines: Sequence[Line],
    limits: tuple[float, float],
    theme: Theme,
    name: Callable[[str], str] = in_figure,
) -> None:
    """A name at the right end of every line, pushed apart where two would overlap; `name` writes a label for plotly."""
    decades = math.log10(limits[1] / limits[0])
    gap = 0.085 * decades
    ends = sorted(
        ((math.log10(on_axis(line.points[-1].value, limits[0])), line) for line in lines if line.points),
        key=lambda end: end[0],
    )
    taken = -math.inf
    for height, line in ends:
        taken = max(height, taken + gap)
        figure.add_annotation(
            x=1.015, xref="paper", y=taken, yref="y", text=name(line.label), showarrow=False, xanchor="left",
            font={"size": 11, "color": theme.ink if line.role == "model" else theme.muted},
        )  # fmt: skip


def _decade(value: float) -> str:
    """0.01, 0.1, 1, …; smaller and larger ones as powers of ten."""
    return f"{value:g}" if 1e-3 < value < 1e4 else f"10<sup>{round(math.log10(value))}</sup>"


def framed(
    figure: go.Figure, theme: Theme, height: int, span: tuple[int, int], limits: tuple[float, float]
) -> go.Figure:
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
        margin={"l": 46, "r": 74, "t": 8, "b": 40},
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
    return figure
