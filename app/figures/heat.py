"""Maps of one number over the plane, or over x and time: its size by colour, on a logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.figures.theme import Theme, mix, on_paper

COLOURED = {"x": (-4.0, -0.5), "x/rad": (-3.0, 0.5)}
"""Decades between the palest and the strongest colour, by unit: the same for every t, s and run."""
STRETCHED = (-2.0, 2.0)
"""Decades of |det| that have a shade."""


@dataclass(frozen=True)
class Field:
    """One number over a lattice.

    Attributes:
        x: horizontal coordinates: x₁, or θ from T to s.
        y: vertical coordinates: x₂, or x.
        values: NaN where nothing is shown, [rows along y, columns along x].
        times, end: t of the columns where x is θ, and s, where the axis ends; None for a map over the plane.
        density: p_t over the same lattice as a share of its largest value, with the levels of its contour lines.
        levels: those levels.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    times: Sequence[float] | None = None
    end: float = 0.0
    density: np.ndarray | None = None
    levels: Sequence[float] = ()


def field_map(field: Field, *, unit: str, label: str, theme: Theme, height: int = 470) -> go.Figure:
    """The size of an error or a residual, in the error colour: pale where the map is right."""
    low, high = COLOURED[unit]
    figure = go.Figure()
    with np.errstate(divide="ignore"):
        decades = np.log10(np.maximum(field.values, 10.0**low / 10))
    figure.add_heatmap(
        **_lattice(field), z=decades, zmin=low, zmax=high, colorscale=_reds(theme),
        customdata=_hover_text(field, field.values),
        hovertemplate=_place(field) + "<br>" + label + " %{customdata[1]:.3g}<extra></extra>", name=label,
        colorbar=_bar(theme, range(math.ceil(low), math.floor(high) + 1), f"{label}, {unit}"), hoverongaps=False,
    )  # fmt: skip
    _contours(figure, field, theme)
    return _framed(figure, field, theme, height)


def determinant_map(field: Field, sign: np.ndarray, *, theme: Theme, height: int = 380, bar: bool = True) -> go.Figure:
    """|det| by shade of ink, `field.values` its natural logarithm; what is turned over in the error colour, edged."""
    decades = field.values / math.log(10)
    figure = go.Figure()
    hover = _hover_text(field, sign * np.exp(np.clip(field.values, -60, 60)))
    low, high = STRETCHED
    figure.add_heatmap(
        **_lattice(field), z=decades, zmin=low, zmax=high, colorscale=_inks(theme), showscale=bar, customdata=hover,
        hovertemplate=_place(field) + "<br>det %{customdata[1]:.3g}<extra></extra>", name="determinant",
        colorbar=_bar(theme, range(int(low), int(high) + 1), "|det|"), hoverongaps=False,
    )  # fmt: skip
    turned = (sign < 0) & np.isfinite(field.values)
    figure.add_heatmap(
        **_lattice(field), z=np.where(turned, 1.0, np.nan), showscale=False, customdata=hover,
        colorscale=[[0, theme.error], [1, theme.error]],
        hovertemplate=_place(field) + "<br>det %{customdata[1]:.3g}, turned over<extra></extra>", name="folds",
        hoverongaps=False,
    )  # fmt: skip
    if turned.any():
        _outline(figure, field, turned, theme)
    _contours(figure, field, theme)
    return _framed(figure, field, theme, height)


def describe_field(field: Field, label: str, unit: str) -> str:
    """The map in words: the middle, nine tenths, and where the largest value stands."""
    finite = field.values[np.isfinite(field.values)]
    if not finite.size:
        return "Nothing to show."
    row, column = map(int, np.unravel_index(np.nanargmax(field.values), field.values.shape))
    if field.times is None:
        at = f"({field.x[column]:.2f}, {field.y[row]:.2f})"
    else:
        at = f"t = {field.times[column]:.3g}, x = {field.y[row]:.2f}"
    middle, most = np.quantile(finite, [0.5, 0.9])
    return (
        f"{label}: half of the coloured area lies below {middle:.2g} {unit}, nine tenths below {most:.2g}; "
        f"the largest is {finite.max():.2g} at {at}."
    ).replace("-", "−")


# ---- pieces -----------------------------------------------------------------------------------------------------
def time_ticks(start: float, end: float) -> list[float]:
    """Times to name on an axis from T to s: the ends, and round ones far enough from both."""
    span = _angle(start) - _angle(end)
    inner = [t for t in (1.0, 0.5, 0.2, 0.05, 0.01) if end < t < start]
    inner = [t for t in inner if _angle(t) - _angle(end) > 0.08 * span and _angle(start) - _angle(t) > 0.08 * span]
    return [start, *inner, end]


