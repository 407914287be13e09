r"""A drawing as a law: strokes of a brush, exact at every noise level, written in a few hundred characters.

A stroke is a polyline with a width w. Beads N(c, w² I) sit along it, evenly in arc length and at most 1.75 w apart,
where the ripple between them is 0.3 %. A bead of width w weighs w², so that the density along every line is the same:

.. math:: p_0 = \sum_k \frac{w_k^2}{\sum_j w_j^2} N(c_k, w_k^2 I)

A drawing is kept as text, since it has to fit a link: base64url, without padding, of one version byte, and for each
stroke its width, the number of its points less one (2 bytes), its first point (2 × 2 bytes) and the steps to the next
points (2 × 1 byte each), all little-endian and in hundredths. Reading checks all of it.
"""

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cmcore.targets.gaussian_mixture import GaussianMixture

REACH = 250
"""A drawing lies within ± this in each coordinate, in hundredths: the disc that the toys fit in."""
WIDTHS = (5, 60)
"""The finest and the widest brush, in hundredths."""
LONGEST_TEXT = 4_096
"""Characters of a drawing as text: what a link holds."""
MOST_POINTS = LONGEST_TEXT * 3 // 4 // 2
"""Of a drawing: a text has room for no more."""
MOST_BEADS = 800
"""More components than this cost more than they show."""
SPACING = 1.75
"""Distance between neighbouring beads in units of their sd."""
_VERSION = 1
_HEAD = struct.Struct("<BHhh")
_STEP = 127
_SLACK = 0.15
"""Points that lie nearer than this to a straight line, in widths, are left out: the beads blur what they said."""


@dataclass(frozen=True)
class Stroke:
    """One stroke: its width and its points, all whole numbers of hundredths of the target's unit."""

    width: int
    points: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        low, high = WIDTHS
        if not low <= self.width <= high:
            raise ValueError(f"a brush is {low / 100:g} to {high / 100:g} wide")
        if not self.points:
            raise ValueError("a stroke has at least one point")
        if any(abs(value) > REACH for point in self.points for value in point):
            raise ValueError(f"a drawing lies within ±{REACH / 100:g}")


# ---- text -------------------------------------------------------------------------------------------------------
def write_strokes(strokes: Sequence[Stroke]) -> str:
    """The drawing as text; points that say nothing are left out.

    Raises:
        ValueError: in a clause, when it is larger than a link holds.
    """
    parts = [bytes([_VERSION])]
    for stroke in strokes:
        first, *rest = points = _short_steps(_simplified(stroke))
        parts.append(_HEAD.pack(stroke.width, len(rest), *first))
        steps = [b - a for p, q in pairwise(points) for a, b in zip(p, q, strict=True)]
        parts.append(struct.pack(f"<{len(steps)}b", *steps))
    text = base64.urlsafe_b64encode(b"".join(parts)).decode().rstrip("=")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a drawing takes at most {LONGEST_TEXT:,} characters, and this one would take {len(text):,}")
    return text


