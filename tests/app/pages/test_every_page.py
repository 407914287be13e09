"""The pages run, answer to their widgets and to links, and never show a traceback."""

import re
import time
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background import task
from app.runs import library as run_library
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import summary
from cmcore.settings import settings_of
from tests.app.conftest import PATIENCE, html, page_of, poll, untrained

ENTRY = Path(__file__).parents[3] / "streamlit_app.py"


def page(**query):
    at = AppTest.from_file(ENTRY, default_timeout=PATIENCE)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


@pytest.fixture
def explore(shipped):
    at = page()
    assert not at.exception
    return at


def test_explore_opens_on_a_run_with_four_jumps(explore):
    assert explore.select_slider(key="steps").value == 4
    assert "KL(model ∥ data), δ = 0" in html(explore)
    assert "Eight Gaussians" in html(explore)
    assert not explore.warning


def test_the_card_follows_n_and_shows_an_estimate(explore):
    poll(explore, lambda at: "Estimator" in html(at))
    explore.select_slider(key="steps").set_value(1).run()
    assert explore.query_params["n"] in ("1", ["1"])
    poll(explore, lambda at: "Estimator" in html(at))


def captions(at):
    return [caption.value for caption in at.caption]


def test_p6_another_sampler_keeps_the_measure_where_it_can_and_says_where_it_cannot(explore):
    explore.button_group(key="sampler").set_value("renoise").run()
    assert not explore.exception
    assert "KL(model ∥ data), δ = 0.02" in html(explore)  # the same divergence; δ = 0 has no density
    (words,) = [words for words in captions(explore) if "cannot be compared" in words]
    assert words.startswith("δ went from 0 to 0.02")
    explore.run()
    assert words in captions(explore)  # until something else is chosen
    explore.button_group(key="sampler").set_value("deterministic").run()
    assert "KL(model ∥ data), δ = 0.02" in html(explore)
    assert not [words for words in captions(explore) if "cannot be compared" in words]
    assert [words for words in captions(explore) if words.startswith("δ stays 0.02")]


def test_p6_what_somebody_chooses_is_not_explained_to_her(explore):
    explore.select_slider(key="delta").set_value(0.05).run()
    explore.button_group(key="direction").set_value("KL(data‖model)").run()
    assert "KL(data ∥ model), δ = 0.05" in html(explore)
    explore.button_group(key="sampler").set_value("renoise").run()
    assert "KL(data ∥ model), δ = 0.05" in html(explore)
    assert not [words for words in captions(explore) if "δ" in words and "compared" in words]


def test_p6_a_link_with_fresh_noise_opens_on_its_usual_measure_without_a_word(shipped):
    at = page(sampler="renoise")
    assert "KL(data ∥ model), δ = 0.02" in html(at)
    assert not [words for words in captions(at) if "compared" in words]


def test_p6_another_run_says_what_it_did_not_learn(explore):
    explore.button_group(key="run").set_value("checkerboard").run()
    (words,) = [words for words in captions(explore) if "cannot be compared" in words]
    assert words.startswith("δ went from 0 to 0.01, since this run learned nothing below")


def test_a_target_that_is_not_smooth_stops_early(explore):
    explore.button_group(key="run").set_value("checkerboard").run()
    assert not explore.exception
    assert "δ = 0.01" in html(explore)


def test_a_link_restores_the_view(shipped):
    at = page(n="8", sampler="renoise", delta="0.05", seed="7", run="checkerboard")
    assert not at.exception
    assert not at.warning
    assert at.select_slider(key="steps").value == 8
    assert at.button_group(key="sampler").value == "renoise"
    assert at.number_input(key="seed").value == 7
    assert "δ = 0.05" in html(at)
    assert at.query_params["run"] in ("checkerboard", ["checkerboard"])


@pytest.mark.parametrize(
    "query",
    [
        {"n": "3000"}, {"n": "banana"}, {"sampler": "<script>"}, {"run": "nobody"}, {"seed": "-1"}, {"seed": "1e99"},
        {"delta": "nan"}, {"eta": "2"}, {"grid": "square"},
    ],
)  # fmt: skip
def test_a_bad_link_is_a_sentence(shipped, query):
    at = page(**query)
    assert not at.exception
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value
    assert at.select_slider(key="steps").value == 4


