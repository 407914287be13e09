"""Trainings belong to visitors: found by them alone, let go of in time, their weights on disk whoever is looking."""

import gc
import threading
import time

import pytest

import cmcore as cm
from app.background.jobs import PAUSED_SECONDS, Workers
from app.runs import disk as shelf
from app.runs.library import Run
from app.training import registry as training_registry
from app.training.choice import Choice
from app.training.registry import UNSEEN_SECONDS, Training, current, forget, start
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.flow import TrajectoryPool
from cmcore.pools import pools as shared
from tests.app.training.test_badge import wait_for

SMALL = {
    "network": NetworkConfig(width=8, depth=1),
    "objective_parameters": {"trajectories": 200, "levels": 9},
    "batch": 32,
    "threads": 1,
}
ONE, OTHER = "a" * 43, "b" * 43


@pytest.fixture(autouse=True)
def _a_server_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(training_registry, "_trainings", {})
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock of jobs and of the registry, moved by hand."""
    import app.background.jobs

    class Clock:
        now = 1_000.0

        def monotonic(self):
            return self.now

    hand = Clock()
    monkeypatch.setattr(app.background.jobs, "time", hand)
    monkeypatch.setattr(training_registry, "time", hand)
    return hand


def training(visitor=ONE, steps=60, **settings):
    target = cm.make_target("eight_gaussians")
    choice = Choice("eight", "eight_gaussians", "Eight Gaussians", target)
    return Training(visitor, choice, TrainingConfig(steps=steps, **SMALL), **settings)


def begun(new, workers=None):
    start(new, workers or Workers("registry", workers=1), None)
    return new


def under_way(new):
    begun(new)
    wait_for(lambda: (latest := new.view().latest) and latest.event.step)
    return new


def test_p3_a_training_is_found_by_its_visitor_alone():
    mine = begun(training())
    assert current(ONE) is mine
    assert current(OTHER) is None
    mine.cancel()


def test_p3_what_ended_is_on_disk_when_nobody_comes_back(clock):
    mine = under_way(training(steps=100_000))
    clock.now += 60  # the tab is closed
    wait_for(lambda: mine.over)
    (run,) = shelf.stored(ONE)
    assert (run.key, run.label, run.model.status) == (mine.run_key, "Eight Gaussians", "stopped")
    assert run.model.steps > 0
    assert run.model.resume_state, "it can be continued"
    assert not list(shelf.stored(OTHER))
    assert "Nobody looked" in mine.view().ended


def test_p3_a_paused_training_that_nobody_comes_back_to_becomes_a_run_and_lets_its_pool_go(clock):
    def pools():
        gc.collect()
        return sum(type(thing) is TrajectoryPool for thing in gc.get_objects())

    shared.clear()
    before = pools()
    mine = under_way(training(steps=100_000))
    mine.pause()
    wait_for(lambda: mine.view().status == "paused")
    shared.clear()  # what is left is held by the training alone
    assert pools() > before
    clock.now += 1.1 * PAUSED_SECONDS
    assert current(OTHER) is None  # somebody else opens a page
    assert mine.over
    assert pools() == before
    (run,) = shelf.stored(ONE)
    assert run.model.steps == mine.view().latest.event.step == mine.view().latest.model.steps


def test_p2_the_picture_of_a_run_stopped_while_paused_is_of_its_last_weights():
    mine = under_way(training(steps=100_000))
    mine.pause()
    wait_for(lambda: mine.view().status == "paused")
    mine.cancel()
    latest = mine.view().latest
    assert latest.newest is latest.model
    assert latest.samples is None  # the browser draws them


def test_results_are_let_go_after_a_while_and_never_too_many(clock, monkeypatch):
    monkeypatch.setattr(training_registry, "MOST_ENDED", 2)
    visitors = [f"{i:043d}" for i in range(4)]
    for visitor in visitors:
        done = begun(training(visitor, steps=1))
        wait_for(lambda done=done: done.view().over)
        clock.now += 1
    held = [visitor for visitor in visitors if current(visitor)]
    assert held == visitors[-2:]
    clock.now += UNSEEN_SECONDS + 1
    assert current(OTHER) is None
    assert training_registry._trainings == {}


def test_a_run_that_was_deleted_does_not_come_back():
    mine = begun(training(steps=5))
    wait_for(lambda: mine.view().over)
    forget(OTHER, mine.run_key)
    assert current(ONE) is mine
    forget(ONE, mine.run_key)
    assert current(ONE) is None
    assert mine.deleted


def test_p1_continued_before_its_first_step_it_leaves_no_second_run():
    first = begun(training(steps=60))
    wait_for(lambda: first.view().over)
    run = Run(first.run_key, "Eight Gaussians", first.view().latest.model)
    longer = training(continues=run)
    longer.config = cm.continuation(run.model, steps=100_000)
    gate = threading.Event()
    workers = Workers("registry", workers=1)
    workers.submit(lambda stop: iter([gate.wait(300)]))
    begun(longer, workers)
    longer.cancel()
    gate.set()
    wait_for(lambda: longer.view().over)
    time.sleep(0.05)
    assert [kept.key for kept in shelf.stored(ONE)] == [first.run_key]
