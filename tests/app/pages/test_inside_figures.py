"""The pictures of Inside: what stands where, what is told in words, and what colours mean."""

import math

import numpy as np
import pytest

from app.figures.heat import COLOURED, Field, describe_field, determinant_map, field_map, time_ticks
from app.figures.mode_mass import MOST, ModeRow, describe_modes, mode_masses
from app.figures.over_time import MeanAtTime, describe_means, over_time
from app.figures.straightness import describe_straightness, straightness_histogram, straightness_of_starts
from app.figures.theme import DARK, LIGHT

AXIS = np.linspace(-1, 1, 5)
VALUES = np.full((5, 5), 0.01)
VALUES[3, 1] = 0.2
VALUES[0, 0] = np.nan
PLANE = Field(AXIS, AXIS, VALUES, density=np.exp(-(AXIS[:, None] ** 2) - AXIS**2), levels=(0.5, 0.1))
TIMES = (3.0, 1.0, 0.2)
LINE = Field(np.array([math.acos(math.exp(-t)) for t in TIMES]), AXIS, VALUES[:, :3], times=TIMES)
MEANS = [
    MeanAtTime(0.2, 0.01, 0.0, 0.02, 0.004, 0.02),
    MeanAtTime(1.0, 0.03, 0.02, 0.04, 0.005, 0.1),
    MeanAtTime(3.0, 0.02, 0.01, 0.03, 0.006, 0.1),
]


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_a_map_shows_decades_in_the_error_colour_and_nothing_where_nothing_is_known():
    figure = field_map(PLANE, unit="x", label="error", theme=LIGHT)
    (heat,) = named(figure, "error")
    np.testing.assert_allclose(heat.z[3, 1], math.log10(0.2))
    assert np.isnan(heat.z[0, 0])
    assert (heat.zmin, heat.zmax) == COLOURED["x"]
    assert LIGHT.error in {colour for _, colour in heat.colorscale}
    lines = [(line.line.color, line.line.dash) for line in named(figure, "density")]
    edge = (LIGHT.paper, "solid")  # so that grey eyes see them on the map
    assert lines == [edge, (LIGHT.data, "solid"), edge, (LIGHT.data, "dot")]
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("x₁", "x₂")
    assert "x" in heat.colorbar.title.text


def test_an_exact_value_of_zero_has_the_palest_colour():
    (heat,) = named(field_map(Field(AXIS, AXIS, VALUES * 0), unit="x", label="e", theme=LIGHT), "e")
    assert np.nanmax(heat.z) < heat.zmin


def test_over_a_line_time_runs_from_noise_to_data_and_hover_tells_it():
    figure = field_map(LINE, unit="x/rad", label="residual", theme=DARK)
    assert figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]
    assert figure.layout.xaxis.ticktext[0] == "3"
    (heat,) = named(figure, "residual")
    np.testing.assert_allclose(heat.customdata[0, :, 0], TIMES, rtol=1e-6)


def test_a_map_in_words_says_where_it_is_worst():
    assert "the largest is 0.2 at (−0.50, 0.50)" in describe_field(PLANE, "Error", "x")
    assert "at t = 1, x = 0.50" in describe_field(LINE, "Error", "x")
    assert describe_field(Field(AXIS, AXIS, VALUES * np.nan), "Error", "x") == "Nothing to show."


def test_what_is_turned_over_is_drawn_as_an_error():
    sign = np.ones((5, 5))
    sign[2, 2] = sign[0, 0] = -1
    figure = determinant_map(PLANE, sign, theme=LIGHT)
    (folds,) = named(figure, "folds")
    assert np.argwhere(np.isfinite(folds.z)).tolist() == [[2, 2]]
    assert {colour for _, colour in folds.colorscale} == {LIGHT.error}
    assert folds.customdata[2, 2, 1] < 0
    edges = named(figure, "edge of the folds")
    assert {edge.line.color for edge in edges} == {LIGHT.ink, LIGHT.paper}, "seen without its colour, too (G7)"
    assert not named(determinant_map(PLANE, np.ones((5, 5)), theme=LIGHT), "edge of the folds")


def test_round_times_keep_clear_of_the_ends():
    for start, end in ((3.0, 0.0), (3.0, 0.5), (1.0, 0.9)):
        ticks = time_ticks(start, end)
        theta = [math.acos(math.exp(-t)) for t in ticks]
        assert (ticks[0], ticks[-1]) == (start, end)
        assert all(a - b > 0.08 * (theta[0] - theta[-1]) for a, b in ((theta[0], theta[1]), (theta[-2], theta[-1])))
    assert 0.5 in time_ticks(3.0, 0.0)


def test_means_over_time_are_drawn_with_their_interval_and_the_chosen_one_marked():
    figure = over_time(MEANS, chosen=1.0, end=0.0, label="error", theme=LIGHT)
    (drawn,) = named(figure, "error")
    assert drawn.y == (0.02, 0.03, 0.01)
    assert [told[0] for told in drawn.customdata] == [3.0, 1.0, 0.2]
    (median,) = named(figure, "median")
    assert median.y == (0.006, 0.005, 0.004)
    (mark,) = named(figure, "chosen")
    assert mark.y == (0.03,)
    assert figure.layout.yaxis.type == "log"
    assert min(named(figure, "interval")[0].y) > 0
    assert "largest at t = 1, 0.03" in describe_means(MEANS, "Error")
    assert describe_means([], "Error") == "Not measured yet."


def test_histograms_of_straightness_are_shares_and_green_is_exact():
    exact, model = np.array([0.1, 0.5, 0.5, 1.0]), np.array([0.5, 0.5, 0.5, 0.5])
    figure = straightness_histogram(exact, model, theme=LIGHT)
    for name, colour in (("exact paths", LIGHT.exact), ("model", LIGHT.model)):
        (drawn,) = named(figure, name)
        assert sum(drawn.y[:-1]) == pytest.approx(1)
        assert drawn.line.color == colour
    alone = straightness_histogram(exact, None, theme=LIGHT)
    assert [trace.name for trace in alone.data] == ["exact paths"]
    assert "the model’s median is 0.50" in describe_straightness(exact, model)
    assert "model" not in describe_straightness(exact, None)


@pytest.mark.parametrize("d", [1, 2])
def test_straightness_stands_where_the_path_starts(d):
    starts = np.array([[0.1, 0.2], [0.3, 0.4]])[:, :d]
    (drawn,) = straightness_of_starts(starts, np.array([0.5, 1.0]), theme=LIGHT).data
    np.testing.assert_allclose(drawn.x, starts[:, 0])
    np.testing.assert_allclose(drawn.y, starts[:, 1] if d == 2 else [0.5, 1.0])


def test_every_mode_has_its_exact_mass_and_the_models_interval():
    rows = [ModeRow("(0, 1)", 0.5, 0.52, 0.49, 0.55), ModeRow("(1, 0)", 0.5, 0.4, 0.37, 0.43)]
    figure = mode_masses(rows, theme=LIGHT)
    exact, model = figure.data
    assert (exact.x, model.x) == ((0.5, 0.5), (0.52, 0.4))
    assert model.error_x.array == pytest.approx((0.03, 0.03))
    assert (exact.marker.line.color, model.marker.color) == (LIGHT.exact, LIGHT.model)
    words = describe_modes(rows, 1_000, 1)
    assert "1,000 samples in 1 jump, the intervals of 1 of 2 modes" in words
    assert "the mode at (1, 0), 0.400 for 0.500" in words
    assert len(mode_masses(rows * MOST, theme=LIGHT).data[0].x) == MOST
