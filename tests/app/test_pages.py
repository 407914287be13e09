"""The pages run, answer to their widgets and to links, and never show a traceback."""

import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"


def page(**query):
    at = AppTest.from_file(ENTRY, default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


def html(at):
    return " ".join(block.proto.body for block in at.get("html"))


def poll(at, condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition(at):
        assert time.monotonic() < deadline, html(at)[-2000:]
        time.sleep(0.3)
        at.run()
        assert not at.exception
    return at


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


def test_renoise_asks_the_other_way_round_and_stops_early(explore):
    explore.button_group(key="sampler").set_value("renoise").run()
    assert not explore.exception
    assert "KL(data ∥ model), δ = 0.02" in html(explore)
    explore.button_group(key="sampler").set_value("deterministic").run()
    assert "KL(model ∥ data), δ = 0" in html(explore)


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


# ---- Train ------------------------------------------------------------------------------------------------------
def train_page():
    def script():
        from app.views.train import train

        train()

    return AppTest.from_function(script, default_timeout=60).run()


def press(at, key):
    at.button(key=key).click().run()
    assert not at.exception
    return at


@pytest.mark.slow
def test_training_starts_runs_and_ends_with_a_run_to_explore(shipped):
    at = train_page()
    assert not at.exception
    assert "Nothing is training yet" in html(at)
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


def test_a_target_that_is_not_smooth_starts_with_delta_above_zero(shipped):
    at = train_page()
    at.button_group(key="toy").set_value("two_atoms").run()
    assert not at.exception
    assert at.select_slider(key="train_delta_rough").value == 0.01


@pytest.mark.slow
def test_every_toy_can_be_chosen(shipped):
    at = train_page()
    from cmcore.targets import GALLERY

    for name, toy in GALLERY.items():
        at.button_group(key="toy").set_value(name).run()
        assert not at.exception, name
        assert toy.label in html(at)


def table(at, content, name="points.csv"):
    at.button_group(key="source").set_value("A table").run()
    at.file_uploader(key="file").set_value((name, content, "text/csv")).run()
    assert not at.exception
    return at


def test_a_table_can_be_uploaded_and_says_what_is_true(shipped):
    rows = np.random.default_rng(0).normal(size=(80, 3)) @ np.diag([1.0, 5.0, 0.1])
    content = "a,b,c,word\n" + "\n".join(",".join(f"{v:.6f}" for v in row) + ",x" for row in rows)
    at = table(train_page(), content.encode())
    assert at.multiselect[0].options == ["a", "b", "c"]
    assert at.multiselect[0].value == ["a", "b"]
    assert "not the population" in html(at)
    assert "log-likelihood" in html(at)
    assert not at.button(key="start").disabled


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