def test_without_any_run_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
    at = page()
    assert not at.exception
    assert "Train one" in at.info[0].value


def single_time(name="ct"):
    """An untrained run whose objective learns jumps to δ alone."""
    return objective_of(untrained(), name)


def objective_of(model, name, **parameters):
    config = model.config.model_copy(update={"objective": name, "objective_parameters": parameters})
    return replace(model, config=config)


@pytest.fixture
def with_single_time(tmp_path, monkeypatch):
    cm.save(untrained(), tmp_path / "eight_gaussians")
    cm.save(single_time(), tmp_path / "to_delta")
    cm.save(objective_of(untrained(), "flow_matching"), tmp_path / "velocity")
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))


def test_a_run_that_learned_jumps_to_delta_alone_brings_its_own_sampler(with_single_time):
    at = page()
    at.button_group(key="run").set_value("to_delta").run()
    assert not at.exception
    assert at.button_group(key="sampler").value == "renoise"
    assert at.slider(key="renoise").value == 1.0
    assert not [c for c in at.caption if "not trained" in c.value]
    assert dict(at.query_params) in ({"run": "to_delta"}, {"run": ["to_delta"]})
    at.button_group(key="sampler").set_value("deterministic").run()
    assert [c for c in at.caption if "not trained" in c.value]
    assert at.query_params["sampler"] in ("deterministic", ["deterministic"])
    at.button_group(key="run").set_value("eight_gaussians").run()
    assert at.button_group(key="sampler").value == "deterministic"
    assert not [c for c in at.caption if "not trained" in c.value]


def test_a_link_to_such_a_run_opens_with_its_sampler_or_the_one_it_names(with_single_time):
    assert page(run="to_delta").button_group(key="sampler").value == "renoise"
    assert page(run="to_delta", sampler="deterministic").button_group(key="sampler").value == "deterministic"


def test_a_run_that_learned_the_velocity_alone_says_what_its_jumps_are(with_single_time):
    at = page(run="velocity")
    assert at.button_group(key="sampler").value == "deterministic"
    assert [c for c in at.caption if "DDIM step with a learned score" in c.value]


# ---- Train ------------------------------------------------------------------------------------------------------
def train_page():
    def script():
        from app.pages.train.page import train

        train()

    return AppTest.from_function(script, default_timeout=PATIENCE).run()


def press(at, key):
    at.button(key=key).click().run()
    assert not at.exception
    return at


@pytest.mark.slow
def test_training_starts_runs_and_ends_with_a_run_to_explore(shipped):
    at = train_page()
    assert not at.exception
    assert "Two moons, not trained yet" in html(at)
    at.number_input(key="train_steps").set_value(60).run()
    press(at, "start")
    poll(at, lambda at: "Finished" in html(at))
    assert "60 steps" in html(at)
    assert "CPU" in html(at)
    assert at.session_state["run"].startswith("moons-")
    assert [button.key for button in at.button if button.key == "open"]


@pytest.mark.slow
def test_training_can_be_stopped_and_keeps_its_weights(shipped):
    at = train_page()
    at.select_slider(key="budget").set_value(300).run()
    press(at, "start")
    poll(at, lambda at: "step " in html(at))
    press(at, "stop")
    poll(at, lambda at: "Stopped early" in html(at))
    assert at.session_state["run"].startswith("moons-")


def choose(at, objective, **values):
    at.selectbox(key="objective").set_value(objective).run()
    for name, value in values.items():
        key = f"parameter:{objective}:{name}"
        widgets = [*at.number_input, *at.selectbox, *at.get("button_group")]
        next(widget for widget in widgets if widget.key == key).set_value(value).run()
    assert not at.exception
    return at


def test_every_objective_can_be_chosen_and_says_what_it_needs(shipped):
    at = train_page()
    names = at.selectbox(key="objective").options
    assert names[-1].startswith("Compose your own")
    assert not names[0].startswith("Compose your own")
    for name, kind in OBJECTIVES.items():
        choose(at, name)
        assert "Needs " in html(at)
        assert escape(summary(kind)) in html(at)
        assert not at.button(key="start").disabled, name
        assert not at.warning