def read_strokes(text: str) -> tuple[Stroke, ...]:
    """The drawing that :func:`write_strokes` wrote. Raises ValueError, in a clause, for anything else."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a drawing takes at most {LONGEST_TEXT:,} characters, and this one takes {len(text):,}")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its drawing is not written in the letters of a link") from None
    if not content or content[0] != _VERSION:
        raise ValueError("its drawing is not one of this lab")
    strokes, at = [], 1
    while at < len(content):
        stroke, at = _read_stroke(content, at)
        strokes.append(stroke)
    return tuple(strokes)


def _read_stroke(content: bytes, at: int) -> tuple[Stroke, int]:
    start = at + _HEAD.size
    if start > len(content):
        raise ValueError("its drawing ends in the middle of a stroke")
    width, more, x, y = _HEAD.unpack_from(content, at)
    end = start + 2 * more
    if end > len(content):
        raise ValueError("its drawing ends in the middle of a stroke")
    steps = struct.unpack_from(f"<{2 * more}b", content, start)
    points = [(x, y)]
    for dx, dy in zip(steps[::2], steps[1::2], strict=True):
        points.append((points[-1][0] + dx, points[-1][1] + dy))
    return Stroke(width, tuple(points)), end


def _simplified(stroke: Stroke) -> list[tuple[int, int]]:
    """The stroke without the points near a straight line between those kept (Douglas and Peucker 1973).

    A zigzag keeps every point and takes time as the square of their number, so that it ends at what a text has room
    for.
    """
    points = [p for i, p in enumerate(stroke.points) if i == 0 or p != stroke.points[i - 1]]
    places = np.array(points, dtype=np.float64)
    corners, pending = {0, len(points) - 1}, [(0, len(points) - 1)]
    while pending:
        low, high = pending.pop()
        if high - low < 2:
            continue
        away = _distances(places[low + 1 : high], places[low], places[high])
        far = low + 1 + int(away.argmax())
        if away[far - low - 1] > _SLACK * stroke.width:
            corners.add(far)
            pending += [(low, far), (far, high)]
        if len(corners) > MOST_POINTS:
            raise ValueError(f"a drawing takes at most {LONGEST_TEXT:,} characters, and this one would take more")
    return [points[i] for i in sorted(corners)]


def _distances(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From each point to the segment a … b."""
    along, offset = b - a, points - a
    square = float(along @ along)
    share = np.clip(offset @ along / square, 0.0, 1.0) if square else np.zeros(len(points))
    return np.hypot(*(offset - share[:, None] * along).T)


def _short_steps(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """With points in between wherever a step is longer than a byte holds."""
    every = points[:1]
    for (x, y), (to_x, to_y) in pairwise(points):
        parts = max(1, math.ceil(max(abs(to_x - x), abs(to_y - y)) / _STEP))
        every += [(x + round((to_x - x) * i / parts), y + round((to_y - y) * i / parts)) for i in range(1, parts + 1)]
    return every


# ---- law --------------------------------------------------------------------------------------------------------
def sketch_law(strokes: Sequence[Stroke]) -> GaussianMixture:
    """The law of a drawing. Raises ValueError when there is nothing drawn, or too much."""
    counts = beads_along(strokes)
    widths = torch.tensor([stroke.width / 100 for stroke in strokes], dtype=torch.float64)
    sds = widths.repeat_interleave(torch.tensor(counts))
    centres = torch.cat([_evenly(stroke, count) for stroke, count in zip(strokes, counts, strict=True)])
    return GaussianMixture(sds**2, centres, sds**2)


def beads_along(strokes: Sequence[Stroke]) -> list[int]:
    """How many beads each stroke takes. Raises ValueError when there is nothing drawn, or too much."""
    if not strokes:
        raise ValueError("Nothing is drawn yet.")
    counts = [beads_of(stroke) for stroke in strokes]
    if sum(counts) > MOST_BEADS:
        raise ValueError(
            f"The drawing has more than {MOST_BEADS} beads along its lines. Draw less, or with a wider brush."
        )
    return counts


def beads_of(stroke: Stroke) -> int:
    """How many beads a stroke takes."""
    return 1 + math.ceil(_length(stroke) / (SPACING * stroke.width))


def _length(stroke: Stroke) -> float:
    return sum((math.dist(p, q) for p, q in pairwise(stroke.points)), 0.0)


def _evenly(stroke: Stroke, count: int) -> Tensor:
    """`count` points along the stroke, evenly in arc length, both ends included, [count, 2]."""
    points = torch.tensor(stroke.points, dtype=torch.float64) / 100
    if count == 1:
        return points[:1]
    steps = points.diff(dim=0).norm(dim=1)
    reached = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    marks = torch.linspace(0, 1, count, dtype=torch.float64) * reached[-1]
    leg = torch.searchsorted(reached, marks).clamp(1, len(steps))
    share = (marks - reached[leg - 1]) / steps[leg - 1].clamp(min=1e-12)
    return points[leg - 1] + share.clamp(0, 1)[:, None] * (points[leg] - points[leg - 1])
