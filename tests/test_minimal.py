"""The example on one page computes what the engine computes."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

import cmcore as cm
from cmcore.flow import velocity_in_angle
from cmcore.process import angle

EXAMPLE = Path(__file__).parents[1] / "examples/minimal.py"


@pytest.fixture(scope="module")
def minimal():
    spec = importlib.util.spec_from_file_location("minimal", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    with torch.random.fork_rng():
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def target(minimal):
    return cm.GaussianMixture([1 / 3] * 3, minimal.MEANS.tolist(), minimal.VARIANCE)


def test_it_is_one_page():
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 80


def test_its_density_and_velocity_are_the_targets(minimal, target):
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for theta in (0.0, 0.3, 1.2):
        t = -math.log(math.cos(theta))
        torch.testing.assert_close(minimal.log_density(x, theta), target.log_prob(x, t), rtol=0, atol=1e-9)
        if theta:
            torch.testing.assert_close(
                minimal.velocity(x, theta), velocity_in_angle(target, x, theta), rtol=0, atol=1e-8
            )


def test_its_trajectories_are_the_exact_flow(minimal, target):
    noise = torch.randn(32, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ended = minimal.trajectories(noise)[-1]
    exact = cm.ExactFlow(target)(noise, 3.0, 0.0)
    assert (ended - exact).abs().median() < 2e-3


@pytest.mark.slow
def test_its_kl_is_the_engines(minimal, target):
    network = minimal.train(400)

    def f(x, t, s):
        theta, end = (angle(torch.full_like(x[..., :1], float(u))) for u in (t, s))
        return minimal.jump(network.to(x.dtype), x, theta, theta - end)

    value, half = minimal.kl(network, 4, n=4_000)
    times = [-math.log(math.cos(a)) for a in minimal.ANGLES[::32].tolist()]
    estimate = cm.kl(f, target, [3.0, *times[1:-1], 0.0], seed=0)
    assert estimate.low - 1.5 * half <= value <= estimate.high + 1.5 * half
