"""Train: drawing, views, pausing, going on, training again, and links that hold all of it."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background.jobs import Busy
from app.background.pools import training_workers
from app.kl.question import measure
from app.pages.train.sketch import checked_drawing, checked_strokes
from app.stage.projections import projection_of, read_view, views
from app.training import registry as training_registry
from app.training.job import LiveKL
from app.training.previous import changes, shared_start_in_words
from app.training.registry import Training
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.divergences.estimate import DATA_MODEL, Estimate
from cmcore.targets import Stroke, make_target, write_strokes
from tests.app.conftest import PATIENCE, html, page_of, poll, untrained

DRAWING = write_strokes([Stroke(14, ((-150, 0), (0, 80), (150, 0))), Stroke(20, ((0, -120),))])


page = partial(page_of, "train")


def press(at, key):
    at.button(key=key).click().run()
    assert not at.exception
    return at


def keys(at):
    return [button.key for button in at.button if not str(button.key).startswith("compare_")]


def until(at, condition):
    """However busy the machine is: training is what these tests wait for."""
    return poll(at, condition, seconds=400)


def link(at):
    return {name: value[0] if isinstance(value, list) else value for name, value in at.query_params.items()}


# ---- links ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "query",
    [
        {"target": "torus_knot", "view": "1,3", "budget": "60", "seed": "7", "network": "small", "delta": "0.01"},
        {"target": "hypercube_corners", "dim": "5", "view": "2,4", "steps": "300", "objective": "lsd"},
        {"target": "two_atoms", "delta": "0.05", "objective": "ctm", "o.solver_steps": "3"},
        {"drawing": DRAWING, "budget": "5", "seed": "3"},
        {"table": "iris", "components": "3", "density": "gaussian_mixture", "view": "principal"},
        {"table": "wine", "bandwidth": "0.3"},
    ],
)
def test_a_link_restores_what_it_was_made_from_and_offers_to_train(shipped, query):
    at = poll(page(**query), lambda at: "From a link" in html(at))  # a table is fitted as a job
    assert not at.warning
    assert link(at) == query
    assert "not the map" in html(at)
    assert not at.button(key="start").disabled


def test_a_link_made_beside_an_uploaded_table_says_what_is_missing(shipped):
    at = page()
    at.button_group(key="source").set_value("Your data (CSV)").run()
    assert link(at) == {"table": "file"}
    elsewhere = page(**link(at))
    for _ in range(2):  # it stays until there is a file
        assert "upload it here again" in elsewhere.warning[0].value
        elsewhere.run()
    assert elsewhere.button_group(key="source").value == "Your data (CSV)"


@settings(max_examples=60)
@given(some.one_of(some.text(max_size=80), some.from_regex(r"\AAQ[\w-]{0,60}\Z"), some.from_regex(r"\A\d*,\d*\Z")))
def test_hostile_parts_of_a_link_raise_one_clause(text):
    for read in (checked_drawing, read_view):
        try:
            assert read(text) == text
        except ValueError as problem:
            words = str(problem)
            assert "\n" not in words.replace(text, "")
            assert not words.endswith(".")


@settings(max_examples=60)
@given(
    some.recursive(
        some.one_of(some.none(), some.integers(), some.floats(), some.text(max_size=5)),
        lambda inner: some.one_of(
            some.lists(inner, max_size=4), some.dictionaries(some.sampled_from(["width", "points"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_a_sheet_sends_is_strokes_or_one_clause(raw):
    try:
        strokes = checked_strokes(raw)
    except ValueError:
        return
    assert all(isinstance(stroke, Stroke) for stroke in strokes)


def test_a_run_on_a_drawing_is_saved_with_it(tmp_path):
    model = untrained("sketch", strokes=DRAWING)
    back = cm.load(cm.save(model, tmp_path / "run"))
    assert back.target is not None
    assert back.target.config == model.target.config
    x = np.random.default_rng(0).normal(size=(5, 2))
    assert np.array_equal(*(t.log_prob(torch.from_numpy(x)).numpy() for t in (back.target, model.target)))


def test_a_sheet_that_sends_too_much_is_refused():
    with pytest.raises(ValueError, match="lines"):
        checked_strokes([{"width": 10, "points": [[0, 0]]}] * 500)
    with pytest.raises(ValueError, match="points"):
        checked_strokes([{"width": 10, "points": [[0, 0]] * 7_000}])


# ---- views ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "dim"), [("torus_knot", {}), ("random_mixture", {"dim": 4})])
def test_every_view_shows_points_in_two_or_three_dimensions(name, dim):
    target = make_target(name, **dim)
    points = np.random.default_rng(0).normal(size=(9, target.dim))
    for view in views(target.dim):
        seen = projection_of(target, view)
        assert read_view(view) == view
        assert seen.apply(points).shape == (9, len(seen.axes))


def test_the_principal_plane_holds_the_most_variance_and_is_a_plane():
    target = make_target("gaussian", dim=5)
    seen = projection_of(target, "principal")
    basis = seen.apply(np.eye(5))
    assert basis.T @ basis == pytest.approx(np.eye(2), abs=1e-12)
    held = np.trace(basis.T @ target.covariance.numpy() @ basis)
    assert held == pytest.approx(float(target.covariance.diagonal().topk(2).values.sum()))


def test_the_plane_has_nothing_to_choose(shipped):
    assert not page().selectbox(key="objective").disabled
    assert not [box for box in page().selectbox if str(box.key).startswith("view")]
    at = page(target="torus_knot")
    assert at.selectbox(key="view:3").value == "turn"


# ---- a run ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_pause_resume_and_stop(shipped):
    at = page(budget="300", objective="lsd", network="small")
    assert keys(at)[-1:] == ["start"]
    press(at, "start")
    until(at, lambda at: "step " in html(at) and "pause" in keys(at))
    assert at.selectbox(key="objective").disabled
    press(at, "pause")
    until(at, lambda at: "resume" in keys(at))
    assert "Paused" in html(at)
    press(at, "resume")
    until(at, lambda at: "pause" in keys(at))
    press(at, "pause")
    until(at, lambda at: "resume" in keys(at))
    press(at, "stop")
    until(at, lambda at: "Stopped early" in html(at))
    assert "continue" in keys(at)
    assert at.session_state["run"].startswith("moons-")


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_another_is_compared_with_it(shipped):
    at = page(drawing=DRAWING, steps="400", network="small", objective="lsd")
    press(at, "start")
    until(at, lambda at: "step " in html(at) and "pause" in keys(at))
    press(at, "pause")
    until(at, lambda at: "resume" in keys(at) or "Finished" in html(at))
    if "resume" in keys(at):
        press(at, "resume")
    until(at, lambda at: "Finished" in html(at))
    until(at, lambda at: "Estimator" in html(at))
    assert "KL(model ∥ data), δ = 0" in html(at)
    assert "4 jumps" in html(at)
    assert "repeats the run before" in " ".join(caption.value for caption in at.caption)
    assert "draw_on" in keys(at)
    at.number_input(key="train_steps").set_value(100).run()
    assert "The same initial weights and noise" in " ".join(caption.value for caption in at.caption)
    assert "budget 100 steps" in " ".join(caption.value for caption in at.caption)
    press(at, "start")
    until(at, lambda at: "This run and the one before" in html(at))
    assert len(at.session_state["library"].own) == 2
    first, second = at.session_state["library"].own.values()
    assert first.model.target.config.parameters == {"strokes": DRAWING}
    assert (first.model.steps, second.model.steps) == (400, 100)


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(training_registry, "_trainings", {})


def reload(at):
    """The page of the same visitor in a new session, on the same address."""

    def script():
        from app.pages.train.page import train

        train()

    fresh = AppTest.from_function(script, default_timeout=PATIENCE)
    fresh.session_state["visitor"] = at.session_state["visitor"]
    for name, value in link(at).items():
        fresh.query_params[name] = value
    fresh.run()
    assert not fresh.exception
    return fresh


@pytest.mark.slow
def test_p3_a_reload_finds_the_training_which_ends_in_runs_once(shipped, no_training):
    at = page(budget="300", objective="lsd", network="small")
    press(at, "start")
    until(at, lambda at: "pause" in keys(at) and "step " in html(at))
    again = reload(at)
    assert "pause" in keys(again)
    assert "From a link" not in html(again)
    assert "start" in keys(page(budget="300", objective="lsd", network="small")), "a stranger's page"
    press(again, "pause")
    until(again, lambda at: "resume" in keys(at))
    press(reload(again), "stop")
    for seen in (at, again, reload(again)):
        until(seen, lambda at: "Stopped early" in html(at))
        (key,) = seen.session_state["library"].own
        assert "continue" in keys(seen)
    assert key.startswith("moons-")


@pytest.mark.slow
def test_p3_who_starts_in_a_second_tab_finds_the_training_of_the_first(shipped, no_training):
    at = page(budget="300", objective="lsd", network="small")
    other = reload(at)
    press(at, "start")
    (first,) = training_registry._trainings.values()
    press(other, "start")  # drawn before the first tab was asked
    assert list(training_registry._trainings.values()) == [first]
    with pytest.raises(Busy, match="under way"):  # both asked at the same moment
        training_registry.start(Training(first.visitor, first.choice, first.config), training_workers(), None)
    until(other, lambda at: "stop" in keys(at))
    press(other, "stop")
    until(at, lambda at: "start" in keys(at))


@pytest.mark.slow
def test_p1_a_finished_run_is_continued_as_a_run_of_its_own(shipped, no_training):
    at = page(steps="60", objective="lsd", network="small")
    press(at, "start")
    until(at, lambda at: "Finished" in html(at))
    at.number_input(key="train_steps").set_value(40).run()
    press(at, "continue")
    until(at, lambda at: len(at.session_state["library"].own) == 2)
    former, longer = at.session_state["library"].own.values()
    assert (former.model.steps, longer.model.steps) == (60, 100)
    assert (former.label, longer.label) == ("Two moons", "Two moons, continued to 100 steps")
    assert "Two moons, from step 60" in html(at)
    assert "continue" in keys(at)


@pytest.mark.slow
def test_p2_the_number_of_a_finished_run_is_of_its_final_weights(shipped, no_training, monkeypatch):
    """While the final weights are being measured the card says so; what was measured on the way is no result."""
    measured = threading.Event()

    def slowly(run, question):
        assert measured.wait(300)
        return measure(run, question)

    early = Estimate(0.749, 0.734, 0.764, DATA_MODEL, 0.02, "push_forward", 4096, 1e-4, True, "")
    on_the_way = LiveKL(50, 1.0, early)
    monkeypatch.setattr("app.pages.train.report.measure", slowly)
    monkeypatch.setattr(
        "app.training.job._Meter.look", lambda meter, *_, **__: meter.points or meter.points.append(on_the_way)
    )
    monkeypatch.setattr("app.kl.question.LANDINGS", 4096)
    at = page(steps="300", objective="lsd", network="small")
    press(at, "start")
    until(at, lambda at: "Finished" in html(at))
    assert "Measuring the weights it ended with" in html(at)
    assert at.session_state["training"].view().latest.kl == (on_the_way,)
    assert "0.749" not in html(at)
    measured.set()
    until(at, lambda at: "step 300, the final weights" in html(at))
    assert "0.749" not in html(at)


def test_what_changes_between_two_runs_is_said():
    old = TrainingConfig(seconds=20)
    new = old.model_copy(update={"seconds": 60.0, "seed": 1})
    assert [name for name, *_ in changes(new, old)] == ["Budget", "Seed"]
    assert shared_start_in_words(new, old).startswith("Other initial weights; changed: budget 60 s, seed 1")
    longer = old.model_copy(update={"objective": "lsd"})
    assert shared_start_in_words(longer, old).startswith(
        "The same initial weights and noise as the run before; changed: obj"
    )
    larger = old.model_copy(update={"network": NetworkConfig(width=32)})
    assert shared_start_in_words(larger, old).startswith("Other initial weights")
    assert "repeats" in shared_start_in_words(old, old)


# ---- comparing objectives ---------------------------------------------------------------------------------------
def test_p20_objectives_are_compared_on_a_drawing_with_one_press(monkeypatch, tmp_path):
    monkeypatch.setattr(training_registry, "_trainings", {})
    monkeypatch.setattr(training_registry, "_comparisons", {})
    at = page(drawing=DRAWING, compare="lsd,mean_flow", seeds="2", network="small", steps="12")
    assert at.multiselect(key="compare_objectives").value == ["lsd", "mean_flow"]
    assert "4 trainings" in " ".join(caption.value for caption in at.caption)
    press(at, "compare_start")
    tables = lambda at: [one.value for one in at.dataframe if "Seeds" in one.value]  # noqa: E731
    until(at, lambda at: [list(table["Runs"]) for table in tables(at)] == [[2, 2]])
    assert "4 of 4 trainings" in " ".join(caption.value for caption in at.caption)
    (table,) = tables(at)
    assert list(table["Seeds"]) == ["0, 1", "0, 1"]
    assert len(set(table["Objective"])) == 2
    assert link(at)["compare"] == "lsd,mean_flow"
    assert not at.warning


def test_p20_a_shared_server_trains_no_more_than_it_allows_from_one_press(monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_HOSTED", "1")
    at = page(compare="lsd,mean_flow", seeds="4")
    assert "up to 6 training runs" in " ".join(one.value for one in at.warning)
    assert at.button(key="compare_start").disabled
