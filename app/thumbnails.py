"""Small pictures of targets, as SVG: what a picker shows instead of a name."""

import base64

import torch

from cmcore.targets import Target

__all__ = ["thumbnail"]

SIDE = 56
DOTS = 160


def thumbnail(target: Target, colour: str) -> str:
    """A scatter of samples, first two coordinates, as a data URI."""
    points = target.sample(DOTS, generator=torch.Generator().manual_seed(1))
    if points.shape[1] == 1:
        points = torch.cat([points, torch.linspace(-1, 1, DOTS, dtype=points.dtype)[:, None]], dim=1)
    points = points[:, :2] - (points[:, :2].amax(0) + points[:, :2].amin(0)) / 2
    reach = float(points.abs().max()) or 1.0
    pixels = SIDE / 2 + points * (0.42 * SIDE / reach)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{SIDE - y:.1f}" r="1.3"/>' for x, y in pixels.tolist())
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}">'
        f'<g fill="{colour}" fill-opacity=".8">{dots}</g></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
