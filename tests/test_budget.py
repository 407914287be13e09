"""A budget in seconds: what it buys on machines of every pace, and what is prepared beside it."""

import itertools
import math
import threading
from collections import deque

import pytest
import torch

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.objectives import BatchSource, make_objective
from cmcore.optimizer import FlatOptimizer
from cmcore.pools import LEARNED, GrowingPool, PoolCache, exact_pool, pools, same_law
from cmcore.streams import stream
from cmcore.training_budget import Budget

TARGET = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="pair")
MANY = cm.GaussianMixture([1 / 96] * 96, torch.randn(96, 2, generator=stream(0, "m")).tolist(), 0.09, name="many")
SMALL = {"network": NetworkConfig(width=8, depth=1), "batch": 32, "threads": 1, "warmup": 20}
POOL = {"levels": 5}


def last(events):
    return deque(events, maxlen=1).pop()


def weights(model):
    return torch.cat([p.reshape(-1) for p in model.flow_map.parameters()])


@pytest.fixture
def machine(monkeypatch):
    """machine(seconds of the n-th step, seconds of a piece of a pool) is the clock of such a machine."""

    def make(pace, piece=0.0):
        now, count = 0.0, itertools.count()
        step_of, piece_of = FlatOptimizer.step, GrowingPool._follow_a_piece

        def step(self, factor, age):
            nonlocal now
            now += pace(next(count))
            step_of(self, factor, age)

        def follow(self):
            nonlocal now
            now += piece
            piece_of(self)

        monkeypatch.setattr(FlatOptimizer, "step", step)
        monkeypatch.setattr(GrowingPool, "_follow_a_piece", follow)
        return lambda: now

    return make


@pytest.fixture(autouse=True)
def _no_pools_of_others():
    pools.clear()
    yield
    pools.clear()


PACES = {
    "even": (lambda n: 0.02, 0.05),
    "slower": (lambda n: 0.01 if n < 400 else 0.05, 0.08),
    "faster": (lambda n: 0.05 if n < 200 else 0.01, 0.08),
    "with a pause": (lambda n: 3.0 if n == 300 else 0.02, 0.08),
    "ragged": (lambda n: 0.01 * (1 + 4 * ((n * 2654435761) % 97 > 80)), 0.06),
}


@pytest.mark.parametrize("name", PACES)
def test_p1_a_budget_is_kept_at_every_pace_and_the_run_repeated(machine, name):
    pace, tolerance = PACES[name]
    choices = {**SMALL, "objective_parameters": {"trajectories": 200, **POOL}}
    model = last(cm.training(TARGET, TrainingConfig(seconds=20.0, **choices), clock=machine(pace))).model()
    assert model.status == "finished"
    assert model.seconds == pytest.approx(20.0, rel=tolerance)
    assert bool(model.config.earlier) == (name not in ("even", "ragged")) or name == "ragged"
    repeated = last(cm.training(TARGET, model.config)).model()
    assert torch.equal(weights(repeated), weights(model))
    assert repeated.config == model.config


@pytest.mark.parametrize(
    ("roughness", "lasting", "stall", "tolerance"),
    [(0.2, 300, 1, 0.05), (0.5, 700, 1, 0.06), (0.7, 1500, 1, 0.05), (0.2, 50, 15, 0.08), (0.3, 20, 100, 0.09)],
)
def test_r1_a_budget_is_kept_by_a_pace_that_wanders_and_stalls(roughness, lasting, stall, tolerance):
    """The pace of a busy machine changes every so many steps, and in one of ten such times it nearly stops."""
    for seed in range(6):
        generator = stream(seed, "pace")
        budget, config, now, step = Budget(None, replans=True), TrainingConfig(seconds=60.0), 0.0, 0
        budget.begin(0, 0.0)
        while budget.steps is None or step < budget.steps:
            if step % lasting == 0:
                stalled = float(torch.rand((), generator=generator)) < 0.1
                pace = 0.007 * math.exp(roughness * float(torch.randn((), generator=generator)))
                pace *= stall if stalled else 1
            now, step = now + pace, step + 1
            config = budget.after(config, step, now)
        assert now == pytest.approx(60.0, rel=tolerance)


def test_p1_a_run_of_many_plans_goes_on_and_is_repeated(machine):
    choices = {**SMALL, "objective_parameters": {"trajectories": 200, **POOL}}
    clock = machine(lambda n: 0.01 if n % 800 < 400 else 0.04)
    once = last(cm.training(TARGET, TrainingConfig(seconds=10.0, **choices), clock=clock)).model()
    twice = last(cm.training(TARGET, resume=once, seconds=10.0, clock=clock)).model()
    assert twice.seconds == pytest.approx(20.0, rel=0.08)
    repeated = last(cm.training(TARGET, twice.config)).model()
    assert torch.equal(weights(repeated), weights(twice))


def test_p1_preparation_has_its_cap_its_cost_and_its_progress(machine):
    """On a machine on which a piece of the pool takes a second, a part of it is followed; the budget is kept."""
    choices = {**SMALL, "objective_parameters": POOL}
    clock = machine(lambda _: 0.02, piece=1.0)
    events = list(cm.training(MANY, TrainingConfig(seconds=10.0, **choices), clock=clock))
    model = events[-1].model()
    assert model.preparation == pytest.approx(0.25 * 10, abs=1.0)
    assert model.seconds == pytest.approx(10.0, rel=0.05)
    assert model.config.objective_parameters["trajectories"] == 3 * 1365
    preparing = [event for event in events if event.status == "preparing"]
    assert [event.preparation for event in preparing] == [0.0, 1.0, 2.0, 3.0]
    assert "4,095 of 13,333" in preparing[-1].message
    assert all(event.seconds == 0.0 for event in preparing)
    repeated = last(cm.training(MANY, model.config)).model()
    assert torch.equal(weights(repeated), weights(model))


