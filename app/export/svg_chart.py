"""KL versus network calls as a picture that needs no library: SVG with a word for every point."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from app.export.templates import html
from app.figures.kl_curve import Line, Point, describe, value_range

WIDTH, HEIGHT = 470, 300
LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 96, 12, HEIGHT - 44
DASHES = {"solid": "", "dot": "2 4", "dash": "7 5", "dashdot": "7 4 2 4", "longdash": "12 5", "longdashdot": "12 4 2 4"}
NAME_HEIGHT = 15


def chart(lines: Sequence[Line], *, steps: Sequence[int]) -> Markup:
    """The chart as SVG; colours come from the page's own classes, and `data-n` marks what belongs to one N."""
    points = [point for line in lines for point in line.points]
    if not points:
        return Markup("<p>No measurement yet.</p>")
    low, high = value_range(points)
    last = max([*steps, *(point.calls for point in points)])

    def x(calls: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * math.log(calls) / math.log(max(2, last)), 1)

    def y(value: float) -> float:
        share = math.log(min(high, max(low, value)) / low) / math.log(high / low)
        return round(BOTTOM - (BOTTOM - TOP) * share, 1)

    def drawn(line: Line) -> dict[str, object]:
        points = sorted(line.points, key=lambda point: point.calls)
        ends = [(p.calls, p.high) for p in points] + [(p.calls, p.low) for p in points[::-1]]
        return {
            "role": line.role,
            "dashes": DASHES[line.dash],
            "path": " ".join(f"{x(p.calls)},{y(p.value)}" for p in points),
            "band": " ".join(f"{x(calls)},{y(value)}" for calls, value in ends),
            "dots": [{"n": p.calls, "x": x(p.calls), "y": y(p.value), "words": _how(line, p)} for p in points],
        }

    return html(
        "export/templates/chart.svg.jinja",
        words=describe(lines),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        decades=[(k, y(10.0**k)) for k in range(round(math.log10(low)), round(math.log10(high)) + 1)],
        ticks=[(2**k, x(2**k)) for k in range(last.bit_length())],
        chosen=[(n, x(n)) for n in steps],
        lines=map(drawn, sorted(lines, key=lambda line: line.role == "model")),
        names=_apart((y(max(line.points, key=lambda p: p.calls).value), line.label) for line in lines if line.points),
    )


def _how(line: Line, p: Point) -> str:
    """A point in words: its value, interval, and how it is known."""
    calls = "1 call" if p.calls == 1 else f"{p.calls} calls"
    if p.n and p.value <= p.floor:
        least = f"the smallest detectable KL, {p.floor:.2g} nats"
        return f"{line.label}, {calls}: below {least}, {p.estimator}, n = {p.n:,}"
    interval = f" [{p.low:.3g}, {p.high:.3g}]" if p.high > p.low else ""
    facts = (p.estimator, f"n = {p.n:,}" if p.n else "", f"floor {p.floor:.2g}" if p.floor else "")
    return f"{line.label}, {calls}: {p.value:.3g} nats{interval}; {', '.join(filter(None, facts))}".removesuffix("; ")


def _apart(ends: Iterator[tuple[float, str]]) -> Iterator[tuple[str, float]]:
    """A name at the right end of every line, pushed apart where two would overlap."""
    lowest = -math.inf
    for height, name in sorted(ends, key=lambda end: end[0]):
        lowest = max(height, lowest + NAME_HEIGHT)
        yield name, lowest
