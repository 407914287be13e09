"""Laws of everything that may run on a GPU, on a second device that every machine has.

There a mixed device is refused as a GPU refuses it, and what would make the host wait for the device is seen: in a hot
loop none may, and what decides by values may a bounded number of times, however many points there are.
"""

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.model import FlowMap
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, make_target
from tests.laws.every_target import TARGETS, draw
from tests.second_device import ELSEWHERE, MixedDevices, Stop, second_device

PLANE = make_target("eight_gaussians")
GAUSSIAN = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
SMALL = {"trajectory_regression": {"trajectories": 200, "levels": 9}}


@pytest.fixture
def second():
    with second_device() as device:
        yield device


def network(dim=2, **choice):
    config = NetworkConfig(width=16, depth=2, **choice)
    return FlowMap(dim, config, generator=stream(0, "weights"))


def agree(there, here, tolerance=1e-9):
    assert there.device == ELSEWHERE
    torch.testing.assert_close(there.cpu(), here, rtol=tolerance, atol=tolerance)


# ---- the device itself ------------------------------------------------------------------------------------------
def test_the_second_device_refuses_what_a_gpu_refuses(second):
    here, there = torch.ones(3), torch.ones(3, device=ELSEWHERE)
    for mixed in (
        lambda: here + there,
        lambda: torch.cat([there, here]),
        lambda: here[torch.zeros(2, dtype=torch.long, device=ELSEWHERE)],
        lambda: torch.randn(3, generator=torch.Generator(), device=ELSEWHERE),
        lambda: torch.randn(3, generator=second.generator()),
    ):
        with pytest.raises(MixedDevices):
            mixed()
    agree(there * torch.tensor(2.0), 2 * here)  # a single number may come along


@pytest.mark.parametrize(
    "stop",
    [
        lambda x: float(x[0]),
        lambda x: bool((x > 0).any()),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.tolist(),
        lambda x: torch.ones(3).to(x),
        lambda x: torch.as_tensor(0.5, device=x.device),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: torch.linalg.inv(torch.diag(x)),
    ],
)
def test_the_second_device_sees_what_stops_a_gpu(second, stop):
    x = torch.ones(3, device=ELSEWHERE)
    with second.without_a_stop(), pytest.raises(Stop):
        stop(x)
    stop(x)
    assert second.stops


def test_what_stops_no_gpu_is_let_through(second):
    x = torch.ones(3, device=ELSEWHERE)
    with second.without_a_stop():
        x[x > 2] = 0.0
        y = torch.where(x > 0, x.new_full((), 0.5), 1.0) + x[torch.arange(2, device=ELSEWHERE)].sum()
        y.square_().clamp(min=0.1)
    agree(y, torch.full((3,), 6.25))


# ---- targets ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", list(TARGETS))
def test_n10_a_target_answers_where_its_points_live_without_a_stop(second, name):
    target = TARGETS[name]
    here = draw(target, 40, t=0.3, seed=1)
    there = here.to(ELSEWHERE)
    asked = {"log_prob": here, "score": here, "posterior_mean": here}
    if hasattr(target.law, "responsibilities"):
        asked["responsibilities"] = here
    if target.dim == 1 and hasattr(type(target.law), "log_tails"):
        asked["log_tails"] = here[:, 0]
    for method, points in asked.items():
        ask = getattr(target.law if method in ("responsibilities", "log_tails") else target, method)
        on_device = there[:, 0] if points.ndim == 1 else there
        for t in (0.3, torch.linspace(0.1, 2.0, 40, dtype=torch.float64)):
            time = t.to(ELSEWHERE) if isinstance(t, torch.Tensor) else t
            ask(on_device[:1], time[:1] if isinstance(t, torch.Tensor) else t)  # copies the parameters, once
            with second.without_a_stop():
                found = ask(on_device, time)
            for a, b in zip(*((v,) if torch.is_tensor(v) else v for v in (found, ask(points, t))), strict=True):
                agree(a, b)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.has_density])
def test_a_density_at_time_zero_is_there_on_every_device(second, name):
    target = TARGETS[name]
    here = draw(target, 40, t=0.0, seed=1)
    there, t = here.to(ELSEWHERE), torch.linspace(0, 1, 40, dtype=torch.float64)
    target.log_prob(there)
    time = t.to(ELSEWHERE)
    with second.without_a_stop():
        at_zero, mixed = target.log_prob(there), target.log_prob(there, time)
    agree(at_zero, target.log_prob(here))
    agree(mixed, target.log_prob(here, t))


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_is_drawn_where_the_generator_lives(second, name):
    points = TARGETS[name].sample(20, generator=second.generator(), t=0.2)
    assert points.device == ELSEWHERE
    assert points.shape == (20, TARGETS[name].dim)
