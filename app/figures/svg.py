"""A plotly figure as SVG: charts of pages that carry no plotly, in the colours of whoever reads them.

What the figures of this folder use is drawn: lines, marks, bands, hatched floors, logarithmic and linear axes, names
beside lines, and the legend as a list of its own, which breaks its lines. Colours of the theme become the page's CSS
variables (--model, --ink, …), so that one picture serves light and dark paper.
"""

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup, escape

from app.figures.theme import LIGHT

WIDE, NARROW = 640, 350
"""Pixels across for which a chart is drawn: beside others or alone, and on a phone or in a column."""
LETTER = 6.3
"""Pixels of a letter of a label, about."""
BELOW = 52
"""Pixels under a chart for its ticks and the title of its axis; the legend stands in the page."""
PLACES = 40
"""How many places of a line without marks can be pointed at, at most."""
SIGNED = str.maketrans("-", "−")

_NAMES = {colour.lower(): f"var(--run-{k + 1})" for k, colour in enumerate(LIGHT.runs)}
_NAMES |= {getattr(LIGHT, one.name).lower(): f"var(--{one.name})" for one in fields(LIGHT) if one.name != "runs"}
_NAMES[LIGHT.muted.lower()] = "var(--muted)"
_RGBA = re.compile(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)")
_SPAN = re.compile(r'<span style="color:(#[0-9a-fA-F]{6})">(.*?)</span>')
_HOLE = re.compile(r"%\{(x|y|customdata)(?:\[(\d+)\])?(?::([^}]+))?\}")
_MARKS = {
    "circle": "M{r} 0A{r} {r} 0 1 1 -{r} 0A{r} {r} 0 1 1 {r} 0Z",
    "square": "M-{s} -{s}H{s}V{s}H-{s}Z",
    "diamond": "M0 -{t}L{t} 0L0 {t}L-{t} 0Z",
    "triangle-up": "M0 -{r}L{r} {s}H-{r}Z",
    "triangle-down": "M0 {r}L{r} -{s}H-{r}Z",
    "cross": "M-{r} 0H{r}M0 -{r}V{r}",
    "x": "M-{s} -{s}L{s} {s}M-{s} {s}L{s} -{s}",
    "star": "M-{r} 0H{r}M0 -{r}V{r}M-{s} -{s}L{s} {s}M-{s} {s}L{s} -{s}",
}
_STROKED = ("cross", "x", "star")
_DOT = Markup('<g class="dot" transform="translate({:g} {:g})" data-x="{:g}"{}>{}</g>')
_DASHES = {"dot": "2 4", "dash": "7 5", "dashdot": "7 4 2 4", "longdash": "12 5", "longdashdot": "12 4 2 4"}


Trace = Mapping[str, Any]
"""What plotly writes of a trace."""


def chart(figure: go.Figure, alt: str, *, widths: Sequence[int] = (WIDE, NARROW)) -> Markup:
    """The figure for each width, of which the page shows the one that fits, and its legend; `alt` says it in words."""
    lines: Any = figure.data
    traces = [trace.to_plotly_json() for trace in lines]  # plain values: plotly's take a hundred times as long
    drawn = Markup("").join(_drawn(figure, traces, alt, width) for width in widths)
    return _tag("div", drawn + _legend(figure, traces), class_="chart" if len(widths) > 1 else "chart single")


# ---- elements ---------------------------------------------------------------------------------------------------
def _tag(name: str, content: str | Markup = "", **attributes: Any) -> Markup:
    """An element; its attributes, without those that are None, and its text are escaped."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, content)


def _paint(colour: str | None) -> tuple[str, float]:
    """A colour of plotly's as the page has it, and its opacity."""
    if not colour:
        return "none", 1.0
    if match := _RGBA.fullmatch(colour):
        red, green, blue = (int(part) for part in match.groups()[:3])
        solid = f"#{red:02x}{green:02x}{blue:02x}"
        return (_NAMES.get(solid, solid), float(match[4])) if float(match[4]) else ("none", 1.0)
    return _NAMES.get(colour.lower(), colour), 1.0


def _filled(colour: str | None) -> dict[str, Any]:
    paint, opacity = _paint(colour)
    return {"fill": paint, "fill_opacity": None if opacity == 1 else opacity}


def _stroked(colour: str | None, width: float, dash: str | None = None) -> dict[str, Any]:
    paint, opacity = _paint(colour)
    style = {"stroke": paint, "stroke_width": width, "stroke_dasharray": _DASHES.get(dash or "")}
    return style | ({} if opacity == 1 else {"stroke_opacity": opacity})