@pytest.mark.parametrize(
    ("objective", "values", "words"),
    [
        ("lsd", {}, "Needs samples only."),
        ("lmd", {}, "Needs the exact score."),
        ("lmd", {"velocity": "learned"}, "a velocity is learned from them first"),
        ("trajectory_regression", {}, "Needs exact trajectories."),
        ("trajectory_regression", {"velocity": "learned"}, "a velocity is learned from them first"),
        ("ct", {}, "Learns jumps to δ alone."),
        ("consistency", {"ends": "data"}, "Learns jumps to δ alone."),
        ("flow_matching", {}, "Learns the velocity alone."),
        ("mean_flow", {"velocity": "exact"}, "Needs the exact score."),
    ],
)
def test_what_is_chosen_is_said_and_linked(shipped, objective, values, words):
    at = choose(train_page(), objective, **values)
    assert words in html(at)
    wanted = {} if objective == "trajectory_regression" else {"objective": objective}
    wanted |= {f"o.{name}": value for name, value in values.items()}
    assert {name: value[-1] if isinstance(value, list) else value for name, value in at.query_params.items()} == wanted


@pytest.mark.parametrize(
    ("objective", "values", "words"),
    [
        ("semigroup", {"diagonal_share": 0.0}, "does not move"),
        ("ct", {"first_intervals": 500}, "intervals"),
        ("ctm", {"target_average": 0.0}, "averaged map"),
        ("moment_matching", {"diagonal_share": 0.5}, "Moment matching"),
    ],
)
def test_an_illegal_choice_is_a_sentence_beside_the_button_until_it_is_reset(shipped, objective, values, words):
    at = choose(train_page(), objective, **values)
    assert at.button(key="start").disabled
    assert len(at.warning) == 1
    assert words in at.warning[0].value
    press(at, "reset")
    assert not at.button(key="start").disabled
    assert not at.warning


def test_a_training_option_named_once_is_on_the_page_in_its_link_and_on_the_command_line(shipped, monkeypatch):
    from click.testing import CliRunner

    from app.pages.train import budget
    from cmcore.cli import main

    batch = next(setting for setting in settings_of(TrainingConfig) if setting.name == "batch")
    monkeypatch.setattr(budget, "OPTIONS", (*budget.OPTIONS, replace(batch, title="Batch")))
    at = linked(batch="256")
    assert not at.warning
    batch = at.number_input(key=budget.option_key("batch"))
    assert (batch.label, batch.value, batch.min, batch.max) == ("Batch", 256, 8, 65_536)
    batch.set_value(512).run()
    assert at.query_params["batch"] in ("512", ["512"])
    assert "--batch" in CliRunner().invoke(main, ["train", "--help"]).output


def test_a_control_keeps_to_the_bounds_of_its_setting(shipped):
    at = choose(train_page(), "lsd")
    share = at.number_input(key="parameter:lsd:diagonal_share")
    assert (share.min, share.max) == (0, 1)


def test_only_parameters_that_matter_are_offered(shipped):
    at = choose(train_page(), "lmd")
    key = "parameter:lmd:teacher_budget"
    assert key not in [widget.key for widget in at.number_input]
    choose(at, "lmd", velocity="learned")
    assert key in [widget.key for widget in at.number_input]


def linked(**query):
    def script():
        from app.pages.train.page import train

        train()

    at = AppTest.from_function(script, default_timeout=PATIENCE)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


