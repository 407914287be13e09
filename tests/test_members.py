"""Runs of every kind repeat and resume, and members trained side by side end where each would have ended alone."""

import random
import warnings
from collections import deque

import pytest
import torch

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.training_run import TrainingRun

TARGET = cm.GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
CHOICES = {
    "lsd": {},
    "psd": {},
    "cd": {},  # with an average of the weights for its targets
    "imm": {},
    "trajectory_regression": {"trajectories": 500, "levels": 17},
    "lmd": {"velocity": "learned"},  # with a teacher
}
TOLERANCE = {"imm": 1e-3}
"""Beside 1e-5: what a particle learns from its nearest neighbours depends on the last digits of both."""
SEEDS = [3, 5]
VARIED = {"learning_rate": [1e-3, 5e-3], "matrix_learning_rate": [0.01, 0.03], "average": [0.9, 0.95]}


def choices(objective, **changes):
    """Settings of a short run."""
    small = {
        "objective": objective,
        "objective_parameters": CHOICES[objective],
        "network": NetworkConfig(width=12, depth=3),
        "batch": 64,
        "steps": 50,
        "threads": 1,
        "matmul_dtype": "float32",
        "warmup": 10,
        "device": "cpu",
    }
    return {**small, **changes}


@pytest.fixture
def uneven(monkeypatch):
    """The clock of a machine with other things to do, by its pace: some steps take many times as long as others.

    It moves with the steps and not when it is read, so that a budget buys as many steps however often it is asked.
    """
    chance, now, step = random.Random(7), 0.0, TrainingRun.take_step

    def timed(pace):
        def take_step(run):
            nonlocal now
            now += pace * chance.choice([0.2, 0.5, 5.0])
            step(run)

        monkeypatch.setattr(TrainingRun, "take_step", take_step)
        return lambda: now

    return timed


def weights(model):
    return torch.cat([p.reshape(-1) for p in model.flow_map.parameters()])


def last(events):
    return deque(events, maxlen=1).pop()


@pytest.fixture(params=list(CHOICES))
def objective(request):
    return request.param


# ---- one run ----------------------------------------------------------------------------------------------------
def test_same_config_and_seed_same_weights(objective):
    torch.manual_seed(1)
    one = cm.train(TARGET, seed=3, **choices(objective))
    torch.manual_seed(2)
    two = last(cm.training(TARGET, one.config)).model()
    other = cm.train(TARGET, seed=4, **choices(objective))
    assert torch.equal(weights(one), weights(two))
    assert one.config == two.config
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.parametrize(("objective", "seconds"), [("lsd", 0.5), ("lmd", 0.5), ("lmd", 3.0)])
def test_a_budget_in_seconds_is_repeated_in_steps_however_short_the_warm_up_and_busy_the_machine(
    objective, seconds, uneven, monkeypatch
):
    for part in ("budget", "run"):  # so that a tenth of few steps is watched longer than two
        monkeypatch.setattr(f"cmcore.training_{part}.REPORT", 4)
    config = TrainingConfig(**choices(objective, steps=None, seconds=seconds, warmup=5))
    by_time = last(cm.training(TARGET, config, clock=uneven(0.005))).model()
    by_steps = last(cm.training(TARGET, by_time.config)).model()
    assert by_time.seconds == pytest.approx(seconds, rel=0.2)
    assert by_time.steps == by_time.config.steps == by_steps.steps < 600
    assert torch.equal(weights(by_time), weights(by_steps))


