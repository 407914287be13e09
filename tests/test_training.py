"""Training: reproducible, stoppable, resumable, and honest when it fails."""

import itertools
from collections import deque
from dataclasses import replace

import pytest
import torch

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.optimizer import BatchedMuon, FlatOptimizer
from cmcore.runtime import choose_products
from cmcore.schedule import CONTINUED_PEAK, moment
from cmcore.streams import stream
from cmcore.training import FEW_STEPS
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun

SMALL = {
    "network": NetworkConfig(width=24, depth=2),
    "objective_parameters": {"trajectories": 1000, "levels": 17},
    "batch": 128,
    "threads": 1,
}


@pytest.fixture(scope="module")
def target():
    return cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="pair")


def config(**changes):
    rates = {"learning_rate": 5e-3, "matrix_learning_rate": 3e-2, "average": 0.998}
    return TrainingConfig(**{"steps": 200, **rates, **SMALL, **changes})


def weights(model):
    return torch.cat([p.reshape(-1) for p in model.flow_map.parameters()])


def last(events):
    return deque(events, maxlen=1).pop()


def test_same_config_and_seed_same_weights(target):
    torch.manual_seed(1)
    one = last(cm.training(target, config())).model()
    torch.manual_seed(2)
    two = last(cm.training(target, config())).model()
    other = last(cm.training(target, config(seed=1))).model()
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "adam"])
@pytest.mark.parametrize("stop_at", [50, 150])
def test_a_resumed_run_ends_where_an_unbroken_one_does(target, optimizer, stop_at):
    whole = last(cm.training(target, config(optimizer=optimizer))).model()
    first = next(e for e in cm.training(target, config(optimizer=optimizer)) if e.step == stop_at).model()
    assert first.status == "stopped"
    rest = last(cm.training(target, config(optimizer=optimizer), resume=first)).model()
    assert rest.steps == whole.steps == 200
    assert torch.equal(weights(rest), weights(whole))


@pytest.mark.parametrize("stop_at", [50, 150])
def test_mixed_products_turn_to_float32_half_way_and_a_resumed_run_remembers_it(target, stop_at):
    mixed = config(matmul_dtype="mixed", warmup=20)
    dtypes, run = [], TrainingRun(target, resolved(mixed, target))
    deque(run.prepare(), maxlen=0)
    while not run.done:
        run.take_step()
        dtypes.append(run.flow_map.matmul_dtype)
    assert dtypes == [torch.bfloat16] * 110 + [torch.float32] * 90
    first = next(e for e in cm.training(target, mixed) if e.step == stop_at).model()
    rest = last(cm.training(target, mixed, resume=first)).model()
    assert torch.equal(weights(rest), weights(last(cm.training(target, mixed)).model()))


def test_only_what_comes_near_the_truth_turns_to_float32_by_itself(target):
    """Where the machine would choose bfloat16 at all."""
    coarse = choose_products("auto", torch.device("cpu"))
    chosen = {"exact": "mixed" if coarse == "bfloat16" else "float32", "learned": coarse}
    for velocity, products in chosen.items():
        choice = config(objective_parameters={"velocity": velocity, "trajectories": 50, "levels": 5}, steps=10)
        assert TrainingRun(target, resolved(choice, target)).config.matmul_dtype == products


# ---- going on with a new budget ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def finished(target):
    return last(cm.training(target, config(steps=100, warmup=10))).model()


def test_p1_a_finished_run_goes_on_for_more_steps(target, finished):
    event = last(cm.training(target, resume=finished, steps=100))
    longer = event.model()
    assert (event.status, longer.steps, longer.config.steps) == ("finished", 200, 200)
    assert longer.history[: len(finished.history)] == finished.history
    assert longer.history[-1][2] < finished.history[-1][2]


@pytest.mark.parametrize("objective", ["lsd", "ct"])
def test_p1_a_continued_run_is_repeated_from_its_config(target, objective):
    """Also one whose targets follow its weights and whose curriculum had grown; bit by bit."""
    shape = {"objective": objective, "objective_parameters": {}, "warmup": 10, "steps": 70}
    begun = next(e for e in cm.training(target, config(**shape)) if e.step == 50).model()
    once = last(cm.training(target, resume=begun, steps=30)).model()
    twice = last(cm.training(target, resume=once, steps=40)).model()
    repeated = last(cm.training(target, twice.config)).model()
    assert [(plan.until, plan.steps) for plan in twice.config.earlier] == [(50, 70), (80, 80)]
    assert torch.equal(weights(twice), weights(repeated))
    assert twice.config == repeated.config


