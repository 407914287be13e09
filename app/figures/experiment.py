"""The picture of an experiment: its panels side by side, every line in the colour of what it is."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.theme import Theme, fade
from cmcore.experiments.base import Axis, Result, Series

__all__ = ["experiment_figure", "summary"]

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def experiment_figure(result: Result, theme: Theme, *, columns: int | None = None, height: int = 380) -> go.Figure:
    """All panels of a result; `columns` of them in a row, all of them unless told (one where the screen is narrow).

    Lines of one role share its colour and differ in dash and marker. Bands are 95 % intervals. Values that a
    logarithmic axis cannot show are left out, and the summary beside the figure says so.
    """
    panels = result.panels
    columns = min(columns or len(panels), len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[panel.title for panel in panels],
        horizontal_spacing=0.09 if columns < 3 else 0.07,
        vertical_spacing=0.34 / rows,
    )
    for i, panel in enumerate(panels):
        at = {"row": i // columns + 1, "col": i % columns + 1}
        lines = [line for line in result.series if line.panel == panel.name]
        counts: dict[str, int] = {}
        for line in lines:
            order = counts.setdefault(line.role, 0)
            counts[line.role] += 1
            _draw(figure, line, order, panel.y, theme, at)
        figure.update_xaxes(title_text=panel.x.label, type="log" if panel.x.log else "linear", **at)
        figure.update_yaxes(title_text=panel.y.label, type="log" if panel.y.log else "linear", **at)
    return _framed(figure, theme, height * rows)


def summary(result: Result) -> str:
    """The figure in words: every line from its first point to its last, and what could not be drawn."""
    told = []
    panels = {panel.name: panel for panel in result.panels}
    for line in result.series:
        panel = panels[line.panel]
        shown = _drawable(line, panel.y)
        if not shown:
            told.append(f"{line.label}: nothing that this axis can show")
            continue
        first, last = shown[0], shown[-1]
        words = f"{line.label}: {panel.y.label} {line.y[first]:.3g} at {panel.x.label} {line.x[first]:.3g}"
        if last != first:
            words += f", {line.y[last]:.3g} at {line.x[last]:.3g}"
        left = len(line.x) - len(shown)
        told.append(words + (f" ({left} of {len(line.x)} points not above zero or not finite)" if left else ""))
    return "; ".join(told) + "."


def _drawable(line: Series, y: Axis) -> list[int]:
    return [i for i, value in enumerate(line.y) if math.isfinite(value) and (value > 0 or not y.log)]


def _colour(line: Series, theme: Theme) -> str:
    return {
        "model": theme.model,
        "exact": theme.exact,
        "baseline": theme.baseline,
        "bound": theme.bound,
        "floor": theme.muted,
    }[line.role]


def _draw(figure: go.Figure, line: Series, order: int, y: Axis, theme: Theme, at: dict[str, int]) -> None:  # noqa: PLR0917
    shown = _drawable(line, y)
    if not shown:
        return
    colour = _colour(line, theme)
    x = [line.x[i] for i in shown]
    low = [line.low[i] if line.low else line.y[i] for i in shown]
    high = [line.high[i] if line.high else line.y[i] for i in shown]
    if line.low:
        floor = min(line.y[i] for i in shown) / 10 if y.log else -math.inf
        ends = [min(h, 1e300) for h in high] + [max(a, floor) for a in low[::-1]]
        figure.add_scatter(
            x=[*x, *x[::-1]], y=ends, fill="toself", fillcolor=fade(colour, 0.16), line={"width": 0}, mode="lines",
            hoverinfo="skip", showlegend=False, name=f"{line.label}, interval", **at,
        )  # fmt: skip
    figure.add_scatter(
        x=x,
        y=[line.y[i] for i in shown],
        name=line.label,
        mode="lines+markers" if len(x) <= 40 else "lines",
        line={
            "color": colour,
            "width": 2.4 if line.role == "model" else 1.7,
            "dash": DASHES[order % len(DASHES)],
        },
        marker={"size": 6, "symbol": SYMBOLS[order % len(SYMBOLS)], "color": colour},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="%{x:.4g}: %{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]"
        + (f"<br>{line.how}" if line.how else "")
        + f"<extra>{line.label}</extra>",
        legendgroup=line.label,
        showlegend=not _named_before(figure.data, line.label),
        **at,
    )


def _named_before(traces: Sequence[go.Scatter], label: str) -> bool:
    return any(trace.name == label for trace in traces)


def _framed(figure: go.Figure, theme: Theme, height: int) -> go.Figure:
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
    figure.update_annotations(font={"size": 13, "color": theme.ink})
    figure.update_layout(
        height=height,
        margin={"l": 56, "r": 12, "t": 34, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0, "font": {"color": theme.ink, "size": 11.5}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.ink},
        font={"family": "Inter, 'Source Sans', sans-serif", "size": 11.5, "color": theme.ink},
        hoverlabel={"bgcolor": theme.paper, "font": {"color": theme.ink}, "bordercolor": theme.hairline},
    )
    return figure
