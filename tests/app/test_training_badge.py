"""A training goes on while its owner looks at another page, which says how far it is; a closed tab still ends it."""

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

import app.jobs
from app.jobs import LEASE_SECONDS, Workers
from app.live import Progress
from app.training_badge import badge_words
from cmcore.training import TrainingEvent
from tests.app.conftest import poll, untrained


def event(step=1200, steps=3000, left=12.2, status="training"):
    """What the engine says at one moment."""
    nothing = math.nan
    return TrainingEvent(step, steps, 0.1, 8.0, left, 1e-3, nothing, nothing, status, "", "CPU", untrained)


def work(release, status="finished"):
    """A training that waits to be let go."""

    def going(stop):
        yield Progress(event(), (), None)
        while not (release.wait(0.01) or stop.is_set()):
            pass
        if not stop.is_set():
            yield Progress(event(3000, status=status), ((1, 0.5),), None, untrained())

    return going


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def clock(monkeypatch):
    """The clock of all leases, moved by hand."""
    hand = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(app.jobs, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


@pytest.fixture
def polls(monkeypatch):
    """How often fragments ask to be run, in the order in which they were made."""
    import app.training_badge as badge

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


def elsewhere(job=None):
    """A page that is not Train, in a session that has this training."""

    def script(job):
        import streamlit as st

        from app import state
        from app.controls.target import Choice
        from app.training import keep_training
        from app.training_badge import training_badge
        from cmcore.config import TrainingConfig
        from cmcore.targets import make_target

        def train(): ...

        page = st.Page(train, title="Train")
        state.keep_pages({"train": page, "explore": page})
        if job is not None and state.first_time("this training"):
            keep_training(job)
            state.choose("training_choice", Choice("moons", "moons", "Two moons", make_target("moons")))
            state.choose("training_config", TrainingConfig(steps=3000))
        training_badge()

    at = AppTest.from_function(script, args=(job,), default_timeout=60)
    return at.run()


def said(at):
    assert not at.exception
    return [link.proto.label for link in at.get("page_link")] + [button.label for button in at.button]


def test_nothing_trains_nothing_shows_and_nothing_polls(shipped, polls):
    assert said(elsewhere()) == []
    assert polls == []


def test_looking_from_another_page_keeps_a_training_alive_and_a_closed_tab_does_not(shipped, polls, clock, release):
    job = Workers("badge", workers=1, waiting=1).submit(work(release))
    wait_for(lambda: job.view().latest)
    at = elsewhere(job)
    for _ in range(3):
        clock.now += 0.8 * LEASE_SECONDS
        assert said(at.run()) == ["Training · step 1,200 of 3,000 · 12 s left"]
    assert 0 < polls[-1] < LEASE_SECONDS / 3
    clock.now += 1.2 * LEASE_SECONDS  # the tab is closed
    wait_for(lambda: job.status == "stopped")
    assert said(at.run()) == ["Training stopped · see why"]


@pytest.mark.parametrize("status", ["finished", "diverged"])
def test_at_the_end_it_says_so_once_and_polls_no_more(shipped, polls, release, status):
    job = Workers("badge", workers=1, waiting=1).submit(work(release, status))
    at = elsewhere(job)
    release.set()
    words = "Trained · look at it" if status == "finished" else "Training diverged · see why"
    poll(at, lambda at: said(at) == [words])
    asked = len(polls)
    assert said(at.run()) == [words]
    assert len(polls) == asked
    (key,) = at.session_state["kept:runs"]
    assert key.startswith("moons-")
    assert "run" not in at.session_state  # what is on show elsewhere stays
    assert at.session_state["trained_key"] == key


def test_a_paused_training_says_nothing_and_a_queued_one_its_place(shipped, release):
    workers = Workers("badge", workers=1, waiting=2)
    first = workers.submit(work(release))
    wait_for(lambda: first.view().latest)
    second = workers.submit(work(release))
    assert badge_words(workers.view(second)) == "Training · waits, place 1"
    paused = SimpleNamespace(view=lambda **_: replace(first.view(), status="paused"), cancel=lambda: None)
    assert said(elsewhere(paused)) == []
    second.cancel()
