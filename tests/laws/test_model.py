"""Laws of the learned flow map: what holds by construction, whatever the weights."""

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.model import FlowMap
from cmcore.process import alpha, angle, sigma
from cmcore.streams import stream

CONFIGS = [
    NetworkConfig(width=16, depth=2),
    NetworkConfig(width=8, depth=1, space_frequencies=(), time_frequencies=(1.0,)),
    NetworkConfig(width=12, depth=3, space_frequencies=(1.0, 2.0, 4.0)),
    NetworkConfig(width=9, depth=2, experts=4),
]


@pytest.fixture(params=CONFIGS, ids=lambda c: f"{c.width}x{c.depth}")
def config(request):
    return request.param


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_boundary_holds_by_construction(config, dim):
    f = FlowMap(dim, config, generator=stream(0, "weights")).double()
    x = torch.randn(50, dim, generator=stream(0, "x"), dtype=torch.float64)
    for t in (0.0, 0.3, 3.0):
        assert torch.equal(f(x, t, t), x)


def test_one_time_per_point_is_the_same_as_one_time_at_a_time(config):
    f = FlowMap(2, config, generator=stream(1, "weights")).double()
    x = torch.randn(3, 2, generator=stream(1, "x"), dtype=torch.float64)
    t, s = torch.tensor([3.0, 2.0, 0.5]), torch.tensor([0.0, 1.5, 0.1])
    together = f(x, t, s)
    alone = torch.cat([f(x[i : i + 1], float(t[i]), float(s[i])) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def test_velocity_is_the_derivative_of_the_jump_at_its_start(config):
    """∂_s f(x, t, s) at s = t is b; from s ≤ t alone, (3x − 4f(x, t, t − h) + f(x, t, t − 2h))/2h → b."""
    f = FlowMap(2, config, generator=stream(2, "weights")).double()
    x = torch.randn(20, 2, generator=stream(2, "x"), dtype=torch.float64)
    t, h = 0.7, 1e-5
    one_sided = (3 * x - 4 * f(x, t, t - h) + f(x, t, t - 2 * h)) / (2 * h)
    torch.testing.assert_close(f.velocity(x, t), one_sided, rtol=1e-5, atol=1e-6)


def test_a_jump_forward_in_time_is_refused(config):
    f = FlowMap(2, config, generator=stream(2, "weights"))
    with pytest.raises(ValueError, match="s must not exceed t"):
        f(torch.zeros(3, 2), 0.2, torch.tensor([0.1, 0.2, 0.3]))


def test_weights_come_from_the_generator_alone(config):
    torch.manual_seed(5)
    one = FlowMap(2, config, generator=stream(3, "weights")).state_dict()
    torch.manual_seed(6)
    two = FlowMap(2, config, generator=stream(3, "weights")).state_dict()
    other = FlowMap(2, config, generator=stream(4, "weights")).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not any(torch.equal(one[k], other[k]) for k in one)


def test_every_weight_matters(config):
    f = FlowMap(2, config, generator=stream(5, "weights"))
    x = torch.randn(64, 2, generator=stream(5, "x"))
    f(x, 2.0, 0.1).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in f.parameters())


def test_the_fast_path_is_the_same_function_with_the_same_gradients(config):
    f = FlowMap(2, config, generator=stream(7, "weights")).double()
    x = torch.randn(40, 2, generator=stream(7, "x"), dtype=torch.float64)
    theta, gap = torch.rand(2, 40, 1, generator=stream(7, "angles"), dtype=torch.float64)
    f.matmul_dtype = torch.float64
    answers, gradients = [], []
    for fast in (False, True):
        answer = f.direction(x, theta, gap, for_weights=fast)
        answers.append(answer.detach())
        gradients.append(torch.autograd.grad(answer.sin().sum(), list(f.parameters())))
    torch.testing.assert_close(answers[0], answers[1])
    for plain, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, fast)


def test_bfloat16_products_point_the_same_way(config):
    """Rounded products change a gradient by noise, not by direction; outputs stay float32."""
    f = FlowMap(2, config, generator=stream(8, "weights"))
    x = torch.randn(512, 2, generator=stream(8, "x"))
    theta, gap = torch.rand(2, 512, 1, generator=stream(8, "angles"))
    gradients = []
    for f.matmul_dtype in (torch.float32, torch.bfloat16):
        answer = f.direction(x, theta, gap, for_weights=True)
        assert answer.dtype == torch.float32
        parts = torch.autograd.grad(answer.sin().sum(), list(f.parameters()))
        gradients.append(torch.cat([part.reshape(-1) for part in parts]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.999


def test_trigonometric_form_is_ddim_of_the_implied_data_prediction(config):
    """cos Δ x − sin Δ F is the DDIM step from x with x̂₀ = cos θ x − sin θ F (TrigFlow)."""
    f = FlowMap(2, config, generator=stream(6, "weights")).double()
    x = torch.randn(20, 2, generator=stream(6, "x"), dtype=torch.float64)
    t, s = torch.tensor(1.2, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    theta, gap = angle(t), angle(t) - angle(s)
    direction = f.direction(x, theta.reshape(1, 1), gap.reshape(1, 1))
    x0 = alpha(t) * x - sigma(t) * direction
    ddim = (alpha(s) - alpha(t) * sigma(s) / sigma(t)) * x0 + sigma(s) / sigma(t) * x
    torch.testing.assert_close(f(x, float(t), float(s)), ddim)


@pytest.mark.cuda
def test_on_cuda_the_map_is_the_same():
    f = FlowMap(2, NetworkConfig(width=16, depth=2), generator=stream(0, "weights"))
    x = torch.randn(50, 2, generator=stream(0, "x"))
    on_cpu = f(x, 2.0, 0.1)
    torch.testing.assert_close(f.cuda()(x.cuda(), 2.0, 0.1).cpu(), on_cpu, rtol=1e-3, atol=1e-4)
