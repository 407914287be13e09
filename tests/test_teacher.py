"""A velocity learned from samples, and what is learned from it in turn."""

from collections import deque

import pytest
import torch

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.flow import velocity_in_angle
from cmcore.pools import exact_pool, learned_pool
from cmcore.process import angle
from cmcore.streams import stream
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun

GAUSSIAN = cm.GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
PAIR = cm.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.09, name="pair")
SMALL = {
    "network": NetworkConfig(width=24, depth=2),
    "batch": 256,
    "threads": 1,
    "warmup": 20,
    "matmul_dtype": "float32",
    "device": "cpu",
}


def weights(flow_map):
    return torch.cat([p.reshape(-1) for p in flow_map.parameters()])


def velocity_error(flow_map, target, t):
    """Root mean square error of dx/dθ on draws of p_t, relative to its size."""
    x = target.sample(2000, t=t, generator=stream(0, "points"), dtype=torch.float32)
    theta = angle(torch.full((2000, 1), t))
    with torch.no_grad():
        found = flow_map.velocity_in_angle(x, theta)
    exact = velocity_in_angle(target, x, theta[:, 0])
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.fixture(scope="module")
def taught():
    return cm.train(GAUSSIAN, objective="flow_matching", steps=500, **SMALL)


@pytest.mark.parametrize("t", [0.1, 0.5, 2.0])
def test_flow_matching_learns_the_velocity(taught, t):
    untaught = cm.FlowMap(2, taught.config.network, generator=stream(0, "weights"))
    assert velocity_error(taught.flow_map, GAUSSIAN, t) < 0.2 < velocity_error(untaught, GAUSSIAN, t)


def test_a_velocity_s_map_is_a_ddim_step(taught):
    """It sees no second time, so a jump is as good as one step of a solver, and many are better than one."""
    assert not taught.config.network.second_time
    f, x = taught.flow_map, torch.randn(500, 2, generator=stream(1, "x"))
    t, s = 1.0, 0.2
    theta, end = (angle(torch.full((500, 1), u)) for u in (t, s))
    with torch.no_grad():
        straight = (theta - end).cos() * x - (theta - end).sin() * f.velocity_in_angle(x, theta)
        torch.testing.assert_close(f(x, t, s), straight, rtol=1e-4, atol=1e-5)
    assert taught.history[-1][2] > 0.05  # one jump from noise to data is far off


@pytest.mark.parametrize("target", [GAUSSIAN, PAIR], ids=lambda target: target.name)
def test_a_pool_along_the_exact_velocity_is_the_exact_pool(target):
    choice = {"horizon": 3.0, "delta": 0.0, "levels": 33, "wide_share": 0.2, "device": torch.device("cpu")}
    exact = exact_pool(target, generator=stream(0, "pool"), **choice).pool(400)
    along = learned_pool(
        lambda x, theta: velocity_in_angle(target, x, theta), target.dim, generator=stream(0, "pool"), **choice
    ).pool(400)
    assert torch.equal(along.states[0], exact.states[0])
    torch.testing.assert_close(along.angles, exact.angles, rtol=0, atol=1e-7)
    assert along.error <= 2e-3
    torch.testing.assert_close(along.states, exact.states, rtol=0, atol=2e-3)
    assert float((along.states[0] - along.states[-1]).abs().max()) > 0.3


def test_a_pool_s_error_is_what_doubling_its_steps_moves():
    """A velocity too rough for the coarsest steps is followed by finer ones."""

    def rough(x, theta):
        return 30 * torch.cos(40 * torch.as_tensor(theta)) * torch.ones_like(x)

    choice = {"horizon": 3.0, "delta": 0.0, "levels": 17, "wide_share": 0.0, "device": torch.device("cpu")}
    pool = learned_pool(rough, 1, generator=stream(0, "pool"), **choice).pool(50)
    exact = pool.states[0] + 30 / 40 * ((40 * pool.angles).sin() - (40 * pool.angles[0]).sin())[:, None, None]
    assert float((pool.states - exact).abs().max()) < 2e-3
    assert pool.error <= 2e-3


def learned(objective, steps=100, target=GAUSSIAN, **parameters):
    choice = {"velocity": "learned", **parameters}
    config = TrainingConfig(objective=objective, objective_parameters=choice, steps=steps, **SMALL)
    run = TrainingRun(target, resolved(config, target))
    return run, list(run.prepare())


@pytest.mark.parametrize("objective", ["lmd", "emd", "cd", "mean_flow", "two_time_cd", "trajectory_regression"])
def test_samples_alone_teach_through_a_teacher(objective):
    rows = cm.Samples(PAIR.sample(500, generator=stream(0, "rows")), name="rows")
    parameters = {"velocity": "learned", "teacher_steps": 30}
    if objective == "trajectory_regression":
        parameters |= {"trajectories": 200, "levels": 9}
    model = cm.train(rows, objective=objective, objective_parameters=parameters, steps=20, **SMALL)
    assert model.status == "finished"
    assert all(quality != quality for *_, quality in model.history)  # there is no exact map to compare with
    assert bool(torch.isfinite(weights(model.flow_map)).all())


def test_a_teacher_takes_its_share_of_the_steps_and_says_how_many():
    run, said = learned("lmd", steps=100, teacher_budget=0.4)
    assert run.config.objective_parameters["teacher_steps"] == 40
    assert said[0].startswith("preparing")
    run, said = learned("lmd", steps=100, teacher_steps=250)
    assert run.config.objective_parameters["teacher_steps"] == 250
    assert any("step 200 of 250" in sentence for sentence in said)


def test_a_teacher_is_frozen_flow_matching_of_its_own_streams():
    """Its weights are those of flow matching with other draws, and they do not move while the pupil learns."""
    run, _ = learned("lmd", steps=20, teacher_steps=300)
    assert velocity_error(run.teacher, GAUSSIAN, 0.5) < 0.2
    assert not run.teacher.config.second_time
    before = weights(run.teacher).clone()
    assert not any(p.requires_grad for p in run.teacher.parameters())
    while not run.done:
        run.take_step()
    assert torch.equal(weights(run.teacher), before)
    alone = cm.train(GAUSSIAN, objective="flow_matching", steps=300, **SMALL)
    assert not torch.equal(weights(alone.flow_map), before)


def test_what_a_loss_asks_of_the_teacher_is_what_a_batch_was_told():
    run, _ = learned("lmd", teacher_steps=30)
    batch = next(run.batches)
    asked = run.velocities["learned"](batch.x, batch.theta)
    torch.testing.assert_close(asked, batch.velocity, rtol=1e-5, atol=1e-6)


def test_a_pupil_of_a_teacher_is_repeated_from_its_config():
    parameters = {"velocity": "learned"}
    one = cm.train(GAUSSIAN, objective="lmd", objective_parameters=parameters, steps=40, **SMALL)
    two = deque(cm.training(GAUSSIAN, one.config), maxlen=1).pop().model()
    assert one.config == two.config
    assert torch.equal(weights(one.flow_map), weights(two.flow_map))


@pytest.mark.cuda
def test_on_cuda_flow_matching_learns_the_velocity():
    model = cm.train(GAUSSIAN, objective="flow_matching", steps=500, **{**SMALL, "device": "cuda"})
    assert velocity_error(model.flow_map, GAUSSIAN, 0.5) < 0.2
