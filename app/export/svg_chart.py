"""KL versus network calls as a picture that needs no library: SVG with a word for every point."""

import math
from collections.abc import Sequence

from app.figures.kl_curve import Line, Point, describe, value_range
from app.quoting import escape

WIDTH, HEIGHT = 470, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 96, 12, 44
DASHES = {"solid": "", "dot": "2 4", "dash": "7 5", "dashdot": "7 4 2 4", "longdash": "12 5", "longdashdot": "12 4 2 4"}
NAME_HEIGHT = 15


def chart(lines: Sequence[Line], *, steps: Sequence[int]) -> str:
    """The chart as SVG; colours come from the page's own classes, and `data-n` marks what belongs to one N."""
    points = [point for line in lines for point in line.points]
    if not points:
        return "<p>No measurement yet.</p>"
    low, high = value_range(points)
    last = max([*steps, *(point.calls for point in points)])

    def x(calls: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(calls) / math.log(max(2, last))

    def y(value: float) -> float:
        share = math.log(min(high, max(low, value)) / low) / math.log(high / low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    marks = "".join(
        f'<line class="chosen" data-n="{n}" x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        for n in steps
    )
    drawn = "".join(_line(line, x, y) for line in sorted(lines, key=lambda line: line.role == "model"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(describe(lines))}">'
        f"{_axes((low, high), last, x, y)}{marks}{drawn}{_names(lines, y)}</svg>"
    )


def _axes(limits: tuple[float, float], last: int, x, y) -> str:
    decades = range(round(math.log10(limits[0])), round(math.log10(limits[1])) + 1)
    right = WIDTH - RIGHT
    rows = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(10.0**k):.1f}" y2="{y(10.0**k):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y(10.0**k) + 4:.1f}" text-anchor="end">'
        f"10<tspan dy='-5' font-size='8'>{k}</tspan></text>"
        for k in decades
    )
    ticks = [2**k for k in range(last.bit_length())]
    columns = "".join(
        f'<text class="tick" x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n}</text>' for n in ticks
    )
    middle = (LEFT + right) / 2
    return (
        f'{rows}{columns}<text class="tick" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">network calls</text>'
        f'<text class="tick" transform="translate(14 {(HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "KL, nats</text>"
    )


def _line(line: Line, x, y) -> str:
    points = sorted(line.points, key=lambda point: point.calls)
    path = " ".join(f"{x(p.calls):.1f},{y(p.value):.1f}" for p in points)
    band = " ".join(
        [f"{x(p.calls):.1f},{y(p.high):.1f}" for p in points]
        + [f"{x(p.calls):.1f},{y(p.low):.1f}" for p in points[::-1]]
    )
    area = f'<polygon class="band {line.role}" points="{band}"/>' if line.role == "model" else ""
    dots = "".join(
        f'<circle class="dot {line.role}" data-n="{p.calls}" cx="{x(p.calls):.1f}" cy="{y(p.value):.1f}" r="4.5" '
        f'tabindex="0" role="img" aria-label="{_how(line, p)}"><title>{_how(line, p)}</title></circle>'
        for p in points
    )
    return f'{area}<polyline class="curve {line.role}" stroke-dasharray="{DASHES[line.dash]}" points="{path}"/>{dots}'


def _how(line: Line, p: Point) -> str:
    """A point in words: its value, interval, and how it is known."""
    calls = "1 call" if p.calls == 1 else f"{p.calls} calls"
    if p.n and p.value <= p.floor:
        least = f"the smallest detectable KL, {p.floor:.2g} nats"
        return escape(f"{line.label}, {calls}: below {least}, {p.estimator}, n = {p.n:,}")
    interval = f" [{p.low:.3g}, {p.high:.3g}]" if p.high > p.low else ""
    known = ", ".join(
        filter(None, (p.estimator, f"n = {p.n:,}" if p.n else "", f"floor {p.floor:.2g}" if p.floor else ""))
    )
    return escape(f"{line.label}, {calls}: {p.value:.3g} nats{interval}" + (f"; {known}" if known else ""))


def _names(lines: Sequence[Line], y) -> str:
    """A name at the right end of every line, pushed apart where two would overlap."""
    ends = sorted(
        ((y(max(line.points, key=lambda p: p.calls).value), line) for line in lines if line.points), key=lambda e: e[0]
    )
    told, taken = [], -math.inf
    for height, line in ends:
        taken = max(height, taken + NAME_HEIGHT)
        told.append(f'<text class="name" x="{WIDTH - RIGHT + 10}" y="{taken + 4:.1f}">{escape(line.label)}</text>')
    return "".join(told)
