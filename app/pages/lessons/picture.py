"""What the gallery shows of a lesson: its figure, small."""

import math
from collections.abc import Iterable

import streamlit as st

import cmcore as cm
from app.figures.experiment import drawable, role_colour
from app.figures.lesson_picture import Trace, chart_picture, stage_picture
from app.figures.theme import Theme, theme
from app.pages.lessons.figures import mapped_of, sampler_of
from app.pages.lessons.model import AnswerFigure, AnyFigure, CurveFigure, StageFigure
from app.pages.lessons.numbers import answer_of, run_of
from app.stage.scene import extent_of, plane, shown_samples
from cmcore.experiments.base import Axis

DOTS = 260


def picture_of(figure: AnyFigure, theme_name: str | None) -> str:
    """The picture as a data URI."""
    return _picture(figure.model_dump_json(), theme_name, figure)


@st.cache_data(max_entries=128, show_spinner=False)
def _picture(key: str, theme_name: str | None, _figure: AnyFigure) -> str:
    colours = theme(theme_name)
    match _figure:
        case StageFigure():
            return _stage(_figure, colours)
        case AnswerFigure():
            return _answer(_figure, colours)
        case CurveFigure():
            return _curve(_figure, colours)


def _stage(figure: StageFigure, colours: Theme) -> str:
    mapped, config = mapped_of(figure), sampler_of(figure)
    grid = cm.make_grid(config.grid, config.steps, horizon=config.horizon, delta=config.delta)
    drawn = cm.sample(
        mapped.model, DOTS, config.steps, seed=figure.seed, grid=grid, sampler=config.sampler, renoise=config.renoise,
        dim=mapped.target.dim,
    )  # fmt: skip
    data = shown_samples(mapped.target, DOTS)
    return stage_picture(data, plane(drawn.states), extent_of(mapped.target), colours)


def _answer(figure: AnswerFigure, colours: Theme) -> str:
    result = answer_of(figure.answer)
    panel = next(panel for panel in result.panels if panel.name == figure.panels[0])
    traces = []
    for line in result.series:
        shown = drawable(line, panel.y) if line.panel == panel.name else []
        shown = [i for i in shown if line.y[i] > 0 or not panel.y.log]
        if shown:
            x, y = ([values[i] for i in shown] for values in (line.x, line.y))
            strong = line.role in ("model", "exact")
            traces.append(Trace(_scaled(x, panel.x), _scaled(y, panel.y), role_colour(line, colours), strong))
    return chart_picture(traces, colours)


def _curve(figure: CurveFigure, colours: Theme) -> str:
    shown = {
        "deterministic": colours.model,
        "renoise": colours.model,
        "ddim": colours.baseline,
        "heun": colours.baseline,
    }
    axis, traces, delta = Axis(label="", log=True), [], None
    curves = [c for c in run_of(figure.run).curves.values() if c.estimates[0].direction == figure.direction]
    delta = next((c.config["delta"] for c in curves if c.sampler == figure.sampler), None)
    for curve in curves:
        if curve.config["delta"] == delta and curve.sampler in (figure.sampler, "ddim", "heun"):
            points = [(n, e.value) for n, e in zip(curve.values, curve.estimates, strict=True) if e.value > 0]
            x, y = zip(*points, strict=True)
            traces.append(
                Trace(_scaled(x, axis), _scaled(y, axis), shown[curve.sampler], curve.sampler == figure.sampler)
            )
    return chart_picture(traces, colours)


def _scaled(values: Iterable[float], axis: Axis) -> tuple[float, ...]:
    return tuple(math.log10(value) if axis.log else value for value in values)
