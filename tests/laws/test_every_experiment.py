"""Laws of every experiment: configs that refuse, results that survive JSON, the figure, the command line."""

import json
import math
import re

import pytest
from click.testing import CliRunner

from app.figures.experiment import panel_figure, summary
from app.figures.theme import DARK, LIGHT
from cmcore.cli import main
from cmcore.experiments import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series

RESULT = Result(
    experiment="made_up",
    config={"seed": 0},
    panels=(
        Panel(name="left", title="Left", x=Axis(label="d", log=True), y=Axis(label="K")),
        Panel(name="right", title="Right", x=Axis(label="h"), y=Axis(label="KL(model‖data), nats", log=True)),
    ),
    series=(
        Series(label="exact", role="exact", panel="left", x=(1, 10, 100), y=(1.0, 2.0, 3.0)),
        Series(
            label="learned", role="model", panel="right", x=(1, 2, 3), y=(1e-3, -1e-5, math.inf),
            low=(5e-4, -2e-5, 1.0), high=(2e-3, 1e-5, math.inf), how="quadrature", floor=1e-5,
        ),
    ),
    fits=(Fit(label="K against log d", slope=0.5, low=0.4, high=0.6, expected=0.5, over=(1, 100)),),
    reading="One sees what was made up.",
)  # fmt: skip


@pytest.fixture(params=list(EXPERIMENTS))
def kind(request):
    return EXPERIMENTS[request.param]


def test_an_experiment_says_what_it_asks_and_every_field_says_what_it_is(kind):
    assert kind.question.endswith("?")
    assert kind.expects.endswith(".")
    assert kind.label
    assert kind.code
    assert kind().seed == 0
    assert all(info.description for info in kind.model_fields.values())


def test_an_experiment_survives_json_and_refuses_what_it_does_not_know(kind):
    assert kind(**json.loads(kind().model_dump_json())) == kind()
    with pytest.raises(ValueError, match="not_a_field"):
        kind(not_a_field=1)
    with pytest.raises(ValueError, match="seed"):
        kind(seed=-1)


def test_a_result_survives_json_infinities_included():
    assert Result.from_json(RESULT.to_json()) == RESULT
    for broken in ("", "[]", "{}", RESULT.to_json()[:-3], RESULT.to_json().replace('"reading"', '"riding"')):
        with pytest.raises(ValueError, match=r"\S"):
            Result.from_json(broken)


def test_every_point_is_a_row_of_the_table():
    rows = RESULT.to_csv().strip().splitlines()
    assert len(rows) == 1 + 3 + 3
    assert rows[0].startswith("panel,series,role,x,y,low,high")


def test_running_tells_every_part_and_returns_the_result():
    class Counted(Experiment):
        def measure(self):
            yield Progress(0.0, "first")
            yield Progress(0.5, "second")
            return RESULT

    told = []
    assert Counted().run(told.append) is RESULT
    assert [part.words for part in told] == ["first", "second"]


# ---- the figure -------------------------------------------------------------------------------------------------
def drawn(panel, theme=LIGHT):
    figure = panel_figure(RESULT, RESULT.panels[panel], theme)
    return figure.layout, {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_panel_holds_its_points_on_named_axes_in_the_colour_of_their_role(theme):
    layout, traces = drawn(0, theme)
    assert set(traces) == {"exact"}
    assert list(traces["exact"].x) == [1, 10, 100]
    assert traces["exact"].line.color == theme.exact
    assert (layout.xaxis.title.text, layout.xaxis.type) == ("d", "log")
    layout, traces = drawn(1, theme)
    assert traces["learned"].line.color == theme.model
    assert (layout.yaxis.title.text, layout.yaxis.type) == ("KL(model‖data), nats", "log")


def test_g7_no_two_lines_of_a_panel_are_told_apart_by_colour_alone():
    roles = ("exact", "model", "bound", "baseline", "baseline", "floor", "model", "exact")
    lines = tuple(
        Series(label=f"line {i}", role=role, panel="left", x=(1, 10), y=(i + 1, i + 2)) for i, role in enumerate(roles)
    )
    figure = panel_figure(RESULT.model_copy(update={"series": lines}), RESULT.panels[0], LIGHT)
    looks = [(trace.line.dash, trace.marker.symbol) for trace in figure.data]
    assert len(set(looks)) == len(roles)


def with_learned(**values):
    """The right panel, its only line with other numbers: the figure's layout, the line as it is drawn, the words."""
    line = RESULT.series[1].model_copy(update=values)
    result = RESULT.model_copy(update={"series": (line,)})
    figure = panel_figure(result, RESULT.panels[1], LIGHT)
    (trace,) = (trace for trace in figure.data if trace.name == line.label)
    return figure.layout, trace, summary(result, RESULT.panels[1])


def test_g4_what_is_not_above_zero_stands_on_the_foot_with_its_upper_end_and_is_counted():
    layout, trace, words = with_learned()
    assert list(trace.x) == [1, 2], "the third has no upper end, and is no number"
    assert trace.y[0] == 1e-3
    assert trace.y[1] == pytest.approx(10 ** layout.yaxis.range[0])
    assert trace.y[1] < 1e-5, "the upper end has its place on the axis"
    assert re.findall(r"\d+", words.partition("(of ")[2]) == ["3", "1", "1"], "of three, one on the foot, one left out"


def test_what_a_logarithmic_axis_cannot_show_is_left_out_and_counted():
    everything = {"y": (1e-3, -1e-5, 0.0), "low": (5e-4, -2e-5, -1.0)}
    _, trace, words = with_learned(**everything, high=(2e-3, -1e-6, 0.0))
    assert list(trace.x) == [1]
    assert re.findall(r"\d+", words.partition("(of ")[2]) == ["3", "2"]
    _, trace, _ = with_learned(**everything, high=(2e-3, math.inf, 1e-5))
    assert list(trace.x) == [1, 3]
    assert "(of " not in with_learned(y=(1e-3,) * 3, low=(5e-4,) * 3, high=(2e-3,) * 3)[2]


def test_a_point_without_an_upper_end_is_no_number_and_does_not_stretch_the_axis():
    _, trace, words = with_learned(y=(1e-3, 0.5, 1e-4), low=(5e-4,) * 3, high=(2e-3, math.inf, 1e-3))
    assert list(trace.x) == [1, 3]
    assert max(trace.y) <= 2e-3
    assert re.findall(r"\d+", words.partition("(of ")[2]) == ["3", "1"]


def test_values_that_hardly_differ_do_not_fill_the_axis():
    layout, trace, _ = with_learned(y=(1e-3, 1.1e-3, 1.05e-3), low=(9e-4,) * 3, high=(1.2e-3,) * 3)
    low, high = layout.yaxis.range
    assert high - low == pytest.approx(1)
    assert 10**low < min(trace.y) / 2 < 2 * max(trace.y) < 10**high


# ---- the command line -------------------------------------------------------------------------------------------
def test_every_experiment_is_a_command_with_an_option_for_each_field(kind):
    name = next(name for name, other in EXPERIMENTS.items() if other is kind)
    told = CliRunner().invoke(main, ["experiment", name, "--help"], terminal_width=200)
    assert told.exit_code == 0, told.output
    for field in kind.model_fields:
        assert f"--{field.replace('_', '-')}" in told.output


def test_a_field_out_of_range_and_an_unknown_question_are_one_sentence():
    name = next(iter(EXPERIMENTS))
    for arguments in ([name, "--seed", "-1"], ["no_such_question"]):
        told = CliRunner().invoke(main, ["experiment", *arguments])
        assert told.exit_code == 2
        assert "Traceback" not in told.output
