"""How straight paths are: shares of paths by their straightness, exact beside the model, and where they start."""

import numpy as np
import plotly.graph_objects as go

from app.figures.theme import Theme, fade, mix, on_paper

BINS = 25


def straightness_histogram(
    exact: np.ndarray, model: np.ndarray | None, *, theme: Theme, height: int = 300
) -> go.Figure:
    """Outlines of the two histograms over [0, 1], in shares of the paths."""
    figure = go.Figure()
    edges = np.linspace(0, 1, BINS + 1)
    for values, name, colour, width in ((exact, "exact paths", theme.exact, 2), (model, "model", theme.model, 2.4)):
        if values is None:
            continue
        shares = np.histogram(values, edges)[0] / len(values)
        figure.add_scatter(
            x=edges, y=[*shares, shares[-1]], name=name, mode="lines", fill="tozeroy", fillcolor=fade(colour, 0.12),
            line={"color": colour, "width": width, "shape": "hv", "dash": "solid" if name == "model" else "dash"},
            hovertemplate="from %{x:.2f}: %{y:.1%}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(showlegend=model is not None)
    return _framed(figure, theme, height, "straightness R of a path; 1 is straight and even", "share of paths")


def straightness_of_starts(starts: np.ndarray, values: np.ndarray, *, theme: Theme, height: int = 300) -> go.Figure:
    """Each path's straightness at the noise that it starts from, [n, 2] or [n, 1]."""
    flat = starts.shape[1] == 1
    figure = go.Figure(layout={"showlegend": False})
    figure.add_scatter(
        x=starts[:, 0], y=values if flat else starts[:, 1], mode="markers", name="starts",
        marker={
            "size": 6, "color": values, "cmin": 0, "cmax": 1,
            "colorscale": _greens(theme),
            "showscale": not flat, "opacity": 0.85,
            "colorbar": {"title": {"text": "R", "side": "right"}, "thickness": 9, "len": 0.9, "outlinewidth": 0,
                         "tickfont": {"size": 11, "color": theme.muted}},
        },
        customdata=values,
        hovertemplate="start %{x:.2f}" + ("" if flat else ", %{y:.2f}") + ": R = %{customdata:.3f}<extra></extra>",
    )  # fmt: skip
    x = "noise, x" if flat else "noise, x₁"
    _framed(figure, theme, height, x, "straightness R" if flat else "noise, x₂")
    reach = 1.06 * float(np.abs(starts).max())
    figure.update_xaxes(range=[-reach, reach], constrain="domain")
    figure.update_yaxes(tickformat="", range=[0, 1.02] if flat else [-reach, reach], constrain="domain")
    if not flat:
        figure.update_yaxes(scaleanchor="x")
    return figure


def describe_straightness(exact: np.ndarray, model: np.ndarray | None) -> str:
    """The histograms in words."""
    words = f"Half of {len(exact):,} exact paths are straighter than R = {np.median(exact):.2f}"
    low, high = np.quantile(exact, [0.05, 0.95])
    words += f", nine tenths lie between {low:.2f} and {high:.2f}"
    return words + (f"; the model’s median is {np.median(model):.2f}." if model is not None else ".")


def _greens(theme: Theme) -> list:
    return [[0, mix(theme.baseline, theme.paper, 0.5)], [0.6, theme.exact], [1, mix(theme.exact, theme.ink, 0.5)]]


def _framed(figure: go.Figure, theme: Theme, height: int, x: str, y: str) -> go.Figure:
    axis = {"color": theme.muted, "zeroline": False, "fixedrange": True, "tickfont": {"size": 11}}
    figure.update_xaxes(**axis, showgrid=False, title={"text": x, "font": {"size": 12}, "standoff": 8}, range=[0, 1])
    figure.update_yaxes(
        **axis, gridcolor=theme.hairline, title={"text": y, "font": {"size": 12}}, tickformat=".0%", rangemode="tozero"
    )
    figure.update_layout(
        height=height,
        margin={"l": 54, "r": 8, "t": 26, "b": 44},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "font": {"color": theme.ink, "size": 12}},
        **on_paper(theme),
    )
    return figure