@pytest.mark.parametrize("objective", ["cd", "lmd", "imm"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(objective):
    """With the average that makes its targets, and with the teacher it had."""
    config = TrainingConfig(**choices(objective, steps=100))
    whole = last(cm.training(TARGET, config)).model()
    first = next(e for e in cm.training(TARGET, config) if e.step == 50).model()
    assert first.status == "stopped"
    assert any(name == "targets" for name in first.resume_state) == (objective == "cd")
    assert any(name.startswith("teacher.") for name in first.resume_state) == (objective == "lmd")
    rest = last(cm.training(TARGET, config, resume=first)).model()
    assert rest.steps == 100
    assert torch.equal(weights(rest), weights(whole))


def test_a_state_of_another_objective_is_refused():
    config = TrainingConfig(**choices("lsd"))
    stopped = next(e for e in cm.training(TARGET, config) if e.step == 50).model()
    for other in ("cd", "lmd"):
        with pytest.raises(ValueError, match="does not fit this objective"):
            last(cm.training(TARGET, TrainingConfig(**choices(other)), resume=stopped))


# ---- several ----------------------------------------------------------------------------------------------------
def assert_as_alone(members, objective, seeds, varied, **changes):
    tolerance = TOLERANCE.get(objective, 1e-5) if changes.get("device") != "cuda" else 1e-2
    for i, (member, seed) in enumerate(zip(members, seeds, strict=True)):
        rates = {name: values[i] for name, values in varied.items()}
        alone = cm.train(TARGET, seed=seed, **choices(objective, **rates, **changes))
        torch.testing.assert_close(weights(member), weights(alone), rtol=tolerance, atol=tolerance)
        assert member.config == alone.config
        assert member.status == alone.status == "finished"
        assert [step for step, *_ in member.history] == [step for step, *_ in alone.history]
        assert member.history[-1][1] == pytest.approx(alone.history[-1][1], rel=1e-3)
        assert member.history[-1][2] == pytest.approx(alone.history[-1][2], rel=1e-2)
        assert list(member.resume_state) == list(alone.resume_state)


@pytest.mark.parametrize("varied", [{}, VARIED], ids=["seeds", "rates"])
def test_members_end_where_they_would_have_ended_alone(objective, varied):
    seeds = [3, 3] if varied else SEEDS  # one seed twice shows the rates alone
    members = cm.train_members(TARGET, seeds=seeds, vary=varied, **choices(objective))
    assert_as_alone(members, objective, seeds, varied)
    assert not torch.equal(weights(members[0]), weights(members[1]))


def test_members_go_on_alone():
    """What a member keeps is all that its run needs."""
    config = choices("cd")
    members = cm.train_members(TARGET, seeds=SEEDS, **config)
    for member, seed in zip(members, SEEDS, strict=True):
        alone = cm.train(TARGET, seed=seed, **config)
        longer = TrainingConfig(**choices("cd", steps=60, seed=seed))
        ends = [last(cm.training(TARGET, longer, resume=model)).model() for model in (member, alone)]
        torch.testing.assert_close(*map(weights, ends), rtol=1e-4, atol=1e-4)
        assert ends[0].steps == 60


def test_n9_the_quality_of_a_member_is_that_of_its_run_alone():
    members = cm.train_members(TARGET, seeds=SEEDS, **choices("lsd"))
    for member, seed in zip(members, SEEDS, strict=True):
        alone = cm.train(TARGET, seed=seed, **choices("lsd"))
        assert member.history[-1][2] == pytest.approx(alone.history[-1][2], rel=1e-4)


def test_one_member_is_a_run():
    (member,) = cm.train_members(TARGET, seeds=[3], **choices("psd"))
    assert_as_alone([member], "psd", [3], {})


def spoil(monkeypatch, at, member):
    """Fill one member's gradients with NaN at a step, as an overflow would."""
    from cmcore.optimizer import FlatOptimizer

    original = FlatOptimizer.step

    def step(self, factor, age):
        if age == at and self.members:
            for part in self._parts(self.gradients):
                part[member].fill_(float("nan"))
        original(self, factor, age)

    monkeypatch.setattr(FlatOptimizer, "step", step)


@pytest.mark.parametrize("objective", ["lsd", "cd"])
def test_a_member_that_diverges_disturbs_no_other_and_says_so(objective, monkeypatch):
    sound = cm.train_members(TARGET, seeds=[1, 2, 3], **choices(objective, steps=150))
    spoil(monkeypatch, at=70, member=1)
    events = []
    members = cm.train_members(TARGET, seeds=[1, 2, 3], on_event=events.append, **choices(objective, steps=150))
    assert [member.status for member in members] == ["finished", "diverged", "finished"]
    assert [member.steps for member in members] == [150, 50, 150]
    assert events[-1].status == "finished"
    for i in (0, 2):
        torch.testing.assert_close(weights(members[i]), weights(sound[i]), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(torch.tensor(members[i].history), torch.tensor(sound[i].history))
    assert bool(torch.isfinite(weights(members[1])).all())
    assert [step for step, *_ in members[1].history] == [50]
    assert all(bool(v.isfinite().all()) for v in members[1].resume_state.values())


def test_an_absurd_rate_does_not_disturb_the_others():
    rates = {"learning_rate": [1e-3, 1.0], "matrix_learning_rate": [0.01, 1.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        members = cm.train_members(TARGET, seeds=[3, 3], vary=rates, **choices("lsd", steps=150, warmup=0))
    alone = cm.train(
        TARGET, seed=3, **choices("lsd", steps=150, warmup=0, learning_rate=1e-3, matrix_learning_rate=0.01)
    )
    torch.testing.assert_close(weights(members[0]), weights(alone), rtol=1e-4, atol=1e-4)
    assert members[0].status == "finished"


def test_all_members_diverged_is_a_diverged_run(monkeypatch):
    for member in (0, 1):
        spoil(monkeypatch, at=20, member=member)
    events = []
    members = cm.train_members(TARGET, seeds=SEEDS, on_event=events.append, **choices("psd", steps=150))
    assert events[-1].status == "diverged"
    assert "diverged by step 50" in events[-1].message
    assert {member.status for member in members} == {"diverged"}


@pytest.mark.parametrize(
    ("seeds", "vary", "words"),
    [
        ([], None, "at least one seed"),
        ([], {"average": []}, "at least one seed"),
        ([1, -1], None, "greater than or equal to 0"),
        ([1, 2], {"warmup": [1.0, 2.0]}, "may differ in their seed"),
        ([1, 2], {"learning_rate": [1e-3]}, "a value for each of the 2 members"),
        ([1, 2], {"learning_rate": [1e-3, 5.0]}, "less than or equal to 1"),
        ([1, 2], {"average": [0.5, 1.0]}, "less than 1"),
        ([1, 2], {"learning_rate": [1e-3, float("nan")]}, "finite number"),
    ],
)
def test_bad_members_are_refused(seeds, vary, words):
    with pytest.raises(ValueError, match=words):
        cm.train_members(TARGET, seeds=seeds, vary=vary, **choices("lsd"))


@pytest.mark.cuda
def test_on_cuda_members_end_where_they_would_have_ended_alone(objective):
    members = cm.train_members(TARGET, seeds=SEEDS, vary=VARIED, **choices(objective, device="cuda"))
    assert all("CUDA" in member.device for member in members)
    assert_as_alone(members, objective, SEEDS, VARIED, device="cuda")
