"""Explore: what a person puts on the stage comes back from the link, and bad wishes are sentences."""

import time

import pytest

from app.components.buffer import unpack
from app.kl import best_times as search
from app.runs.run import Run
from cmcore.chain import make_chain
from cmcore.grids import TimeGrid
from cmcore.theory import BestChain
from tests.app.conftest import html, poll, untrained
from tests.app.pages.test_every_page import page


def stage_message(at):
    """Header and arrays of what the stage was sent last."""
    (component,) = (part for part in at.get("bidi_component") if part.proto.component_name == "particle_stage")
    return unpack(component.proto.bytes)


def test_a_link_puts_a_start_on_the_stage(shipped):
    at = page(start="0.5,-1.25")
    assert not at.exception
    assert not at.warning
    header, _ = stage_message(at)
    assert header["start"] == [0.5, -1.25]
    assert at.query_params["start"] in ("0.5,-1.25", ["0.5,-1.25"])


def test_fresh_noise_of_a_start_can_be_redrawn(shipped):
    at = page(start="0.5,-1.25", sampler="renoise")
    assert at.button_group(key="own_noise").value == "Pinned"
    at.button_group(key="own_noise").set_value("Redrawn").run()
    assert not at.exception
    header, _ = stage_message(at)
    assert header["own"] == header["followed"] - 1


def test_a_link_chooses_how_many_particles(shipped):
    at = page(particles="300")
    header, arrays = stage_message(at)
    assert header["drawing"]["particles"] == header["compact"] == 300
    assert not any(name.startswith("states") for name in arrays)  # the browser draws
    assert at.query_params["particles"] in ("300", ["300"])


@pytest.mark.parametrize(
    "query", [{"start": "1"}, {"start": "nan,0"}, {"times": "1,2,3"}, {"particles": "50"}, {"particles": "1e6"}]
)
def test_a_bad_link_is_a_sentence(shipped, query):
    at = page(**query)
    assert not at.exception
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value
    assert "KL(model" in html(at)


def test_a_link_moves_the_times_and_a_button_gives_them_back(shipped):
    at = page(times="1.5,0.6,0.1")
    assert not at.exception
    header, _ = stage_message(at)
    assert header["times"]["4"] == [3.0, 1.5, 0.6, 0.1, 0.0]
    assert header["moved"] == [4]
    assert [c for c in at.caption if c.value.startswith("With moved times")]
    poll(at, lambda at: "Estimator" in html(at))
    at.button(key="restore_times").click().run()
    assert not at.exception
    header, _ = stage_message(at)
    assert header["moved"] == []
    assert "times" not in at.query_params


def test_naming_a_grid_gives_the_moved_times_back(shipped):
    at = page(times="1.5,0.6,0.1")
    at.selectbox(key="grid").set_value("karras").run()
    assert stage_message(at)[0]["moved"] == []


def test_moved_times_that_do_not_fit_are_said_and_wait(shipped):
    at = page(times="1.5,0.6,0.1", delta="0.2")
    assert stage_message(at)[0]["moved"] == []
    assert [c for c in at.caption if "do not lie between" in c.value]


def test_other_n_keep_the_named_grid(shipped):
    at = page(times="1.5,0.6,0.1", n="8")
    assert stage_message(at)[0]["moved"] == [4]
    assert not [c for c in at.caption if c.value.startswith("With moved times")]


def test_best_times_are_searched_for_and_both_kls_are_said(shipped, monkeypatch):
    best = TimeGrid((3.0, 1.5, 0.6, 0.1, 0.0))
    monkeypatch.setattr(search, "least_kl", lambda *_, **__: BestChain(make_chain(best), 0.01, "uniform_angle", 7))
    at = page()
    at.button(key="best_times").click().run()
    assert not at.exception
    poll(at, lambda at: [c for c in at.caption if c.value.startswith("With the best times of 7 trials")])
    assert stage_message(at)[0]["times"]["4"] == list(best.times)
    poll(at, lambda at: [c for c in at.caption if "nats" in c.value or "below" in c.value])


def test_a_search_can_be_cancelled(shipped, monkeypatch):
    def endless(*_, progress, **__):
        while True:
            progress(0.5)
            time.sleep(0.01)

    monkeypatch.setattr(search, "least_kl", endless)
    at = page()
    at.button(key="best_times").click().run()
    at.button(key="cancel_search").click().run()
    assert not at.exception
    assert at.button(key="best_times")
    assert stage_message(at)[0]["moved"] == []


def test_one_jump_has_no_times_to_search(shipped):
    at = page(n="1")
    assert "best_times" not in [button.key for button in at.button]


def test_c8_a_link_draws_with_the_papers_sampler(shipped):
    at = page(sampler="algorithm_1", eta="1.0", grid="variance_step")
    assert not at.exception
    assert not at.warning
    assert at.slider(key="renoise").label == "η as a share of the step"
    header, arrays = stage_message(at)
    assert header["drawing"]["sampler"] == "algorithm_1"
    assert "legs_4" in arrays
    assert not at.button(key="best_times").disabled


def test_each_of_several_runs_of_one_name_and_target_can_be_chosen(shipped):
    at = page()
    own = {key: Run(key, "Eight Gaussians", untrained()) for key in ("run-1", "run-2")}
    at.session_state["library"].own.update(own)
    at.run()
    choice = at.button_group(key="run")
    assert len(set(choice.options)) == len(choice.options)
    for key in ("run-1", "eight_gaussians", "run-2"):
        at.button_group(key="run").set_value(key).run()
        assert not at.exception
        assert at.query_params.get("run", "eight_gaussians") in (key, [key])
    del at.session_state["library"].own["run-2"]
    at.run()
    assert not at.exception
    assert at.button_group(key="run").value in ("eight_gaussians", "checkerboard")