def test_p1_a_continued_run_that_is_stopped_resumes_bit_by_bit(target, finished):
    whole = last(cm.training(target, resume=finished, steps=100)).model()
    half = next(e for e in cm.training(target, resume=finished, steps=100) if e.step == 150).model()
    assert half.status == "stopped"
    assert torch.equal(weights(last(cm.training(target, resume=half)).model()), weights(whole))


@pytest.fixture
def paced(monkeypatch):
    """A clock that moves when a step is made: paced(seconds of the n-th step) is the clock."""

    def make(pace):
        now, count, original = 0.0, itertools.count(), FlatOptimizer.step

        def step(self, factor, age):
            nonlocal now
            now += pace(next(count))
            original(self, factor, age)

        monkeypatch.setattr(FlatOptimizer, "step", step)
        return lambda: now

    return make


def test_p1_more_seconds_count_from_where_the_run_is(target, finished, paced):
    events = cm.training(target, resume=finished, seconds=3.0, clock=paced(lambda _: 0.01))
    model = last(events).model()
    assert model.seconds == pytest.approx(finished.seconds + 3.0, rel=0.05)
    assert model.steps == pytest.approx(finished.steps + 300, rel=0.05)
    repeated = last(cm.training(target, model.config)).model()
    assert torch.equal(weights(model), weights(repeated))


def test_a_continued_run_goes_on_from_its_averaged_weights_and_rates_that_rise_anew(finished):
    choice = cm.continuation(finished, steps=100)
    factors = [moment(choice, step, choice.steps).factor for step in range(200)]
    assert factors[:100] == [moment(finished.config, step, 100).factor for step in range(100)]
    assert max(factors[100:]) == pytest.approx(CONTINUED_PEAK)
    assert factors[100] == pytest.approx(CONTINUED_PEAK / 10)
    assert factors[199] < 0.01
    assert {moment(choice, step, 200).progress for step in range(100, 200)} == {1.0}, "what has grown stays"


@pytest.mark.parametrize("objective", ["trajectory_regression", "ct"])
def test_g6_raw_weights_are_what_training_without_an_average_gives(target, objective):
    shape = {"objective": objective, "warmup": 10, "steps": 70, "network": NetworkConfig(width=24, depth=2, experts=2)}
    shape |= {} if objective == "trajectory_regression" else {"objective_parameters": {}}
    averaged, unaveraged = (last(cm.training(target, config(average=a, **shape))).model() for a in (0.998, 0.0))
    raw = cm.with_raw_weights(averaged)
    assert torch.equal(weights(raw), weights(unaveraged))
    assert not torch.equal(weights(raw), weights(averaged))
    assert raw.config == unaveraged.config
    on = [last(cm.training(target, resume=one, steps=20)).model() for one in (raw, unaveraged)]
    assert torch.equal(*map(weights, on))


def test_g6_raw_weights_are_saved_and_claim_no_quality_of_the_average(finished, tmp_path):
    raw = cm.with_raw_weights(finished)
    cm.save(raw, tmp_path)
    back = cm.load(tmp_path)
    assert torch.equal(weights(back), weights(raw))
    assert [(step, loss) for step, loss, _ in raw.history] == [(step, loss) for step, loss, _ in finished.history]
    assert all(quality != quality for _, _, quality in back.history)
    assert not raw.film.frames
    unsaid = replace(finished, config=finished.config.model_copy(update={"learning_rate": None, "average": None}))
    assert torch.equal(weights(cm.with_raw_weights(unsaid)), weights(raw))
    with pytest.raises(ValueError, match="training state"):
        cm.with_raw_weights(replace(finished, resume_state={}))


@pytest.mark.parametrize("budget", [{}, {"steps": 5, "seconds": 1.0}, {"steps": 0}, {"seconds": float("nan")}])
def test_a_run_goes_on_for_one_sound_budget(finished, budget):
    with pytest.raises(ValueError, match=r"more|at least"):
        cm.continuation(finished, **budget)