def _words(text: str, x: float, y: float, **attributes: Any) -> Markup:
    """Text with plotly's tags: <br> begins a line, of which the middle one is at y, and <sup> raises.

    A coloured <span> stands at the very beginning.
    """
    first = Markup("")
    if span := _SPAN.match(text):
        first, text = _tag("tspan", span[2], **_filled(span[1])), text[span.end() :]
    rows = text.split("<br>")
    content = Markup("")
    for i, row in enumerate(rows):
        shift = 14 * (i - (len(rows) - 1) / 2) if i == 0 else 14
        parts = re.split(r"<sup>(.*?)</sup>", row)
        line = Markup("").join(
            _tag("tspan", html.unescape(part), dy=-5, font_size="75%") if j % 2 else escape(html.unescape(part))
            for j, part in enumerate(parts)
        )
        line, first = first + line, Markup("")
        content += _tag("tspan", line, x=x, dy=round(shift, 1) or None) if len(rows) > 1 else line
    return _tag("text", content, x=x, y=y, **attributes)


# ---- axes -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Scale:
    """From values to pixels; `low` and `high` are logarithms where the axis is logarithmic."""

    log: bool
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is."""
        if not self.log:
            return self.of(value)
        return self.of(math.log10(value) if value > 0 else self.low - 1)

    def of(self, place: float) -> float:
        """Where a place of the axis is; for logarithmic ones a logarithm."""
        share = (place - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + (self.end - self.start) * min(9.0, max(-9.0, share)), 1)


def _scale(axis: Any, values: Iterable[float], start: float, end: float) -> _Scale:
    log = axis.type == "log"
    if axis.range is not None:
        low, high = axis.range
    else:
        shown = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        places = [math.log10(value) for value in shown] if log else shown
        low, high = (min(places), max(places)) if places else (0.0, 1.0)
        room = 0.05 * (high - low) or 0.5
        low, high = low - room, high + room
    return _Scale(log, low, high, start, end)


def _ticks(axis: Any, scale: _Scale) -> list[tuple[float, str]]:
    """Values with labels: the axis's own, or whole decades, or round numbers."""
    if axis.tickvals is not None:
        labels = axis.ticktext or [_label(value) for value in axis.tickvals]
        ticks = list(zip(axis.tickvals, labels, strict=True))
    elif scale.log:
        step = int(axis.dtick or math.ceil((scale.high - scale.low) / 6))
        first = math.ceil(scale.low)
        ticks = [(10.0**k, _label(10.0**k)) for k in range(first, math.floor(scale.high) + 1, max(1, step))]
    else:
        ticks = [(value, _label(value)) for value in _round_numbers(scale.low, scale.high)]
    low, high = min(scale.start, scale.end) - 1, max(scale.start, scale.end) + 1
    return [(value, label) for value, label in ticks if low <= scale.at(value) <= high]


