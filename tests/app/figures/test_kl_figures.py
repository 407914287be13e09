"""Many curves and the parts of a path's KL, as they are drawn."""

import math

import numpy as np
import pytest

from app.figures.kl_curve import Line, Point, kl_curve
from app.figures.path_kl import Parts, describe_parts, path_kl_bars
from app.figures.theme import DARK, LIGHT


def line(label, role, values, *, floor=0.0, dash="solid"):
    points = (Point(2**k, v, 0.8 * v, 1.2 * v, floor, 100, "preimages", "noise seed 2") for k, v in enumerate(values))
    return Line(label, role, tuple(points), dash)


MODEL = line("a run", "model", (0.1, 0.01, 0.001), floor=8e-4)
OTHER = line("another", "model", (0.2, 0.02, 0.002), dash="dash")
DDIM = line("DDIM", "baseline", (9.0, 1.0, 0.1), floor=8e-4)
PARTS = {
    1: Parts(0.01, (0.09,), 0.02, 0.08, 0.07, 0.09, 0.001),
    2: Parts(0.01, (0.02, 0.03), math.nan, math.nan, math.nan, math.nan, 0.001),
}


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_values_stand_where_they_were_measured_and_hover_says_how():
    figure = kl_curve([MODEL, OTHER, DDIM], theme=LIGHT, most=16)
    for each in (MODEL, OTHER, DDIM):
        (drawn,) = named(figure, each.label)
        np.testing.assert_allclose(drawn.y, [p.value for p in each.points])
        assert all("nats [" in words and "n = 100" in words and "seed 2" in words for words in drawn.customdata)
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    assert 10 ** figure.layout.xaxis.range[1] > 16


def test_colour_is_what_a_line_is_and_dash_tells_lines_of_one_kind_apart():
    figure = kl_curve([MODEL, OTHER, DDIM], theme=DARK, most=16)
    colours = [named(figure, label)[0].line.color for label in ("a run", "another", "DDIM")]
    assert colours == [DARK.model, DARK.model, DARK.baseline]
    assert named(figure, "a run")[0].line.dash != named(figure, "another")[0].line.dash


def test_bands_and_floors_can_be_left_out_and_a_floor_far_below_its_line_is():
    figure = kl_curve([MODEL, OTHER, DDIM], theme=LIGHT, most=16)
    assert len(named(figure, "interval")) == 3
    (floor,) = named(figure, "floor")
    assert max(floor.y) == 8e-4
    assert floor.fillpattern.shape == "/"
    bare = kl_curve([MODEL, OTHER, DDIM], theme=LIGHT, most=16, bands=False, floors=False)
    assert {trace.name for trace in bare.data} == {"a run", "another", "DDIM"}


def test_a_solver_that_takes_more_calls_widens_the_axis():
    far = Line("Adaptive ODE", "baseline", (Point(200, 0.1, 0.1, 0.1),))
    assert 10 ** kl_curve([far], theme=LIGHT, most=16).layout.xaxis.range[1] > 200


def test_an_empty_chart_is_still_a_chart():
    assert kl_curve([], theme=LIGHT, most=16).layout.xaxis.title.text == "network calls"


def test_names_are_words_and_not_markup():
    figure = kl_curve([line("<b>x</b>", "model", (0.1,))], theme=LIGHT, most=16)
    assert "<b>" not in figure.data[-1].hovertemplate


def test_what_makes_the_kl_of_the_paths_adds_to_the_whole():
    figure = path_kl_bars(PARTS, theme=LIGHT)
    made = [trace for trace in figure.data if trace.offsetgroup == "made of"]
    np.testing.assert_allclose(np.sum([trace.y for trace in made], axis=0), [1.0, 1.0])
    seen = [trace for trace in figure.data if trace.offsetgroup == "seen"]
    assert sum(trace.y[0] for trace in seen) == pytest.approx(1.0)
    assert math.isnan(seen[0].y[1])
    assert [trace.showlegend for trace in made] == [True, True, False]


def test_the_parts_in_words():
    words = describe_parts(PARTS)
    assert "N = 1: 0.1 nats of the paths, 10 % from the start and 90 % from the map; 20 % of it shows" in words
    assert "an unknown share" in words
    assert describe_parts({}) == "No decomposition yet."