def test_resuming_refuses_other_settings_and_what_has_ended(target, finished):
    with pytest.raises(ValueError, match="leave out batch"):
        cm.train(target, resume=finished, steps=10, batch=64)
    with pytest.raises(ValueError, match="more steps or seconds"):
        cm.train(target, resume=finished)
    assert cm.train(target, resume=finished, steps=10, seed=finished.config.seed).steps == 110


def test_earlier_plans_follow_one_another():
    with pytest.raises(ValueError, match="follow one another"):
        config(earlier=({"until": 50, "steps": 60}, {"until": 40, "steps": 60}))
    with pytest.raises(ValueError, match="ends after"):
        config(steps=40, earlier=({"until": 50, "steps": 60},))


def test_p1_few_steps_are_told_in_words(target):
    few, enough = (last(cm.training(target, config(steps=n))) for n in (20, FEW_STEPS))
    assert (few.status, enough.status) == ("finished", "finished")
    assert "20 steps" in few.message
    assert not enough.message


def test_p1_seconds_count_from_the_first_step(target):
    """What is made before has its own cost, in events and in the model."""
    ticks = itertools.count()
    events = list(cm.training(target, config(), clock=lambda: 0.01 * next(ticks)))
    first = next(event for event in events if event.status == "training")
    assert {event.seconds for event in events if event.status == "preparing"} == {0.0}
    assert all(event.seconds_left is None for event in events if event.status == "preparing")
    assert first.preparation > 0
    assert first.seconds < 0.1
    assert {event.preparation for event in events if event.status != "preparing"} == {first.preparation}
    assert events[-1].model().preparation == first.preparation


@pytest.mark.slow
def test_training_learns(target):
    model = cm.train(target, steps=800, **SMALL)
    first, final = model.history[0][2], model.history[-1][2]
    assert final < 0.25 * first
    assert model.status == "finished"


def test_events_are_frozen_and_count_up(target):
    events = list(cm.training(target, config()))
    assert events[0].status == "preparing"
    assert events[-1].status == "finished"
    assert [e.step for e in events if e.status != "preparing"] == [0, 50, 100, 150, 200]
    assert all(b.seconds >= a.seconds for a, b in itertools.pairwise(events))
    with pytest.raises(AttributeError):
        events[0].loss = 1.0


def test_a_budget_in_seconds_becomes_steps_and_the_steps_reproduce_it(target):
    choices = {**SMALL, "objective_parameters": {"levels": 17}}
    by_time = cm.train(target, seconds=1.5, **choices)
    assert by_time.steps == by_time.config.steps
    by_steps = last(cm.training(target, by_time.config)).model()
    assert by_steps.config == by_time.config
    assert torch.equal(weights(by_time), weights(by_steps))


def test_a_budget_spent_before_the_first_step_is_no_divergence(target):
    model = cm.train(target, seconds=1e-6, **SMALL)
    assert model.status == "finished"
    assert 1 <= model.steps <= 3


def test_a_run_stopped_before_its_budget_became_steps_goes_on(target):
    budget = config(steps=None, seconds=600.0, warmup=1000)
    early = next(e for e in cm.training(target, budget) if e.step == 50).model()
    assert early.config.steps is None
    short = early.config.model_copy(update={"seconds": early.seconds + 0.5})
    event = last(cm.training(target, short, resume=replace(early, config=short)))
    assert event.status == "finished"
    assert event.step > 50


def test_what_the_machine_decided_is_in_the_config(target):
    chosen = cm.train(target, steps=1, **{**SMALL, "threads": 0}).config
    assert chosen.threads >= 1
    assert chosen.matmul_dtype in {"float32", "bfloat16", "mixed"}
    assert chosen.delta == 0.0


def test_a_run_that_diverges_at_once_keeps_its_initial_weights(target):
    event = last(_poisoned(target, config(), at=0))
    assert event.status == "diverged"
    initial = cm.FlowMap(2, event.model().config.network, generator=stream(0, "weights"))
    kept = event.model().flow_map
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), initial.parameters(), strict=True))


def test_a_diverging_run_is_reported_and_keeps_its_last_good_weights(target):
    wild = config(learning_rate=1.0, matrix_learning_rate=1.0, warmup=0, average=0.0, steps=5000)
    event = last(_poisoned(target, wild))
    assert event.status == "diverged"
    assert "diverged by step" in event.message
    model = event.model()
    assert model.steps < 5000
    assert bool(torch.isfinite(weights(model)).all())