def test_a_link_opens_the_objective_it_names(shipped):
    at = linked(target="circles", objective="lmd", **{"o.velocity": "learned", "o.teacher_steps": "300"})
    assert not at.exception
    assert not at.warning
    assert at.button_group(key="toy").value == "circles"
    assert at.selectbox(key="objective").value == "lmd"
    assert at.button_group(key="parameter:lmd:velocity").value == "learned"
    assert at.number_input(key="parameter:lmd:teacher_steps").value == 300


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"objective": "nobody"}, "nobody"),
        ({"objective": "<img src=x>", "o.velocity": "exact"}, "objective"),
        ({"target": "[x](http://y)"}, "target"),
        ({"objective": "lsd", "o.velocity": "exact"}, "velocity"),
        ({"objective": "lsd", "o.label": "x"}, "no parameter"),
        ({"objective": "lsd", "o.diagonal_share": "nan"}, "number"),
        ({"objective": "lsd", "o.diagonal_share": "1e400"}, "number"),
        ({"objective": "ctm", "o.solver_steps": "1000000"}, "goes up to 64"),
        ({"objective": "ctm", "o.solver_steps": "1.5"}, "whole number"),
        ({"objective": "eulerian", "o.through_time": "1"}, "true or false"),
        ({"budget": "7"}, "budget"),
        ({"steps": "1e9"}, "goes up to 100,000"),
        ({"network": "huge"}, "network"),
        ({"seed": "-1"}, "seed"),
        ({"delta": "0.3"}, "δ"),
        ({"target": "two_atoms", "delta": "0"}, "asks for δ “0”"),
        ({"target": "sketch"}, "target"),
        ({"dim": "3"}, "dimension of Two moons"),
        ({"target": "iris", "dim": "5"}, "dimension of Iris"),
        ({"view": "turn"}, "2 dimensions"),
        ({"target": "torus_knot", "view": "3,1"}, "view"),
        ({"drawing": "AQ"}, "nothing is drawn"),
        ({"drawing": "%00<b>"}, "letters of a link"),
        ({"drawing": "A" * 5000}, "4,096 characters"),
        ({"table": "/etc/passwd"}, "table"),
    ],
)
def test_a_bad_link_to_train_is_a_sentence(shipped, query, words):
    at = linked(**query)
    assert not at.exception
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value
    assert words in at.warning[0].value
    poll(at, lambda at: not at.button(key="start").disabled)  # tables are fitted in the background


@pytest.mark.slow
def test_a_learned_teacher_is_seen_learning(shipped):
    at = choose(train_page(), "lmd", velocity="learned", teacher_steps=400)
    at.number_input(key="train_steps").set_value(60).run()
    press(at, "start")
    poll(at, lambda at: "Learning the velocity from samples, step" in html(at))
    poll(at, lambda at: "Finished" in html(at))
    run = at.session_state["library"].own[at.session_state["run"]]
    assert run.model.config.objective_parameters["velocity"] == "learned"


@pytest.mark.slow
def test_stopped_while_preparing_there_is_nothing_to_keep(shipped):
    at = choose(train_page(), "lmd", velocity="learned", teacher_steps=100_000)
    at.number_input(key="train_steps").set_value(60).run()
    press(at, "start")
    poll(at, lambda at: "Learning the velocity from samples, step" in html(at))
    press(at, "stop")
    poll(at, lambda at: "no weights to keep" in html(at))
    assert "library" not in at.session_state


def test_a_target_that_is_not_smooth_starts_with_delta_above_zero(shipped):
    at = train_page()
    at.button_group(key="toy").set_value("two_atoms").run()
    assert not at.exception
    assert at.select_slider(key="train_delta_rough").value == 0.01


@pytest.mark.slow
def test_every_toy_can_be_chosen(shipped):
    at = train_page()
    from app.pages.train.target import TOYS, dimensions_of
    from cmcore.targets import GALLERY

    for name in TOYS:
        at.button_group(key="toy").set_value(name).run()
        assert not at.exception, name
        assert GALLERY[name].label in html(at)
        if len(known := dimensions_of(name)) > 1:
            at.slider(key=f"dim:{name}").set_value(known[-1]).run()
            assert not at.exception, name


def table(at, content, name="points.csv"):
    at.button_group(key="source").set_value("Your data (CSV)").run()
    at.file_uploader(key="file").set_value((name, content, "text/csv")).run()
    assert not at.exception
    return poll(at, lambda at: at.warning or not at.button(key="start").disabled)  # it is read beside the page


def test_a_table_can_be_uploaded_and_says_what_is_true(shipped):
    rows = np.random.default_rng(0).normal(size=(80, 3)) @ np.diag([1.0, 5.0, 0.1])
    content = "a,b,c,word\n" + "\n".join(",".join(f"{v:.6f}" for v in row) + ",x" for row in rows)
    at = table(train_page(), content.encode())
    columns = next(box for box in at.multiselect if box.label == "Columns")
    assert columns.options == ["a", "b", "c"]
    assert columns.value == ["a", "b"]
    assert "not the population" in html(at)
    assert "log-likelihood" in html(at)
    assert not at.button(key="start").disabled


