"""A live run: what it measures on the way, and what waiting does to it."""

import gc
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch

import cmcore as cm
from app.background.jobs import Job, Workers
from app.kl.one_run import kl_of_run
from app.runs.run import Run
from app.training.job import Stopwatch, live_question, train_live
from cmcore.config import NetworkConfig, SamplerConfig, TrainingConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.flow import TrajectoryPool
from cmcore.pools import pools as shared
from tests.app.conftest import untrained

SMALL = {
    "network": NetworkConfig(width=24, depth=2),
    "objective_parameters": {"trajectories": 1000, "levels": 17},
    "batch": 128,
    "threads": 1,
}


def weights(model):
    return torch.cat([p.reshape(-1) for p in model.flow_map.parameters()])


def test_a_stopwatch_stands_still(monkeypatch):
    now = iter([10.0, 11.0, 30.0, 30.5])  # asked, stopped, going on, asked
    monkeypatch.setattr("app.training.job.time", SimpleNamespace(perf_counter=lambda: next(now)))
    watch = Stopwatch()
    assert watch() == 10.0
    watch.stop()
    assert watch() == watch() == 11.0
    watch.go()
    assert watch() == 11.5


class Noted(Stopwatch):
    """Writes down when it is stopped, when it goes on, and when the run looks at it."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def __call__(self):
        self.notes.append("read")
        return super().__call__()

    def stop(self):
        self.notes.append("stop")
        super().stop()

    def go(self):
        self.notes.append("go")
        super().go()


def test_a_run_may_wait_and_go_on_in_another_thread(monkeypatch):
    """Waiting counts for nothing, and the weights at the end are those of a run that never waited."""
    watch = Noted()
    target, config = cm.make_target("eight_gaussians"), TrainingConfig(steps=300, **SMALL)
    whole = list(train_live(target, config, threading.Event()))[-1]
    monkeypatch.setattr("app.training.job.PUBLISH_EVERY", 0.0)
    monkeypatch.setattr("app.training.job.Stopwatch", lambda: watch)
    broken, seen = train_live(target, config, threading.Event()), []
    while not seen or seen[-1].event.step < 100:
        seen.append(next(broken))
    assert watch.notes[-1] == "stop"
    thread = threading.Thread(target=lambda: seen.extend(broken))
    thread.start()
    thread.join()
    assert seen[-1].model.steps == whole.model.steps == 300
    assert torch.equal(weights(seen[-1].model), weights(whole.model))
    stops = [i for i, note in enumerate(watch.notes) if note == "stop"]
    assert len(stops) == len(seen)
    assert all(watch.notes[i + 1] == "go" for i in stops)


@pytest.mark.parametrize("early", [False, True])
def test_what_a_run_learned_from_is_let_go_when_it_ends(early):
    """The job of a run stays with its session; the pool of trajectories, the largest thing by far, does not.

    What stays of it for other runs is bounded, and let go here.
    """

    def pools():
        gc.collect()
        return sum(type(thing) is TrajectoryPool for thing in gc.get_objects())

    shared.clear()
    before = pools()
    target, config = cm.make_target("eight_gaussians"), TrainingConfig(steps=100_000 if early else 300, **SMALL)
    job = Job(partial(train_live, target, config))
    thread = threading.Thread(target=job.run)
    thread.start()
    if early:
        while job.view().latest is None or not job.view().latest.event.step:
            time.sleep(0.01)
        assert pools() > before
        job.cancel()
    thread.join()
    view = job.view()
    assert view.over
    shared.clear()
    assert pools() == before
    assert view.latest.event.model() is view.latest.model


@pytest.mark.parametrize(
    ("name", "objective", "asked"),
    [
        ("eight_gaussians", "trajectory_regression", ("deterministic", 4, MODEL_DATA, 0.0, 0.5)),
        ("checkerboard", "trajectory_regression", ("deterministic", 4, MODEL_DATA, 0.01, 0.5)),
        ("eight_gaussians", "ct", ("renoise", 4, DATA_MODEL, 0.02, 1.0)),
        ("torus_knot", "trajectory_regression", ("deterministic", 4, MODEL_DATA, 0.0, 0.5)),
    ],
)
def test_what_the_live_kl_asks(name, objective, asked):
    question = live_question(cm.make_target(name), TrainingConfig(steps=1, objective=objective))
    assert question is not None
    assert (question.sampler, question.calls, question.direction, question.grid.delta, question.renoise) == asked


@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard", "torus_knot"])
def test_p6_train_asks_what_explore_asks_of_the_run_first(name):
    model = untrained(name)
    drawn = SamplerConfig(steps=4, horizon=model.horizon, delta=model.delta)
    asked = kl_of_run(Run("one", "One", model), drawn, MODEL_DATA).first
    assert live_question(model.target, model.config) == asked


@pytest.mark.parametrize(("name", "in_browser"), [("eight_gaussians", True), ("torus_knot", False)])
def test_what_the_browser_draws_is_not_drawn_beside_the_training_too(monkeypatch, name, in_browser):
    monkeypatch.setattr("app.training.job.PICTURE_EVERY", 0.0)
    monkeypatch.setattr("app.training.job.PUBLISH_EVERY", 0.0)
    config = TrainingConfig(steps=150, **SMALL)
    seen = list(train_live(cm.make_target(name), config, threading.Event()))
    learning = [each for each in seen[:-1] if each.newest is not None]
    assert len({each.newest.steps for each in learning}) > 1
    assert seen[-1].newest is seen[-1].model
    for each in (*learning, seen[-1]):
        if in_browser:
            assert each.samples is None
        else:
            again = cm.sample(each.newest, len(each.samples), 4, seed=0, noiseless_end=True).points
            assert each.samples == pytest.approx(again.numpy())


def test_samples_alone_have_no_live_kl():
    rows = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert live_question(cm.Samples(rows), TrainingConfig(steps=1, objective="lsd")) is None


def test_the_kl_is_measured_on_the_way_with_its_interval(monkeypatch):
    for name, value in (("FIRST_KL", 0.0), ("NEXT_KL", 0.0), ("KL_SHARE", 10.0), ("LIVE_POINTS", 1024)):
        monkeypatch.setattr(f"app.training.job.{name}", value)
    workers = Workers("test measuring", workers=1)
    config = TrainingConfig(steps=1500, **SMALL)
    *_, last = train_live(cm.make_target("eight_gaussians"), config, threading.Event(), measuring=workers)
    assert last.kl
    steps = [point.step for point in last.kl]
    assert steps == sorted(steps)
    assert steps[0] > 0
    for point in last.kl:
        assert point.estimate.low <= point.estimate.value <= point.estimate.high
        assert point.estimate.trusted
    assert last.kl[-1].estimate.value < last.kl[0].estimate.value or len(last.kl) == 1
