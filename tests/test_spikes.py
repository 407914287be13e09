"""A gradient many times too large: met, told, and without a trace in the trained map."""

from collections import deque

import pytest
import torch

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.optimizer import FlatOptimizer
from cmcore.spikes import SPIKE, SpikeGuard

TARGET = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="pair")
CHOICES = {
    "network": NetworkConfig(width=24, depth=2),
    "objective_parameters": {"trajectories": 1000, "levels": 17},
    "batch": 128,
    "threads": 1,
    "steps": 300,
    "warmup": 20,
    "average": 0.98,
    "matmul_dtype": "float32",
}


def last(events):
    return deque(events, maxlen=1).pop()


def weights(model):
    return torch.cat([p.reshape(-1) for p in model.flow_map.parameters()])


@pytest.fixture
def spike(monkeypatch):
    """spike(at, factor, member): the gradient of one update, or of one member's, is so many times too large."""

    def make(at, factor=1e6, member=None):
        original = FlatOptimizer.step

        def step(self, *arguments):
            if arguments[1] in ([at] if isinstance(at, int) else at):
                for part in [self.gradients] if member is None else [p[member] for p in self._parts(self.gradients)]:
                    part.mul_(factor)
            original(self, *arguments)

        monkeypatch.setattr(FlatOptimizer, "step", step)

    return make


@pytest.fixture(scope="module")
def undisturbed():
    return {o: cm.train(TARGET, **{**CHOICES, "optimizer": o}) for o in ("muon", "adam")}


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
@pytest.mark.parametrize("at", [0, 7, 60, 149, 280])
def test_g5_a_spike_leaves_no_trace_and_is_told(undisturbed, spike, optimizer, at):
    spike(at)
    events = list(cm.training(TARGET, TrainingConfig(**{**CHOICES, "optimizer": optimizer})))
    model, without = events[-1].model(), undisturbed[optimizer]
    assert model.status == "finished"
    assert model.history[-1][2] < 1.3 * without.history[-1][2]
    assert model.spikes == events[-1].spikes == (at + 1,)
    assert f"at step {at + 1}" in events[-1].message
    (told,) = [event for event in events[:-1] if event.message and event.status == "training"] or events[-1:]
    assert f"step {at + 1}" in told.message
    assert not without.spikes
    assert max(loss for _, loss, _ in model.history) < 2 * max(loss for _, loss, _ in without.history)


def test_g5_a_member_s_spike_is_its_own(spike):
    choices = {**CHOICES, "steps": 150}
    sound = cm.train_members(TARGET, seeds=[1, 2, 3], **choices)
    spike([5, 99], member=1)
    members = cm.train_members(TARGET, seeds=[1, 2, 3], **choices)
    assert [model.spikes for model in members] == [(), (6, 100), ()]
    for i in (0, 2):
        assert torch.equal(weights(members[i]), weights(sound[i]))
    assert members[1].history[-1][2] < 1.3 * sound[1].history[-1][2]


def test_g5_a_run_in_which_all_gradients_are_spikes_has_diverged(spike):
    spike(range(100, 1000), factor=1e9)
    growing = {**CHOICES, "steps": 400}
    event = last(cm.training(TARGET, TrainingConfig(**growing)))
    assert event.status == "diverged"
    assert event.model().steps == 100


def test_g5_a_jump_that_misses_by_ten_times_everything_has_diverged(monkeypatch):
    """Though the loss on its batches is small."""
    from cmcore.training_quality import Quality

    measure = Quality.measure
    monkeypatch.setattr(Quality, "measure", lambda self, f, o: measure(self, f, o) * (1e3 if o.adam_steps > 120 else 1))
    monkeypatch.setattr(FlatOptimizer, "adam_steps", property(lambda self: int(self.adam.state["step"])), raising=False)
    event = last(cm.training(TARGET, TrainingConfig(**CHOICES)))
    assert event.status == "diverged"
    assert event.model().steps == 100


def test_a_spike_is_remembered_by_a_run_that_goes_on(spike, tmp_path):
    spike(60)
    config = TrainingConfig(**CHOICES)
    half = next(e for e in cm.training(TARGET, config) if e.step == 100).model()
    back = cm.load(cm.save(half, tmp_path))
    assert back.spikes == (61,)
    rest, whole = (last(cm.training(TARGET, config, resume=r)).model() for r in (back, None))
    assert rest.spikes == whole.spikes == (61,)
    assert torch.equal(weights(rest), weights(whole))


def test_what_lasts_is_no_spike():
    """A gradient that stays larger is followed after a while; one that is a little larger never was a spike."""
    guard = SpikeGuard(1, torch.zeros(()))
    norms = [1.0] * 20 + [0.5 * SPIKE] + [1.0] * 20 + [1e3 * SPIKE] * 200
    met = 0
    for age, norm in enumerate(norms):
        scales = guard.scales([norm], age)
        guard.settle(age)
        met += scales is not None
        assert scales is None or float(scales) * norm < 1e3 * SPIKE
    assert 20 < met < 100
    assert float(guard.usual) > 1e2 * SPIKE