def test_an_uploaded_table_is_shown_as_it_was_understood(shipped):
    """A German export: separator, decimal sign, names, units, what was left out and why; before anything is trained."""
    rows = np.random.default_rng(0).normal(100, 20, size=(60, 2))
    lines = [f"{i};oak {i};{a:.2f};{b:.2f}".replace(".", ",") for i, (a, b) in enumerate(rows, 1)]
    at = table(train_page(), "\n".join(["nr;tree;height;girth", ";;m;m", *lines]).encode("utf-8-sig"))
    shown = html(at)
    for words in (
        "60 rows",
        "semicolons",
        "decimal comma",
        "names in line 1",
        "&#x27;tree&#x27;",
        "line 3 has",
        "m, m",
    ):
        assert words in shown, words
    for column, cell in (("height", rows[0, 0]), ("girth", rows[4, 1])):
        assert f"<th>{column}</th>" in shown
        assert f"<td>{cell:.2f}</td>".replace(".", ",") in shown
    assert '<th class="unused">tree</th>' in shown
    assert at.multiselect[0].options == ["nr", "height", "girth"]
    assert at.multiselect[0].value == ["height", "girth"]  # not what counts the rows
    assert "a kernel density on 48 of its rows" in shown


def test_the_axes_of_a_table_are_its_columns():
    from app.stage.projections import projection_of

    rows = np.random.default_rng(0).normal(size=(40, 3))
    table = cm.read_table(("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in rows)).encode())
    assert projection_of(table, "1,3").axes == ("a", "c")
    assert projection_of(table, "turn").axes == ("a", "b", "c")
    assert projection_of(cm.read_table(csv := b"u;v\n" + b"1,5;2\n2,5;7\n" * 20), None).axes == ("u", "v")
    assert projection_of(cm.read_table(csv, dim=1), None).axes == ()
    assert projection_of(cm.make_target("moons"), None).axes == ()


def test_what_two_readings_fit_is_said_by_the_visitor(shipped):
    lines = [f"{1 + i % 9}.{100 + 7 * i}|{i * i % 50}" for i in range(60)]
    at = table(train_page(), "\n".join(["a|b", *lines]).encode())
    assert "decimal sign" in at.warning[0].value
    assert "decimal point" not in html(at)
    assert at.button(key="start").disabled
    decimal = next(box for box in at.selectbox if box.label == "Decimal sign")
    decimal.set_value("comma").run()
    poll(at, lambda at: not at.button(key="start").disabled)
    assert not at.warning
    assert "decimal comma" in html(at)


def test_the_bandwidth_of_a_table_can_be_chosen(shipped):
    at = page_of("train", table="iris")
    assert "bandwidth 0.7," not in html(at)
    at.select_slider(key="bandwidth").set_value("0.7").run()
    assert "bandwidth 0.7," in html(at)
    assert at.query_params["bandwidth"] in ("0.7", ["0.7"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n3,4\n", "at least 20"),
        (b"\x00\x01\xff\xfe", "UTF-8"),
        (b"name\n" + b"x\n" * 30, "no numeric column"),
        (b"a,b\n" + b"1,2\n2,1\n3,3\n,3\n" * 20, "Missing"),
        (b"", "empty"),
    ],
)
def test_a_bad_file_is_a_sentence(shipped, content, words):
    at = table(train_page(), content)
    assert words in at.warning[0].value
    assert at.button(key="start").disabled


# ---- what comes and goes above a page moves nothing of it: Streamlit would build anew whatever changes its place ----
def places(at):
    """The keys of the containers of a page, by their place."""
    named = ((place, getattr(node, "proto", None)) for place, node in at.main.children.items())
    return {place: found[1] for place, proto in named if (found := re.search(r'id: ".*?-(\w+)"', str(proto)))}


def test_opening_a_visitors_runs_moves_nothing_of_the_page(shipped, monkeypatch, tmp_path):
    def read(token, report):
        time.sleep(0.2)
        return []

    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path))
    monkeypatch.setattr(task, "PATIENCE", 0.0)
    monkeypatch.setattr(run_library, "_read_stored", read)
    said = []
    monkeypatch.setattr(task.st, "empty", lambda said=said, empty=task.st.empty: said.append("") or empty())
    first = page()
    before = places(first)
    assert said
    assert "workbench" in before.values()
    assert places(first.run()) == before


def test_a_warning_of_a_link_that_goes_moves_nothing_of_the_page(shipped):
    at = page(n="seven")
    before = places(at)
    assert at.warning
    for n in (1, 2):  # it stays until the view is another one
        at.select_slider(key="steps").set_value(n).run()
    assert not at.warning
    assert places(at) == before
