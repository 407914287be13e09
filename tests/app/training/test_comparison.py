"""Several objectives and seeds from one press: one after the other, each in its own turn, and nothing lost unsaid."""

import pytest

import cmcore as cm
from app.background.jobs import Busy, Workers
from app.hosting.limits import Limits, OverLimit
from app.runs import disk as shelf
from app.training import registry
from app.training.choice import Choice
from app.training.registry import Comparison, Training, compare, comparison_of, current, go_on, stop_comparison
from cmcore.config import NetworkConfig, TrainingConfig
from tests.app.training.test_badge import wait_for

ONE, OTHER = "a" * 43, "b" * 43
SMALL = {"network": NetworkConfig(width=8, depth=1), "batch": 32, "threads": 1}
PARTS = [("lsd", 0), ("lsd", 1), ("mean_flow", 0)]


@pytest.fixture(autouse=True)
def _a_server_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_trainings", {})
    monkeypatch.setattr(registry, "_comparisons", {})
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))


def prepared(steps=20, visitor=ONE):
    choice = Choice("eight", "eight_gaussians", "Eight Gaussians", cm.make_target("eight_gaussians"))
    configs = [TrainingConfig(objective=name, seed=seed, steps=steps, **SMALL) for name, seed in PARTS]
    return Comparison(choice, [Training(visitor, choice, config) for config in configs])


def looked(workers, visitor=ONE):
    """What a page does that looks on: whether all has ended."""
    go_on(visitor, workers, None)
    comparison = comparison_of(visitor)
    return not comparison.pending and current(visitor).over


def test_all_are_trained_one_after_the_other_and_kept(monkeypatch):
    workers, comparison = Workers("compared", workers=2), prepared()
    real, active, at_once = registry.train_live, set(), set()

    def counted(target, config, stop, **settings):
        active.add(id(config))
        at_once.add(len(active))
        yield from real(target, config, stop, **settings)
        active.discard(id(config))

    monkeypatch.setattr(registry, "train_live", counted)
    compare(ONE, comparison, workers, None)
    wait_for(lambda: looked(workers))
    assert at_once == {1}, "one visitor has one training at a time"
    kept = {run.key: run.model.config for run in shelf.stored(ONE)}
    assert list(kept) == comparison.run_keys
    assert [(config.objective, config.seed) for config in kept.values()] == PARTS
    assert not comparison.problems


def test_between_two_trainings_others_come_first():
    workers, comparison = Workers("fair", workers=1), prepared()
    compare(ONE, comparison, workers, None)
    other = prepared(visitor=OTHER)
    compare(OTHER, other, workers, None)  # waits behind the first one, and before the second
    wait_for(lambda: current(ONE).over)
    go_on(ONE, workers, None)
    assert len(comparison.pending) == 1
    place = workers.view(current(ONE)._job).place
    assert place == 0 or current(OTHER).over or workers.view(current(OTHER)._job).place < place
    stop_comparison(ONE)
    stop_comparison(OTHER)


def test_what_was_stopped_is_said_and_what_was_trained_stays():
    workers, comparison = Workers("stopped", workers=1), prepared(steps=200_000 // 2)
    compare(ONE, comparison, workers, None)
    wait_for(lambda: (latest := current(ONE).view().latest) and latest.event.step)
    stop_comparison(ONE)
    wait_for(lambda: looked(workers))
    assert len(comparison.problems) == 2
    assert [run.key for run in shelf.stored(ONE)] == comparison.run_keys[:1]


def test_a_training_that_leaves_nothing_is_said_and_the_next_one_begins(monkeypatch):
    workers, comparison = Workers("failing", workers=1), prepared()
    real = registry.train_live

    def fails(target, config, stop, **settings):
        if config.seed:
            raise ValueError("There is not enough of it.")
        return real(target, config, stop, **settings)

    monkeypatch.setattr(registry, "train_live", fails)
    compare(ONE, comparison, workers, None)
    wait_for(lambda: looked(workers))
    assert comparison.problems == {comparison.run_keys[1]: "There is not enough of it."}
    assert len(list(shelf.stored(ONE))) == 2


def test_a_comparison_is_one_training_to_its_visitor_and_bounded_by_the_server():
    workers = Workers("bounded", workers=1)
    compare(ONE, first := prepared(steps=100_000), workers, None)
    with pytest.raises(Busy):
        compare(ONE, prepared(), workers, None)
    assert comparison_of(ONE) is first
    stop_comparison(ONE)
    with pytest.raises(OverLimit):
        Limits(compared=6).check_compared(7)
    Limits(compared=6).check_compared(6)
