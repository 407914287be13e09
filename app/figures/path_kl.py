"""Where the KL of a renoised run comes from: for every N the parts of the path's KL, and what the last states show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import plotly.graph_objects as go

from app.figures.theme import Theme, fade, mix, on_paper


@dataclass(frozen=True)
class Parts:
    """The KL of the paths of one draw, taken apart; in nats.

    Attributes:
        initialisation: KL(p_T‖γ).
        jumps: what each jump adds.
        measured: KL(p_δ‖q) of the last states; NaN where it cannot be trusted.
        slack: path − measured.
        slack_low, slack_high: its 95 % interval.
        floor: what the estimate cannot tell from zero.
    """

    initialisation: float
    jumps: tuple[float, ...]
    measured: float
    slack: float
    slack_low: float
    slack_high: float
    floor: float

    @property
    def path(self) -> float:
        """KL(paths), which is Bound A."""
        return self.initialisation + sum(self.jumps)


def path_kl_bars(parts: Mapping[int, Parts], *, theme: Theme, height: int = 340) -> go.Figure:
    """Two stacks for every N, in shares of the KL of the paths.

    The left one is what makes it, initialisation below and the jumps in order above; the right one what is seen of
    it: the measured KL, and the slack that renoising has forgotten. Shares, since the whole falls by decades with N;
    it stands in nats under each N.
    """
    figure = go.Figure()
    at = {n: f"{n}<br>{whole.path:.2g}" for n, whole in sorted(parts.items()) if whole.path > 0}
    ordered = [(at[n], parts[n]) for n in at]
    draw = partial(_bar, figure, [part for _, part in ordered], [at for at, _ in ordered])
    draw("initialisation", [p.initialisation for _, p in ordered], colour=theme.baseline, stack="made of", hatch=".")
    for k in range(max((len(p.jumps) for _, p in ordered), default=0)):
        values = [p.jumps[k] if k < len(p.jumps) else 0.0 for _, p in ordered]
        shade = mix(theme.error, theme.paper, 1.0 if k % 2 == 0 else 0.62)
        draw(f"map error, jump {k + 1}", values, colour=shade, stack="made of", named=k == 0)
    draw("measured", [p.measured for _, p in ordered], colour=theme.model, stack="seen")
    draw("slack, forgotten by renoising", [p.slack for _, p in ordered], colour=theme.bound, stack="seen", hatch="x")
    draw("floor", [p.floor for _, p in ordered], colour=theme.ink, stack="floor", hatch="/")
    return _framed(figure, theme, height)


def describe_parts(parts: Mapping[int, Parts]) -> str:
    """The bars in words."""
    words = [
        f"N = {n}: {p.path:.2g} nats of the paths, {_share(p.initialisation, p)} from the start and "
        f"{_share(sum(p.jumps), p)} from the map; {_share(p.measured, p)} of it shows in the last states"
        for n, p in sorted(parts.items())
        if p.path > 0
    ]
    return "; ".join(words) + "." if words else "No decomposition yet."


def _share(value: float, parts: Parts) -> str:
    return "an unknown share" if math.isnan(value) else f"{100 * value / parts.path:.2g} %"


def _bar(
    figure: go.Figure,
    parts: Sequence[Parts],
    at: Sequence[str],
    name: str,
    values: Sequence[float],
    *,
    colour: str,
    stack: str,
    named: bool = True,
    hatch: str = "",
) -> None:
    """One part in every pair, as a share of the whole; the jumps are one entry of the legend."""
    style = {"color": colour, "line": {"width": 0}}
    if hatch:
        pattern = {"shape": hatch, "size": 6, "fgcolor": fade(colour, 0.8), "bgcolor": fade(colour, 0.12)}
        style = {"color": fade(colour, 0.12), "pattern": pattern, "line": {"width": 0}}
    jump = name.startswith("map error")
    figure.add_bar(
        x=at,
        y=[value / p.path for value, p in zip(values, parts, strict=True)],
        name="map error, jump by jump" if jump else name,
        legendgroup="map error" if jump else name,
        showlegend=named,
        offsetgroup=stack,
        marker=style,
        customdata=[_hover(name, value, p) for value, p in zip(values, parts, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _hover(name: str, value: float, parts: Parts) -> str:
    words = f"{name}: {value:.3g} nats, {_share(value, parts)}"
    return f"{words}<br>[{parts.slack_low:.3g}, {parts.slack_high:.3g}]" if name.startswith("slack") else words


def _framed(figure: go.Figure, theme: Theme, height: int) -> go.Figure:
    axis = {"color": theme.muted, "zeroline": False, "fixedrange": True, "tickfont": {"size": 11}}
    title = {"text": "N, and the KL of its paths in nats", "font": {"size": 12}, "standoff": 8}
    figure.update_xaxes(**axis, showgrid=False, tickangle=0, title=title)
    figure.update_yaxes(
        **axis,
        gridcolor=theme.hairline,
        tickformat=".0%",
        title={"text": "share of the path’s KL", "font": {"size": 12}},
    )
    figure.update_layout(
        barmode="relative",
        bargap=0.3,
        height=height,
        margin={"l": 56, "r": 14, "t": 8, "b": 56},
        legend={"orientation": "h", "yanchor": "top", "y": -0.26, "x": 0, "font": {"color": theme.ink, "size": 12}},
        **on_paper(theme),
    )
    return figure
