"""Charts without plotly: the same points at the same places, in the page's own colours."""

import re
from xml.etree import ElementTree as ET

import plotly.graph_objects as go
import pytest

from app.figures.experiment import panel_figure, summary
from app.figures.kl_curve import Line, Point, describe, kl_curve
from app.figures.svg import NARROW, WIDE, chart
from app.figures.theme import DARK, LIGHT
from cmcore.experiments.base import Axis, Panel, Result, Series

HOSTILE = '</text><script>alert("1")</script>&{customdata}'
CURVES = [
    Line("learned map", "model", tuple(Point(n, 0.1 / n, 0.08 / n, 0.12 / n, 0.02, 100, "exact") for n in (1, 2, 4))),
    Line("DDIM", "baseline", tuple(Point(n, 1 / n, 0.9 / n, 1.1 / n, 0.0, 100, "exact") for n in (1, 2, 4)), "dot"),
]


def read(made):
    return ET.fromstring(f"<div>{made}</div>")


def of_class(root, name):
    return [element for element in root.iter() if name in element.get("class", "").split()]


def place(dot):
    return tuple(float(part) for part in re.findall(r"-?[\d.]+", dot.get("transform")))


def test_equal_ratios_are_equal_distances_on_logarithmic_axes():
    made = read(chart(kl_curve(CURVES, theme=LIGHT), describe(CURVES)))
    wide, narrow = (of_class(made, name)[0] for name in ("wide", "narrow"))
    assert wide.get("viewBox").split()[2] == str(WIDE)
    assert narrow.get("viewBox").split()[2] == str(NARROW)
    dots = [dot for dot in of_class(wide, "dot") if "learned map" in dot.get("data-words")]
    assert [dot.get("data-x") for dot in dots] == ["1", "2", "4"]
    (x1, y1), (x2, y2), (x4, y4) = map(place, dots)
    assert x2 - x1 == pytest.approx(x4 - x2, abs=0.2)
    assert y2 - y1 == pytest.approx(y4 - y2, abs=0.2)
    assert y2 > y1  # a smaller KL stands lower


def test_a_chart_says_in_words_what_it_shows_and_how_each_point_is_known():
    made = chart(kl_curve(CURVES, theme=LIGHT), describe(CURVES))
    pictures = of_class(read(made), "wide")
    assert pictures[0].get("aria-label") == describe(CURVES)
    words = of_class(read(made), "dot")[0].get("data-words")
    for part in ("1 call", "nats", "exact", "n = 100"):
        assert part in words


def test_colours_are_the_readers_own():
    made = chart(kl_curve(CURVES, theme=LIGHT, calls=2), "")
    assert "var(--model)" in made
    assert "var(--baseline)" in made
    for theme in (LIGHT, DARK):
        assert theme.model not in made
    assert not re.search(r"#[0-9a-fA-F]{6}|rgba?\(", made)


def test_a_floor_is_hatched_within_the_plot():
    patterns = [
        element for element in read(chart(kl_curve(CURVES, theme=LIGHT), "")).iter() if element.tag == "pattern"
    ]
    assert len(patterns) == len({pattern.get("id") for pattern in patterns}) == 2  # one for each width


def test_names_of_outside_are_words_and_nothing_else():
    line = Line(HOSTILE, "model", CURVES[0].points)
    panel = Panel(name="p", x=Axis(label=HOSTILE), y=Axis(label=HOSTILE, log=True), title=HOSTILE)
    series = Series(label=HOSTILE, role="model", panel="p", x=(1.0, 2.0), y=(0.5, 0.2), how=HOSTILE)
    result = Result(experiment="e", config={}, panels=(panel,), series=(series,), reading=HOSTILE)
    for figure, words in (
        (kl_curve([line], theme=LIGHT), describe([line])),
        (panel_figure(result, panel, LIGHT), summary(result, panel)),
    ):
        made = chart(figure, words)
        assert "<script" not in made
        root = read(made)
        assert "script" not in {element.tag for element in root.iter()}
        assert all(HOSTILE in dot.get("data-words") for dot in of_class(root, "dot"))


def test_a_linear_axis_has_round_numbers_and_its_points_between_them():
    panel = Panel(name="p", x=Axis(label="x"), y=Axis(label="y"))
    series = Series(label="a", role="exact", panel="p", x=(0.0, 5.0, 10.0), y=(-1.0, 0.0, 1.0))
    result = Result(experiment="e", config={}, panels=(panel,), series=(series,), reading="")
    root = read(chart(panel_figure(result, panel, LIGHT), ""))
    wide = of_class(root, "wide")[0]
    labels = {(t.get("text-anchor"), "".join(t.itertext())): t for t in wide.iter("text")}
    x, y = place(of_class(wide, "dot")[1])
    assert float(labels["end", "0"].get("y")) - 4 == pytest.approx(y, abs=0.2)
    ends = [float(labels["middle", label].get("x")) for label in ("0", "10")]
    assert sum(ends) / 2 == pytest.approx(x, abs=0.2)
    assert [li.find("span").text for li in root.iter("li")] == ["a"]


def test_what_cannot_be_drawn_is_refused_and_not_left_out():
    figure = go.Figure(go.Bar(x=[1], y=[1]), layout={"height": 100, "margin": {"l": 1, "r": 1, "t": 1, "b": 1}})
    with pytest.raises(ValueError, match="bar"):
        chart(figure, "")
