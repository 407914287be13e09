"""A lesson's picture in the gallery: particles and their paths, or the lines of a chart, as a small SVG."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.figures.theme import Theme

WIDTH, HEIGHT = 320, 150
MARGIN = 14


@dataclass(frozen=True)
class Trace:
    """A line of a chart: its points and its colour; axes that are logarithmic come in as logarithms."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    strong: bool = False


def stage_picture(data: np.ndarray, states: np.ndarray, extent: float, theme: Theme, *, paths: int = 9) -> str:
    """Data as dots [n, 2], and particles [K + 1, m, 2] with the paths of the first few, as a data URI."""
    scale = 0.5 * HEIGHT / extent

    def at(points: np.ndarray) -> np.ndarray:
        return np.stack([WIDTH / 2 + scale * points[..., 0], HEIGHT / 2 - scale * points[..., 1]], axis=-1)

    dots = "".join(_dot(x, y, 1.1) for x, y in at(data))
    ends = "".join(_dot(x, y, 1.5) for x, y in at(states[-1]))
    lines = "".join(_line(at(states[:, i])) for i in range(min(paths, states.shape[1])))
    return _svg(
        f'<g fill="{theme.data}" fill-opacity=".45">{dots}</g>'
        f'<g fill="none" stroke="{theme.model}" stroke-width="1.1" stroke-opacity=".75">{lines}</g>'
        f'<g fill="{theme.model}">{ends}</g>'
    )


def chart_picture(traces: Sequence[Trace], theme: Theme) -> str:
    """Lines on shared axes, without words, as a data URI."""
    xs = [x for trace in traces for x in trace.x]
    ys = [y for trace in traces for y in trace.y]
    drawn = "".join(_drawn(trace, (min(xs), max(xs)), (min(ys), max(ys))) for trace in traces) if xs else ""
    frame = (
        f'<path d="M{MARGIN} 8V{HEIGHT - 10}H{WIDTH - 8}" fill="none" stroke="{theme.hairline}" stroke-width="1.5"/>'
    )
    return _svg(frame + drawn)


def _drawn(trace: Trace, across: tuple[float, float], up: tuple[float, float]) -> str:
    points = np.stack(
        [
            MARGIN + 10 + _share(trace.x, across) * (WIDTH - MARGIN - 34),
            HEIGHT - 22 - _share(trace.y, up) * (HEIGHT - 40),
        ],
        axis=-1,
    )
    dots = "".join(_dot(x, y, 2.6) for x, y in points) if len(points) <= 12 else ""
    width = 2.6 if trace.strong else 1.6
    return (
        f'<g fill="none" stroke="{trace.colour}" stroke-width="{width}" stroke-linejoin="round">{_line(points)}</g>'
        f'<g fill="{trace.colour}">{dots}</g>'
    )


def _share(values: Sequence[float], ends: tuple[float, float]) -> np.ndarray:
    low, high = ends
    return (np.asarray(values) - low) / ((high - low) or 1.0)


def _dot(x: float, y: float, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def _line(points: np.ndarray) -> str:
    return f'<path d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _svg(body: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">{body}</svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