def _poisoned(target, config, at=120):
    """A run whose weights are spoilt on the way, as an overflow would."""
    from cmcore import optimizer as module

    original = module.FlatOptimizer.step

    def step(self, factor, age):
        if age == at:
            self.gradients.fill_(float("nan"))
        original(self, factor, age)

    module.FlatOptimizer.step = step
    try:
        yield from cm.training(target, config)
    finally:
        module.FlatOptimizer.step = original


def test_not_smooth_targets_stop_early_by_default():
    atoms = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.0, name="two atoms")
    assert cm.train(atoms, steps=1, **SMALL).delta > 0
    with pytest.raises(ValueError, match="Stop early"):
        cm.train(atoms, steps=1, delta=0.0, **SMALL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"delta": 5.0}, "below the horizon"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"objective": "no_such"}, "no objective named"),
        ({"network": {"width": 1}}, "greater than or equal to 4"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_bad_choices_say_what_is_wrong(target, changes, words):
    with pytest.raises(ValueError, match=words):
        last(cm.training(target, config(**changes)))


def test_no_budget_is_refused():
    with pytest.raises(ValueError, match="steps or seconds"):
        TrainingConfig()


def factor(step, steps, warmup, hold=0):
    return moment(config(warmup=warmup, hold=hold), step, steps).factor


@pytest.mark.parametrize("steps", [201, 1000, 100_000])
def test_warm_up_does_not_depend_on_the_length_of_the_run(steps):
    assert [factor(i, steps, 200) for i in range(200)] == [(i + 1) / 200 for i in range(200)]
    held = [factor(i, n, 10, hold) for n, hold in ((None, 0), (steps, 150)) for i in range(10, 150)]
    assert held == [1.0] * 280
    assert factor(steps, steps, 10, 150) == pytest.approx(0.0, abs=1e-12)
    assert factor(steps, steps, 200) == pytest.approx(0.0, abs=1e-12)


def test_flat_adam_is_adam():
    """Flat buffers are a layout: the update equals torch's Adam on separate parameters."""
    choice = config(optimizer="adam", average=0.0, warmup=0)
    from cmcore.model import FlowMap

    flat_map = FlowMap(2, choice.network, generator=stream(0, "w"))
    plain_map = FlowMap(2, choice.network, generator=stream(0, "w"))
    flat = FlatOptimizer(flat_map, choice)
    plain = torch.optim.Adam(plain_map.parameters(), lr=choice.learning_rate, betas=(0.9, 0.99))
    x = torch.randn(64, 2, generator=stream(0, "x"))
    for i in range(5):
        for f in (flat_map, plain_map):
            f(x, 2.0, 0.5).square().mean().backward()
        plain.param_groups[0]["lr"] = choice.learning_rate * factor(i, 5, 0)
        plain.step()
        plain.zero_grad()
        flat.step(factor(i, 5, 0), i)
    for name, p in plain_map.named_parameters():
        torch.testing.assert_close(flat.named(flat.weights)[name], p, rtol=1e-4, atol=1e-6)


def test_batched_muon_is_torch_s_muon():
    """All matrices at once take the same updates as torch's optimiser gives them one by one."""
    generator = stream(0, "muon")
    start, gradients = torch.randn(2, 3, 32, 32, generator=generator)
    separate = [torch.nn.Parameter(w.clone()) for w in start]
    reference = torch.optim.Muon(separate, lr=0.02, weight_decay=0.0)
    together = start.clone()
    batched = BatchedMuon(together, gradients, torch.bfloat16)  # torch's own choice on every machine
    for _ in range(4):
        gradients.mul_(0.9).add_(torch.randn(gradients.shape, generator=generator), alpha=0.1)
        for p, g in zip(separate, gradients, strict=True):
            p.grad = g.clone()
        reference.step()
        batched.step(0.02)
    moved = (together - start).norm()
    assert float((torch.stack([p.detach() for p in separate]) - together).norm()) < 0.02 * float(moved)
    batched.matmul_dtype = torch.float32
    assert torch.linalg.svdvals(batched._orthogonalised(gradients)).sub(1).abs().max() < 0.6  # Newton–Schulz's own band


@pytest.mark.cuda
def test_on_cuda_training_learns(target):
    model = cm.train(target, steps=400, device="cuda", **SMALL)
    assert "CUDA" in model.device
    assert model.history[-1][2] < 0.5 * model.history[0][2]
