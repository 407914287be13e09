"""The paper's claim as one chart: the KL, ε² and both bounds against the number of jumps, with the claimed count."""

import math

import plotly.graph_objects as go

from app.figures.experiment import panel_figure, summary
from app.figures.theme import Theme
from app.quoting import in_figure
from cmcore.experiments.base import Axis, Panel, Result, Series
from cmcore.theory.claim import ClaimCurve


def claim_figure(curve: ClaimCurve, beside: ClaimCurve | None, theme: Theme) -> go.Figure:
    """The chart; `beside` is the same claim with steps that do not shrink with d."""
    result = claim_result(curve, beside)
    figure = go.Figure(panel_figure(result, result.panels[0], theme, height=420))  # of its own: it is changed
    straight = {in_figure(line.label) for line in result.series[-2:]}
    figure.for_each_trace(lambda trace: trace.update(mode="lines"), selector=lambda trace: trace.name in straight)
    return figure


def claim_words(curve: ClaimCurve, beside: ClaimCurve | None) -> str:
    """The chart in words."""
    result = claim_result(curve, beside)
    return summary(result, result.panels[0])


def claim_result(curve: ClaimCurve, beside: ClaimCurve | None) -> Result:
    """The lines of the chart, the goal ε² and the claimed count last."""
    many = "d = 1" if curve.dim == 1 else f"d = {curve.dim:,}"
    steps = "constant steps" if curve.smooth else "steps in proportion to σ²/d"
    lines = [_line(f"KL, {steps}", "model", curve.jumps, curve.kl)]
    if beside is not None:
        lines.append(_line("KL, steps in proportion to σ², without the 1/d", "model", beside.jumps, beside.kl))
    lines.append(_line("Bound A (derived here)", "bound", curve.jumps, curve.bound_a))
    lines.append(_line("the paper's bound (as reported)", "bound", curve.jumps, curve.paper))
    jumps = [*curve.jumps, curve.claimed, *(beside.jumps if beside is not None else ())]
    least = min(jumps)
    lines.append(_line(f"ε² = {curve.eps**2:.3g}", "floor", (least, max(jumps)), (curve.eps**2,) * 2))
    heights = [y for line in lines for y in line.y]
    count = "log(d/ε)" if curve.smooth else "d·log(d/ε)"
    mark = _line(f"{count} = {_rounded(curve.claimed)}", "floor", (curve.claimed,) * 2, (min(heights), max(heights)))
    title = f"KL(data‖model) against the number of jumps, {many}, δ = {curve.delta:g}"
    panel = Panel(
        name="claim",
        x=Axis(label="jumps K", log=not curve.smooth),
        y=Axis(label="KL(data‖model), nats", log=True),
        title=title,
    )
    return Result(experiment="claim", config={}, panels=(panel,), series=(*lines, mark), reading=title)


def _line(label: str, role: str, x: tuple[float, ...], y: tuple[float, ...]) -> Series:
    return Series(label=label, role=role, panel="claim", x=x, y=y, how="closed form")  # pyright: ignore[reportArgumentType]


def _rounded(value: float) -> str:
    """15.0, 8,112."""
    return f"{value:,.1f}" if value < 100 else f"{round(value, 1 - math.floor(math.log10(value)) + 1):,.0f}"
