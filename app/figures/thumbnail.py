"""Small pictures of targets, as SVG: what a picker shows instead of a name."""

import base64

import numpy as np

SIDE = 56


def thumbnail(points: np.ndarray, colour: str) -> str:
    """A scatter of points [n, 2] that fills the picture, as a data URI."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float((high - low).max()) / 2 or 1.0
    pixels = SIDE / 2 + (points - (low + high) / 2) * (0.42 * SIDE / reach)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{SIDE - y:.1f}" r="1.3"/>' for x, y in pixels)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}">'
        f'<g fill="{colour}" fill-opacity=".8">{dots}</g></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