def test_p1_a_pool_along_a_learned_velocity_has_the_same_cap(machine):
    choices = {**SMALL, "objective_parameters": {**POOL, "velocity": "learned"}}
    clock = machine(lambda _: 0.02, piece=1.0)
    events = list(cm.training(TARGET, TrainingConfig(seconds=10.0, **choices), clock=clock))
    model = events[-1].model()
    assert model.preparation == pytest.approx(0.25 * 10, abs=1.0)
    assert model.seconds == pytest.approx(10.0, rel=0.05)
    assert model.config.objective_parameters["trajectories"] == 3 * LEARNED
    assert sum("following trajectories" in event.message for event in events) == 3
    repeated = last(cm.training(TARGET, model.config)).model()
    assert torch.equal(weights(repeated), weights(model))


def test_p1_trajectories_that_were_asked_for_are_followed_all(machine):
    choices = {**SMALL, "objective_parameters": {"trajectories": 5_000, **POOL}}
    clock = machine(lambda _: 0.02, piece=10.0)
    model = last(cm.training(MANY, TrainingConfig(seconds=2.0, **choices), clock=clock)).model()
    assert model.config.objective_parameters["trajectories"] == 5_000
    assert model.preparation == pytest.approx(40.0)
    assert model.seconds == pytest.approx(2.0, rel=0.05)


# ---- pools that runs share --------------------------------------------------------------------------------------
def growing(target=TARGET, seed=0, **changes):
    choice = {"horizon": 3.0, "delta": 0.0, "levels": 5, "wide_share": 0.1, "device": torch.device("cpu"), **changes}
    return exact_pool(target, generator=stream(seed, "objective"), **choice)


def test_p1_a_run_from_a_shared_pool_is_the_run_from_its_own():
    config = TrainingConfig(steps=50, objective_parameters={"trajectories": 500, **POOL}, **SMALL)
    alone = last(cm.training(TARGET, config)).model()
    wider = config.model_copy(update={"objective_parameters": {"trajectories": 9000, **POOL}})
    last(cm.training(TARGET, wider))
    before = pools.size
    shared = last(cm.training(TARGET, config)).model()
    assert pools.size == before > 0, "nothing was followed a second time"
    assert torch.equal(weights(alone), weights(shared))


def test_a_smaller_pool_is_the_beginning_of_a_larger_one():
    small, large = growing().pool(1000), growing().pool(9000)
    assert torch.equal(small.states, large.states[:, :1000])
    assert torch.equal(small.angles, large.angles)
    grown = growing()
    grown.pool(10)
    assert torch.equal(grown.pool(9000).states, large.states)


def test_the_wide_starts_are_spread_evenly_and_as_many_as_asked_for():
    noise = growing(wide_share=0.25).pool(4000).states[0]
    spread = noise.square().mean(1)
    wide = torch.arange(4000) % 4 == 3
    assert float(spread[wide].mean()) == pytest.approx(1.5**2, rel=0.1)
    assert float(spread[~wide].mean()) == pytest.approx(1.0, rel=0.1)


def test_threads_that_ask_at_once_get_one_pool():
    pool, found = growing(), []
    threads = [threading.Thread(target=lambda n=n: found.append(pool.pool(n).states)) for n in (9000, 8000, 5000, 9000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = growing().pool(9000).states
    assert len(found) == 4
    assert all(torch.equal(states, whole[:, : states.shape[1]]) for states in found)


def test_what_was_used_longest_ago_is_let_go():
    cache = PoolCache(250_000)
    made = [cache.get(key, lambda seed=seed: growing(seed=seed)) for seed, key in enumerate("abc")]
    for pool in made:
        pool.grow(1)  # a piece of 4,096 trajectories, 164 kB
    assert cache.get("a", growing) is made[0]
    cache.trim()
    assert cache.size <= 250_000
    assert cache.get("a", growing) is made[0]
    assert cache.get("b", growing) is not made[1]


def test_laws_are_the_same_where_their_numbers_are():
    again = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="other name")
    nearby = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.0900001, name="pair")
    assert same_law(again) == same_law(TARGET) != same_law(nearby)
    assert same_law(cm.make_target("moons")) == same_law(cm.make_target("moons")) != same_law(cm.make_target("circles"))


@pytest.mark.parametrize("changes", [{"horizon": 2.0}, {"delta": 0.1}, {"levels": 7}, {"wide_share": 0.2}, {"seed": 1}])
def test_pools_of_other_settings_are_others(changes):
    objective = {key: changes[key] for key in ("levels", "wide_share") if key in changes}
    span = {key: changes.get(key, value) for key, value in {"horizon": 3.0, "delta": 0.0}.items()}

    def prepared(objective, span, seed):
        source = BatchSource(TARGET, **span, device=torch.device("cpu"), generator=stream(seed, "objective"))
        return make_objective("trajectory_regression", **{"trajectories": 300, **POOL, **objective}).prepare(source)

    one = prepared({}, {"horizon": 3.0, "delta": 0.0}, 0)
    other = prepared(objective, span, changes.get("seed", 0))
    assert one.states.shape != other.states.shape or not torch.equal(one.states, other.states)
