"""A training goes on while its owner looks at another page, which says how far it is; a closed tab still ends it."""

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

import app.background.jobs
from app.background.jobs import LEASE_SECONDS, Workers
from app.training import registry as training_registry
from app.training.badge import badge_words
from app.training.choice import Choice
from app.training.job import TrainingProgress
from app.training.registry import Training
from cmcore.config import TrainingConfig
from cmcore.targets import make_target
from cmcore.training import TrainingEvent
from tests.app.conftest import PATIENCE, poll, untrained

VISITOR = "a" * 43


def event(step=1200, steps=3000, left=12.2, status="training"):
    """What the engine says at one moment."""
    nothing = math.nan
    return TrainingEvent(step, steps, 0.1, 8.0, left, 1e-3, nothing, nothing, status, "", "CPU", untrained)


def work(release, status="finished"):
    """A training that waits to be let go."""

    def going(_target, _config, stop, **_):
        yield TrainingProgress(event(), (), None)
        while not (release.wait(0.01) or stop.is_set()):
            pass
        model = untrained()
        yield TrainingProgress(replace(event(3000, status=status), model=lambda: model), ((1, 0.5),), None, model)

    return going


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def clock(monkeypatch):
    """The clock of all leases, moved by hand."""
    hand = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(app.background.jobs, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


@pytest.fixture
def polls(monkeypatch):
    """How often fragments ask to be run, in the order in which they were made."""
    import app.training.badge as badge

    asked, make = [], badge.st.fragment

    def fragment(function, *, run_every=None):
        asked.append(run_every)
        return make(function, run_every=run_every)

    monkeypatch.setattr(badge.st, "fragment", fragment)
    return asked


@pytest.fixture
def release():
    event = threading.Event()
    yield event
    event.set()


def begun(monkeypatch, work, workers=None):
    """A training of a visitor that does this work."""
    monkeypatch.setattr(training_registry, "train_live", work)
    moons = Choice("moons", "moons", "Two moons", make_target("moons"))
    new = Training(VISITOR, moons, TrainingConfig(steps=3000))
    training_registry.start(new, workers or Workers("badge", workers=1, waiting=2), None)
    wait_for(lambda: new.view().latest or workers)
    return new


@pytest.fixture(autouse=True)
def _no_other_training(monkeypatch):
    monkeypatch.setattr(training_registry, "_trainings", {})


def elsewhere(visitor=VISITOR):
    """A page that is not Train, open for this visitor."""

    def script():
        import streamlit as st

        from app import state
        from app.training.badge import training_badge

        def train(): ...

        page = st.Page(train, title="Train")
        state.keep_pages({"train": page, "explore": page})
        training_badge()

    at = AppTest.from_function(script, default_timeout=PATIENCE)
    at.session_state["visitor"] = visitor
    return at.run()


def said(at):
    assert not at.exception
    return [link.proto.label for link in at.get("page_link")] + [button.label for button in at.button]


def test_nothing_trains_nothing_shows_and_nothing_polls(shipped, polls):
    assert said(elsewhere()) == []
    assert polls == []


def test_looking_from_another_page_keeps_a_training_alive_and_a_closed_tab_does_not(
    shipped, polls, clock, release, monkeypatch
):
    now = begun(monkeypatch, work(release))
    at = elsewhere()
    for _ in range(3):
        clock.now += 0.8 * LEASE_SECONDS
        assert said(at.run()) == ["Training · step 1,200 of 3,000 · 12 s left"]
    assert 0 < polls[-1] < LEASE_SECONDS / 3
    clock.now += 1.2 * LEASE_SECONDS  # the tab is closed
    wait_for(lambda: now.over)
    assert said(at.run()) == ["Training stopped · see why"]


@pytest.mark.parametrize("status", ["finished", "diverged"])
def test_at_the_end_it_says_so_once_and_polls_no_more(shipped, polls, release, monkeypatch, status):
    begun(monkeypatch, work(release, status))
    at = elsewhere()
    release.set()
    words = "Trained · look at it" if status == "finished" else "Training diverged · see why"
    poll(at, lambda at: said(at) == [words])
    asked = len(polls)
    assert said(at.run()) == [words]
    assert len(polls) == asked
    (key,) = at.session_state["library"].own
    assert key.startswith("moons-")
    assert "run" not in at.session_state  # what is on show elsewhere stays


def test_p4_look_at_it_shows_the_run_on_the_page_it_leads_to(shipped, release, monkeypatch):
    import app.training.badge as badge

    switched = []
    monkeypatch.setattr(badge.state, "open_page", switched.append)
    begun(monkeypatch, work(release))
    at = elsewhere()
    release.set()
    poll(at, lambda at: said(at) == ["Trained · look at it"])
    at.button(key="look_at_trained").click().run()
    assert switched == ["explore"]
    (key,) = at.session_state["library"].own
    assert at.session_state["run"] == key
    assert said(at.run()) == []


def test_p4_a_paused_training_has_a_badge_and_a_queued_one_its_place(shipped, release, polls, monkeypatch):
    def going(_target, _config, stop, **_):
        while not (stop.is_set() or release.wait(0.01)):
            yield TrainingProgress(event(), (), None)

    workers = Workers("badge", workers=1, waiting=2)
    first = begun(monkeypatch, going, workers)
    wait_for(lambda: first.view().latest)
    second = workers.submit(lambda stop: iter(()))
    assert badge_words(workers.view(second)) == "Training · waits, place 1"
    second.cancel()
    first.pause()
    wait_for(lambda: first.view().status == "paused")
    at = elsewhere()
    assert said(at) == ["Training · paused · step 1,200 of 3,000"]
    assert polls[-1]
    first.resume()
    poll(at, lambda at: said(at) == ["Training · step 1,200 of 3,000 · 12 s left"])


def test_p3_two_tabs_of_one_visitor_see_one_training_and_a_stranger_sees_none(shipped, release, monkeypatch):
    now = begun(monkeypatch, work(release))
    tabs = [elsewhere(), elsewhere()]
    for at in tabs:
        assert said(at) == ["Training · step 1,200 of 3,000 · 12 s left"]
    assert said(elsewhere("b" * 43)) == []
    release.set()
    wait_for(lambda: now.view().over)
    for at in tabs:
        assert said(at.run()) == ["Trained · look at it"]
    runs = [list(at.session_state["library"].own) for at in tabs]
    assert runs == [[now.run_key]] * 2, "one run, in both"
    stranger = elsewhere("b" * 43)
    assert said(stranger) == []
    assert "library" not in stranger.session_state
