"""Figures hold the values they are given, on axes that say what they are."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from app.figures.claim import claim_figure, claim_result
from app.figures.experiment import drawable, panel_figure
from app.figures.kl_curve import Line, Point, describe, kl_curve
from app.figures.log_axis import reach, whole_decades
from app.figures.loss import live_kl_chart, loss_chart
from app.figures.over_time import MeanAtTime, over_time
from app.figures.theme import DARK, LIGHT, mix, theme
from app.figures.thumbnail import thumbnail
from cmcore.experiments.base import Axis, Panel, Series
from cmcore.files import LAB
from cmcore.theory.claim import claim_curve

MODEL = Line(
    "learned map", "model", tuple(Point(n, 0.1 / n, 0.08 / n, 0.12 / n, 2e-3, 20_000) for n in (1, 2, 4, 8, 16))
)
DDIM = Line("DDIM", "baseline", tuple(Point(n, 50 / n**2, 49 / n**2, 51 / n**2) for n in (1, 2, 4, 8, 16)), "dot")
BOUND = Line("Bound A", "bound", tuple(Point(n, 0.5 / n, 0.5 / n, 0.5 / n) for n in (1, 2, 4, 8, 16)), "dashdot")


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_values_stand_where_they_were_measured():
    drawn = traces(kl_curve([MODEL, DDIM, BOUND], calls=4, theme=LIGHT))
    for line in (MODEL, DDIM, BOUND):
        assert list(drawn[line.label].x) == [p.calls for p in line.points]
        np.testing.assert_allclose(drawn[line.label].y, [p.value for p in line.points])


def test_axes_are_logarithmic_and_named():
    layout = kl_curve([MODEL], calls=4, theme=LIGHT).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert (layout.xaxis.title.text, layout.yaxis.title.text) == ("network calls", "KL, nats")


def test_the_chosen_n_is_marked():
    figure = kl_curve([MODEL, DDIM], calls=8, theme=LIGHT)
    assert (traces(figure)["chosen"].x, traces(figure)["chosen"].y) == ((8,), (0.1 / 8,))
    assert figure.layout.shapes[0].x0 == 8


def test_band_and_floor():
    drawn = traces(kl_curve([MODEL], calls=4, theme=LIGHT))
    assert max(drawn["interval"].y) == pytest.approx(0.12)
    assert max(drawn["floor"].y) == 2e-3
    assert drawn["floor"].fillpattern.shape == "/"


def test_every_line_is_named_at_its_end_and_names_keep_apart():
    twins = [Line(name, "baseline", (Point(1, 1.0, 1.0, 1.0), Point(16, 0.1, 0.1, 0.1))) for name in ("a", "b", "c")]
    labels = kl_curve([*twins, MODEL], calls=4, theme=LIGHT).layout.annotations
    assert {label.text for label in labels} == {"a", "b", "c", "learned map"}
    heights = sorted(label.y for label in labels)
    assert min(np.diff(heights)) > 0.05


def test_lines_differ_by_colour_and_by_dash():
    drawn = traces(kl_curve([MODEL, DDIM, BOUND], calls=4, theme=DARK))
    assert [drawn[k].line.color for k in ("learned map", "DDIM", "Bound A")] == [DARK.model, DARK.baseline, DARK.bound]
    assert len({drawn[k].line.dash for k in ("learned map", "DDIM", "Bound A")}) == 3


def drawn_on(axis_of, points):
    """The line, its band and the ends of the axis, as one of the figures draws (value, low, high) at 1, 2, 4, …"""
    calls = [2**i for i in range(len(points))]
    if axis_of == "experiment":
        values, low, high = zip(*points, strict=True)
        series = Series(panel="p", label="a", role="model", x=calls, y=values, low=low, high=high)
        axis = Axis(label="KL", log=True)
        panel = Panel(name="p", x=Axis(label="N", log=True), y=axis)
        result = SimpleNamespace(series=(series,), panels=(panel,))
        figure = panel_figure(result, panel, LIGHT)
        return traces(figure)["a"], traces(figure)["a, interval"], figure.layout.yaxis.range
    if axis_of == "over_time":
        means = [
            MeanAtTime(3.0 / n, value, low, high, value, high)
            for n, (value, low, high) in zip(calls, points, strict=True)
        ]
        figure = over_time(means, chosen=3.0, end=0.1, label="a", theme=LIGHT)
        return traces(figure)["a"], traces(figure)["interval"], figure.layout.yaxis.range
    line = Line("a", "model", tuple(Point(n, *point) for n, point in zip(calls, points, strict=True)))
    figure = kl_curve([line], calls=1, theme=LIGHT) if axis_of == "kl" else kl_curve([line], most=16, theme=LIGHT)
    return traces(figure)["a"], traces(figure)["interval"], figure.layout.yaxis.range


@pytest.mark.parametrize("axis_of", ["kl", "kl_curves", "experiment", "over_time"])
def test_g4_positive_ends_stand_where_they_are(axis_of):
    points = [(1.0, 0.9, 1.1), (0.1, 1e-6, 0.2), (0.02, 0.001, 0.03)]
    line, band, (low, high) = drawn_on(axis_of, points)
    assert list(line.y) == [1.0, 0.1, 0.02]
    assert list(band.y) == [1.1, 0.2, 0.03, 0.001, 1e-6, 0.9]
    assert 0.0001 <= 10**low <= 0.002, "a decade below the least value, and no further"
    assert 1.1 <= 10**high <= 10


@pytest.mark.parametrize("axis_of", ["kl", "kl_curves", "experiment"])
def test_g4_a_value_below_zero_stands_on_the_foot_with_its_upper_end(axis_of):
    points = [(1.0, 0.9, 1.1), (-1e-5, -3e-3, 4e-3), (0.02, -0.001, 0.03)]
    line, band, (low, _) = drawn_on(axis_of, points)
    foot = 10**low
    assert foot > 1e-4, "one value at or below zero stretches no axis"
    np.testing.assert_allclose(line.y, [1.0, foot, 0.02])
    assert line.marker.symbol[1] != line.marker.symbol[0] == line.marker.symbol[2]
    np.testing.assert_allclose(band.y[:3], [1.1, 4e-3, 0.03])
    assert band.y[3] < foot
    assert band.y[4] < foot
    assert band.y[5] == 0.9
    assert any("-1e-05" in str(words) for words in line.customdata), "what hovers says the value itself"


@pytest.mark.parametrize("axis_of", ["kl", "kl_curves"])
def test_g4_an_axis_for_nothing_above_zero_is_still_one(axis_of):
    _, _, limits = drawn_on(axis_of, [(-1.0, -2.0, -0.5), (0.0, 0.0, 0.0)])
    assert all(math.isfinite(limit) for limit in limits)


def test_g4_what_has_nothing_above_zero_is_left_out_and_said():
    values = {"y": (0.5, -0.1, -0.2), "low": (0.4, -0.3, -0.3), "high": (0.6, 0.1, -0.1)}
    series = Series(panel="p", label="a", role="model", x=(1, 2, 4), **values)
    assert drawable(series, Axis(label="KL", log=True)) == [0, 1]
    assert drawable(series, Axis(label="KL")) == [0, 1, 2]


def test_an_empty_chart_is_still_a_chart():
    assert kl_curve([], calls=4, theme=LIGHT).layout.xaxis.title.text == "network calls"
    assert describe([]) == "No measurement yet."


def test_the_chart_in_words():
    assert "learned map: 0.1 nats at 1, 0.0063 at 16 network calls" in describe([MODEL, DDIM])


def test_loss_chart_names_its_axes():
    encoding = loss_chart(LIGHT)["encoding"]
    assert (encoding["x"]["title"], encoding["y"]["title"]) == ("optimiser steps", "loss")
    assert encoding["y"]["scale"]["type"] == "log"
    json.dumps(loss_chart(DARK))


def test_each_colour_stands_in_the_configuration_alone():
    files = [file for file in (LAB / "app").rglob("*") if file.suffix in {".py", ".js", ".css", ".html", ".jinja"}]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    written = {colour.upper() for colour in re.findall("#[0-9A-Fa-f]{6}", text)}
    for colours in (LIGHT, DARK):
        meanings = {colours.data, colours.model, colours.exact, colours.error, colours.baseline, colours.bound}
        assert len(meanings) == 6
        assert not meanings & written


def contrast(first: str, second: str) -> float:
    def luminance(colour):
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    a, b = sorted((luminance(first), luminance(second)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_words_can_be_read(name):
    colours = theme(name)
    assert contrast(colours.ink, colours.paper) > 7
    assert contrast(colours.muted, colours.paper) > 4.5


def test_mixing():
    assert mix("#000000", "#FFFFFF", 0.0) == "#FFFFFF"
    assert mix("#102030", "#FFFFFF", 1.0) == "#102030"


def test_thumbnail_fills_its_square():
    import base64
    import re

    points = np.random.default_rng(0).normal(5.0, 3.0, size=(50, 2))
    svg = base64.b64decode(thumbnail(points, "#0072B2").split(",", 1)[1]).decode()
    centres = np.array([[float(v) for v in pair] for pair in re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', svg)])
    assert centres.shape == (50, 2)
    assert centres.min() >= 0
    assert centres.max() <= 56
    assert np.ptp(centres, axis=0).max() > 40


def test_g4_kl_while_it_trains_follows_the_same_rule():
    from app.pages.train.report import _drawn, _row
    from app.training.job import LiveKL
    from cmcore.divergences.estimate import Estimate

    kinds = [(1.0, 0.9, 1.1, 0.0), (0.1, 1e-6, 0.2, 0.0), (-1e-4, -1e-3, 5e-3, 2e-3)]
    estimates = [
        Estimate(value, low, high, "KL(model‖data)", 0.0, "grid", 100, floor, trusted=True, note="")
        for value, low, high, floor in kinds
    ]
    limits = whole_decades(reach(map(_drawn, estimates)))
    rows = [_row(LiveKL(i, 1.0, estimate), "this", limits[0]) for i, estimate in enumerate(estimates)]
    assert limits == pytest.approx((1e-4, 10.0))
    assert [row["from"] for row in rows] == [0.9, 1e-6, limits[0]]
    assert [row["low"] for row in rows] == [estimate.low for estimate in estimates]
    assert (rows[2]["kl"], rows[2]["to"]) == (2e-3, estimates[2].high)
    chart = live_kl_chart(LIGHT, "KL", limits)
    assert chart["layer"][0]["encoding"]["y"]["scale"]["domain"] == list(limits)
    assert chart["layer"][0]["mark"]["clip"]


def test_a_chart_is_made_once_and_not_changed_by_who_makes_another_of_it():
    first = kl_curve([MODEL, DDIM], calls=4, theme=LIGHT)
    before = first.to_json()
    assert kl_curve([MODEL, DDIM], calls=4, theme=LIGHT) is first
    assert kl_curve([MODEL, DDIM], calls=8, theme=LIGHT) is not first
    assert first.to_json() == before


def test_a_claim_changes_no_chart_of_its_lines():
    claim = claim_curve(dim=10, eps=0.1, smooth=True)
    result = claim_result(claim, None)
    drawn = panel_figure(result, result.panels[0], LIGHT, height=420)
    before = drawn.to_json()
    assert claim_figure(claim, None, LIGHT).to_json() != before
    assert drawn.to_json() == before