def _round_numbers(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _label(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".translate(SIGNED)
    mantissa, _, power = f"{value:.0e}".partition("e")
    exponent = f"<sup>{str(int(power)).translate(SIGNED)}</sup>"
    return f"10{exponent}" if mantissa == "1" else f"{mantissa}·10{exponent}".translate(SIGNED)


def _axes(figure: go.Figure, x: _Scale, y: _Scale) -> Iterator[Markup]:
    small = {"fill": "var(--muted)", "font_size": 11}
    left, right, top, bottom = x.start, x.end, y.end, y.start
    xaxis, yaxis = figure.layout.xaxis, figure.layout.yaxis
    for value, label in _ticks(yaxis, y):
        at = y.at(value)
        yield _tag("line", x1=left, x2=right, y1=at, y2=at, **_stroked(LIGHT.hairline, 1))
        yield _words(label, left - 7, at + 4, text_anchor="end", **small)
    taken = -math.inf
    for value, label in _ticks(xaxis, x):
        at = x.at(value)
        if xaxis.showgrid is not False:
            yield _tag("line", x1=at, x2=at, y1=top, y2=bottom, **_stroked(LIGHT.hairline, 1))
        half = LETTER * len(re.sub("<[^>]*>", "", label)) / 2
        if at - half > taken + 4:
            yield _words(label, at, bottom + 17, text_anchor="middle", **small)
            taken = at + half
    title = {"fill": "var(--muted)", "font_size": 12, "text_anchor": "middle"}
    yield _words(xaxis.title.text or "", (left + right) / 2, bottom + 40, **title)
    middle = (top + bottom) / 2
    yield _words(yaxis.title.text or "", 9, middle, transform=f"rotate(-90 9 {middle})", **title)


# ---- traces -----------------------------------------------------------------------------------------------------
def _points(trace: Trace, x: _Scale, y: _Scale) -> list[tuple[float, float]]:
    return [(x.at(a), y.at(b)) for a, b in zip(trace["x"], trace["y"], strict=True)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:g},{b:g}" for a, b in points)


def _area(trace: Trace, points: Sequence[tuple[float, float]], x: _Scale, y: _Scale) -> Markup:
    """A band or a hatched floor, cut at the edges of the plot."""
    left, top, width, height = x.start, y.end, x.end - x.start, y.start - y.end
    shifted = _path([(round(a - left, 1), round(b - top, 1)) for a, b in points])
    pattern = trace.get("fillpattern")
    if pattern:
        name = f"hatch-{hashlib.sha256((pattern['fgcolor'] + shifted).encode()).hexdigest()[:10]}"
        stroke = _tag("path", d="M0 6L6 0", **_stroked(pattern["fgcolor"], 1))
        inside = _tag("pattern", stroke, id=name, width=6, height=6, patternUnits="userSpaceOnUse")
        inside += _tag("polygon", points=shifted, fill=f"url(#{name})")
    else:
        inside = _tag("polygon", points=shifted, **_filled(trace["fillcolor"]))
    return _tag("svg", inside, x=left, y=top, width=width, height=height, overflow="hidden")


def _curve(trace: Trace, points: Sequence[tuple[float, float]]) -> Markup:
    line = trace.get("line", {})
    style = _stroked(line.get("color"), line.get("width", 2), line.get("dash"))
    return _tag("polyline", points=_path(points), fill="none", stroke_linejoin="round", **style)


def _marks(trace: Trace, points: Sequence[tuple[float, float]]) -> Iterator[Markup]:
    """The marks of a line, or places to point at where it has none; each says how it is known."""
    shown, marker = "markers" in trace.get("mode", ""), trace.get("marker", {})
    symbols = marker.get("symbol", "circle")
    shapes: dict[str, Markup] = {}
    for i in range(0, len(points), 1 if shown else math.ceil(len(points) / PLACES)):
        (a, b), words = points[i], _hover(trace, i)
        if shown or words:
            symbol = symbols if isinstance(symbols, str) else symbols[i]
            if symbol not in shapes:
                shapes[symbol] = _mark(symbol, marker, shown=shown)
            about = Markup(' data-words="{}"').format(words) if words else ""
            yield _DOT.format(a, b, trace["x"][i], about, shapes[symbol])


def _mark(symbol: str, marker: Mapping[str, Any], *, shown: bool) -> Markup:
    if not shown:
        return _tag("circle", r=7, fill="transparent")
    size = marker.get("size", 6) / 2
    kind, edge = symbol.removesuffix("-open"), marker.get("line", {})
    d = _MARKS[kind].format(r=f"{size:g}", s=f"{0.75 * size:.3g}", t=f"{1.2 * size:.3g}")
    if kind in _STROKED or symbol != kind:
        return _tag("path", d=d, fill="none", **_stroked(edge.get("color") or marker["color"], 1.8))
    return _tag("path", d=d, **_filled(marker["color"]), **_stroked(edge.get("color"), edge.get("width", 0)))


def _hover(trace: Trace, i: int) -> str:
    """What plotly says of a point, a line of text for each of its lines."""
    template = trace.get("hovertemplate")
    if not template:
        return ""

    def written(match: re.Match[str]) -> str:
        value = trace[match[1]][i]
        value = value if match[2] is None else value[int(match[2])]
        return format(value, match[3]) if match[3] else str(value)

    body, _, name = template.partition("<extra>")
    lines = [name.removesuffix("</extra>"), *_HOLE.sub(written, body).split("<br>")]
    return "\n".join(html.unescape(re.sub(r"</?sup>", "", line)) for line in lines if line)


def _trace(trace: Trace, x: _Scale, y: _Scale) -> Markup:
    if trace["type"] != "scatter":
        raise ValueError(f"A chart of a static page draws lines and marks, and no {trace['type']}.")
    points = _points(trace, x, y)
    if trace.get("fill") == "toself":
        return _area(trace, points, x, y)
    line = _curve(trace, points) if "lines" in trace.get("mode", "lines") else Markup("")
    kind = "chosen" if trace.get("name") == "chosen" else "trace"
    return _tag("g", line + Markup("").join(_marks(trace, points)), class_=kind)


# ---- the whole --------------------------------------------------------------------------------------------------
def _drawn(figure: go.Figure, traces: Sequence[Trace], alt: str, width: int) -> Markup:
    layout, margin = figure.layout, figure.layout.margin
    bottom = min(margin.b, BELOW)
    height = layout.height - (margin.b - bottom)
    inner = (margin.l, width - margin.r, margin.t, height - bottom)
    x = _scale(layout.xaxis, (value for trace in traces for value in trace["x"]), inner[0], inner[1])
    y = _scale(layout.yaxis, (value for trace in traces for value in trace["y"]), inner[3], inner[2])
    parts = [*_axes(figure, x, y), *(_shape(shape, x, y) for shape in layout.shapes)]
    parts += [_trace(trace, x, y) for trace in traces]
    parts += [_annotation(one, x, y) for one in layout.annotations]
    size = "narrow" if width < WIDE else "wide"
    look = {"viewBox": f"0 0 {width} {height:g}", "role": "img", "aria_label": alt, "class_": size}
    return _tag("svg", Markup("").join(parts), **look)


def _shape(shape: Any, x: _Scale, y: _Scale) -> Markup:
    """A line from top to bottom."""
    if shape.type != "line" or shape.x0 != shape.x1:
        raise ValueError("A chart of a static page has upright lines beside its curves, and no other shapes.")
    at = x.at(shape.x0)
    return _tag(
        "line", x1=at, x2=at, y1=y.end, y2=y.start, class_="chosen-line",
        **_stroked(shape.line.color, shape.line.width or 1, shape.line.dash),
    )  # fmt: skip


def _annotation(one: Any, x: _Scale, y: _Scale) -> Markup:
    across = x.start + one.x * (x.end - x.start) if one.xref == "paper" else x.of(one.x)
    up = y.start + one.y * (y.end - y.start) if one.yref == "paper" else y.of(one.y)
    anchor = {"left": "start", "right": "end"}.get(one.xanchor or "", "middle")
    style = {**_filled(one.font.color or LIGHT.ink), "font_size": one.font.size or 11}
    leader = Markup("")
    if one.showarrow:
        end = across + one.ax, up + one.ay
        leader = _tag(
            "line", x1=round(across + one.standoff, 1), y1=round(up, 1), x2=round(end[0] - 3, 1), y2=round(end[1], 1),
            **_stroked(one.arrowcolor, one.arrowwidth),
        )  # fmt: skip
        across, up = end
    return leader + _words(one.text, round(across, 1), round(up + 4, 1), text_anchor=anchor, **style)


def _legend(figure: go.Figure, traces: Sequence[Trace]) -> Markup:
    """The names of the lines with a piece of each; none where they stand at the ends."""
    if figure.layout.showlegend is False:
        return Markup("")
    rows = Markup("").join(
        _tag("li", _sample(trace) + _tag("span", html.unescape(trace.get("name", ""))))
        for trace in sorted(traces, key=lambda trace: trace.get("legendrank", 1000))
        if trace.get("showlegend") is not False
    )
    return _tag("ul", rows, class_="legend")


def _sample(trace: Trace) -> Markup:
    ends = [(1.0, 6.0), (27.0, 6.0)]
    mark = Markup("")
    if "markers" in trace.get("mode", ""):
        symbol = trace["marker"].get("symbol", "circle")
        kind = symbol if isinstance(symbol, str) else next((s for s in symbol if not s.endswith("-open")), "circle")
        mark = _tag("g", _mark(kind, trace["marker"], shown=True), transform="translate(14 6)")
    return _tag("svg", _curve(trace, ends) + mark, viewBox="0 0 28 12", aria_hidden="true")


def run_sign(colour: str, dash: str, symbol: str, paper: str) -> str:
    """A piece of a run's line with its mark, as it is on the charts: a picture, as a data URI."""
    size = 3.5 if symbol == "circle" else 5
    d = _MARKS[symbol].format(r=f"{size:g}", s=f"{0.75 * size:.3g}", t=f"{1.2 * size:.3g}")
    style = {"stroke": colour, "stroke_width": 2}
    line = _tag("path", d="M1 8H35", fill="none", stroke_dasharray=_DASHES.get(dash), **style)
    mark = _tag("path", d=d, transform="translate(18 8)", fill="none" if symbol in _STROKED else paper, **style)
    svg = _tag("svg", line + mark, xmlns="http://www.w3.org/2000/svg", width=36, height=16)
    return "data:image/svg+xml;base64," + base64.b64encode(str(svg).encode()).decode()