def angle_axis(start: float, end: float, theme: Theme) -> dict:
    """A time axis linear in θ, noise on the left."""
    ticks = time_ticks(start, end)
    return {
        "title": {"text": "t, from noise to data", "font": {"size": 12}, "standoff": 8},
        "tickvals": [_angle(t) for t in ticks],
        "ticktext": [f"{t:.3g}" for t in ticks],
        "tickangle": 0,
        "range": [_angle(start), _angle(end)],
        "color": theme.muted,
        "zeroline": False,
        "fixedrange": True,
        "showgrid": False,
        "tickfont": {"size": 11},
    }


def _angle(t: float) -> float:
    return math.acos(math.exp(-t))


def _lattice(field: Field) -> dict:
    return {"x": field.x, "y": field.y}


def _hover_text(field: Field, values: np.ndarray) -> np.ndarray:
    """t (or x₁) of every cell, and its number."""
    across = field.x if field.times is None else np.asarray(field.times)
    return np.stack([np.broadcast_to(across, values.shape), values], axis=-1).astype(np.float32)


def _place(field: Field) -> str:
    return "(%{x:.2f}, %{y:.2f})" if field.times is None else "t = %{customdata[0]:.3g}, x = %{y:.2f}"


def _reds(theme: Theme) -> list:
    pale, strong = mix(theme.error, theme.paper, 0.05), mix(theme.error, theme.ink, 0.5)
    return [[0, pale], [0.35, mix(theme.error, theme.paper, 0.4)], [0.7, theme.error], [1, strong]]


def _inks(theme: Theme) -> list:
    return [[0, mix(theme.ink, theme.paper, 0.04)], [0.5, mix(theme.ink, theme.paper, 0.42)], [1, theme.ink]]


def _bar(theme: Theme, decades: Sequence[int] | range, title: str) -> dict:
    return {
        "title": {"text": title, "side": "right", "font": {"size": 12, "color": theme.muted}},
        "tickvals": list(decades),
        "ticktext": [_power(k) for k in decades],
        "tickfont": {"size": 11, "color": theme.muted},
        "thickness": 9,
        "len": 0.9,
        "outlinewidth": 0,
        "xpad": 4,
    }


def _power(k: int) -> str:
    return f"{10.0**k:g}" if -3 <= k <= 3 else f"10<sup>{k}</sup>"


def _contours(figure: go.Figure, field: Field, theme: Theme) -> None:
    """The smallest regions that hold given shares of p_t, on an edge of paper, for eyes that see both as greys."""
    if field.density is None:
        return
    for k, level in enumerate(field.levels):
        for colour, width, dash in ((theme.paper, 3.6, "solid"), (theme.data, 1.6, "solid" if k == 0 else "dot")):
            figure.add_contour(
                x=field.x, y=field.y, z=field.density, showscale=False, hoverinfo="skip", name="density",
                contours={"start": level, "end": level, "size": 1, "coloring": "none"},
                line={"color": colour, "width": width, "dash": dash},
            )  # fmt: skip


def _outline(figure: go.Figure, field: Field, region: np.ndarray, theme: Theme) -> None:
    """A line of ink on paper around a region, for eyes that do not tell its colour from its surroundings."""
    for colour, width in ((theme.paper, 3.2), (theme.ink, 1.2)):
        figure.add_contour(
            **_lattice(field), z=region.astype(float), showscale=False, hoverinfo="skip", name="edge of the folds",
            contours={"start": 0.5, "end": 0.5, "size": 1, "coloring": "none"},
            line={"color": colour, "width": width, "smoothing": 0},
        )  # fmt: skip


def _framed(figure: go.Figure, field: Field, theme: Theme, height: int) -> go.Figure:
    axis = {"color": theme.muted, "zeroline": False, "fixedrange": True, "showgrid": False, "tickfont": {"size": 11}}
    if field.times is None:
        figure.update_xaxes(**axis, title={"text": "x₁", "standoff": 4}, constrain="domain")
        figure.update_yaxes(**axis, title={"text": "x₂", "standoff": 2}, scaleanchor="x", constrain="domain")
        figure.update_yaxes(range=[field.y[0], field.y[-1]])
        figure.update_xaxes(range=[field.x[0], field.x[-1]])
    else:
        figure.update_xaxes(**angle_axis(field.times[0], field.end, theme))
        figure.update_yaxes(**axis, title={"text": "x", "standoff": 2}, range=[field.y[0], field.y[-1]])
    figure.update_layout(
        height=height,
        margin={"l": 44, "r": 8, "t": 8, "b": 50},
        showlegend=False,
        **on_paper(theme),
    )
    return figure
