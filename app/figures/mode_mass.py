"""The mass of every mode: the exact one, and the model's with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.theme import Theme, fade, on_paper

MOST = 16
"""Modes drawn; the table has them all."""


@dataclass(frozen=True)
class ModeRow:
    """One mode: where it is, its exact mass, and the model's share of samples with a 95 % interval."""

    label: str
    exact: float
    value: float
    low: float
    high: float

    @property
    def right(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.exact <= self.high


def mode_masses(rows: Sequence[ModeRow], *, theme: Theme) -> go.Figure:
    """One row a mode, a green bar at the exact mass and the model's dot with its interval."""
    drawn = rows[:MOST]
    labels = [row.label for row in drawn]
    figure = go.Figure()
    figure.add_scatter(
        x=[row.exact for row in drawn], y=labels, mode="markers", name="exact",
        marker={"symbol": "line-ns", "size": 20, "line": {"color": theme.exact, "width": 3}},
        hovertemplate="exact %{x:.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[row.value for row in drawn], y=labels, mode="markers", name="model, 95 % interval",
        marker={"size": 9, "color": theme.model, "line": {"color": theme.paper, "width": 1}},
        error_x={
            "type": "data", "symmetric": False, "array": [r.high - r.value for r in drawn],
            "arrayminus": [r.value - r.low for r in drawn], "color": fade(theme.model, 0.8), "thickness": 1.6,
            "width": 4,
        },
        customdata=[(r.low, r.high) for r in drawn],
        hovertemplate="model %{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
    )  # fmt: skip
    axis = {"color": theme.muted, "zeroline": False, "fixedrange": True, "tickfont": {"size": 11}}
    figure.update_xaxes(
        **axis, gridcolor=theme.hairline, title={"text": "mass of the mode", "font": {"size": 12}, "standoff": 8}
    )
    figure.update_yaxes(**axis, showgrid=False, autorange="reversed", type="category")
    figure.update_layout(
        height=96 + 27 * len(drawn),
        margin={"l": 8, "r": 12, "t": 28, "b": 44},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "font": {"color": theme.ink, "size": 12}},
        **on_paper(theme),
    )
    figure.update_yaxes(automargin=True)
    return figure


def describe_modes(rows: Sequence[ModeRow], n: int, steps: int) -> str:
    """The figure in words."""
    worst = max(rows, key=lambda row: abs(row.value - row.exact))
    right = sum(row.right for row in rows)
    jumps = "1 jump" if steps == 1 else f"{steps} jumps"
    return (
        f"Of {n:,} samples in {jumps}, the intervals of {right} of {len(rows)} modes hold the exact mass; furthest off "
        f"is the mode at {worst.label}, {worst.value:.3f} for {worst.exact:.3f}."
    )
