"""A map on the stage while it is learned: its weights come to the browser, and all else is done there."""

import numpy as np
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

import cmcore as cm
from cmcore.config import USUAL_GRID
from tests.browser.conftest import MOVING, eventually, settle
from tests.browser.test_flow_map import DRAWN, Gate
from tests.browser.test_lab import stage, wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIGHTS = """const Sight = window.IntersectionObserver;
window.sights = [];
window.IntersectionObserver = class extends Sight {
  constructor(see, ...options) {
    super(see, ...options);
    window.sights.push(see);
  }
};"""
"""What is called when something comes into sight or leaves it."""
WEIGHTS = "window.consistencyLabMaps?.hashOf('training')"


@pytest.fixture
def learning(new_page, server):
    """Train, where Two Moons are learned, by what prepares no data, until somebody stops it, seen on the stage."""
    page = new_page(own=True, **MOVING)
    gate = Gate(page)
    page.add_init_script(SIGHTS)
    page.goto(f"{server}/train?steps=50000&network=small&objective=lsd")
    page.get_by_role("button", name="Start training").click()
    wait_for_stage(page)
    yield page, gate
    gate.open()
    stop = page.get_by_role("button", name="Stop")

    def stopped():  # else the next training waits until nobody has looked at this one for a while
        if stop.count():
            stop.click(timeout=15_000)
            stop.wait_for(state="hidden", timeout=15_000)
        return True

    assert eventually(page, stopped)


def until_weights_change(page):
    """Others have come, and are on the stage."""
    before = page.evaluate(WEIGHTS)
    pictures = stage(page)["pictures"]
    page.wait_for_function(f"before => {WEIGHTS} !== before", arg=before)
    page.wait_for_function("before => window.particleStage.pictures > before", arg=pictures)


def choose_n(page, n):
    """On the stage, and wait until it is drawn in so many jumps."""
    before = stage(page)["pictures"]
    page.get_by_role("button", name=f"N = {n}").click()
    page.wait_for_function(
        "([n, before]) => window.particleStage.steps === n && window.particleStage.pictures > before", arg=[n, before]
    )


def ends(page, map_name, seed=0, n=4):
    """Where the browser puts noise in N jumps, once it has the map."""
    page.wait_for_function("name => window.consistencyLabMaps?.hashOf(name)", arg=map_name)
    times = cm.make_grid(USUAL_GRID, n, horizon=3.0, delta=0.0).times
    question = {"map": map_name, "sampler": "deterministic", "share": 0, "seed": seed, "particles": 100}
    drawn = page.evaluate(DRAWN, {**question, "grids": [{"n": n, "times": times}]})
    return np.array(drawn[str(n)]).reshape(n + 1, 100, 2)[-1]


def test_the_newest_weights_are_drawn_and_nothing_moves_until_somebody_plays(learning):
    page, _ = learning
    first = ends(page, "training")
    until_weights_change(page)
    assert np.abs(ends(page, "training") - first).max() > 0
    assert (stage(page)["u"], stage(page)["playing"]) == (1, False)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("window.particleStage.playing && window.particleStage.u < 0.5")
    page.reload()
    wait_for_stage(page)
    until_weights_change(page)  # the training went on


def test_a_stage_that_left_and_came_back_into_sight_in_one_moment_draws_on(learning):
    page, _ = learning
    both = "[false, true].map(isIntersecting => ({ isIntersecting }))"
    page.evaluate(f"for (const see of sights) if (/stage/.test(see)) see({both})")
    choose_n(page, 2)  # which an answer that was under way may seem to be
    choose_n(page, 8)


def test_n_seed_and_sampler_change_the_picture_and_no_message_speaks_of_them(learning):
    page, gate = learning
    until_weights_change(page)
    gate.closed = True
    choose_n(page, 8)
    page.get_by_role("spinbutton", name="Seed", exact=True).fill("3")
    page.wait_for_function("window.particleStage.choice.seed === 3")
    page.locator("canvas.view").focus()
    page.keyboard.press("r")
    page.wait_for_function("window.particleStage.choice.sampler === 'renoise'")
    page.keyboard.press("1")
    page.wait_for_function("window.particleStage.steps === 1")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("window.particleStage.u < 0.5")
    assert not [message for _, message in gate.held if b"choice" in message]
    gate.open()
    until_weights_change(page)
    assert stage(page)["steps"] == 1  # what Python says of N is what it began with
    assert stage(page)["choice"]["seed"] == 3


def test_the_last_picture_is_the_engines_and_explores(learning, tmp_path_factory):
    page, gate = learning
    until_weights_change(page)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped early").wait_for()
    page.locator(".st-key-live_kl .card-value strong").wait_for()
    settle(page)
    learned = ends(page, "training", seed=5)
    gate.closed = True
    choose_n(page, 2)
    assert not [message for _, message in gate.held if b"choice" in message]
    gate.open()
    page.get_by_role("button", name="Open in Explore").click()
    wait_for_stage(page, "window.particleStage.choice.map !== 'training'")
    shown = stage(page)["choice"]["map"]
    assert (ends(page, shown, seed=5) == learned).all()
    key = stage(page)["key"].partition("/")[0]
    records = (path for path in tmp_path_factory.getbasetemp().rglob("about.json") if path.is_file())  # some are pipes
    (kept,) = (about.parent for about in records if key in about.read_text())
    engine = cm.sample(cm.load(kept), 100, 4, seed=5).points.numpy()
    assert np.quantile(np.abs(engine - learned), 0.99) <= 1e-5


def polls(gate):
    """What the page asked by itself, and the server heard: of each of its parts the newest."""
    asked = [(server, message, BackMsg.FromString(message).rerun_script) for server, message in gate.heard]
    return {one.fragment_id: (server, message) for server, message, one in asked if one.is_auto_rerun}


def pages_drawn(gate):
    """How many pages the server has begun to draw, as far as what it says waits."""
    said = [ForwardMsg.FromString(message) for _, message in gate.waiting]
    return len({one.new_session.page_script_hash for one in said if one.WhichOneof("type") == "new_session"})


def test_what_a_page_asks_before_it_hears_of_the_next_is_not_drawn(new_page, server):
    page = new_page(own=True)
    gate = Gate(page)
    page.goto(f"{server}/train")
    page.get_by_role("slider", name="Budget").press("Home")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Open in Explore").wait_for()
    assert polls(gate)
    gate.slow = True
    page.get_by_role("button", name="Open in Explore").click()

    def asks_until_explore_is_drawn():
        if pages_drawn(gate) != 2:
            return False
        for to, message in polls(gate).values():
            to.send(message)
        return gate.answered()

    assert eventually(page, asks_until_explore_is_drawn)
    gate.open()
    wait_for_stage(page, "window.particleStage.key.startsWith('moons-')")
    settle(page)
    assert "/train" not in page.url
