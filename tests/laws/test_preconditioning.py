"""Laws of the preconditionings: f(x, t, t) = x, derivatives are derivatives, and known forms are one map."""

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.model import FlowMap
from cmcore.preconditioning import PRECONDITIONINGS, linear_time
from cmcore.process import time_from_angle
from cmcore.streams import stream


@pytest.fixture(params=list(PRECONDITIONINGS))
def name(request):
    return request.param


@pytest.fixture
def form(name):
    return PRECONDITIONINGS[name]


@pytest.fixture
def rows():
    """x, the network's answer F, θ_t and the gap, θ_s ≥ 0.05."""
    generator = stream(0, "rows")
    x, answer = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)
    first, second = torch.rand(2, 40, 1, generator=generator, dtype=torch.float64)
    end = 0.05 + 1.3 * first
    theta = end + (1.5 - end) * second
    return x, answer, theta, theta - end


def test_at_gap_zero_the_map_does_not_move(form, rows):
    theta = rows[2]
    skip, out = form(theta, torch.zeros_like(theta))
    torch.testing.assert_close(skip, torch.ones_like(theta), rtol=0, atol=1e-15)
    assert not out.any()


def test_derivatives_are_derivatives(form, rows):
    theta, gap = rows[2:]
    one = torch.ones_like(theta)
    by_start = torch.func.jvp(lambda t, g: tuple(form(t, g)), (theta, gap), (one, one))[1]
    by_end = torch.func.jvp(lambda t, g: tuple(form(t, g)), (theta, gap), (0 * one, -one))[1]
    torch.testing.assert_close(tuple(form.by_start(theta, gap)), by_start, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tuple(form.by_end(theta, gap)), by_end, rtol=1e-12, atol=1e-12)


def test_answers_and_velocities_are_each_other_s_inverse(form, rows):
    x, answer, theta, _ = rows
    velocity = form.velocity(x, theta, answer)
    torch.testing.assert_close(form.direction(x, theta, velocity), answer, rtol=1e-12, atol=1e-12)


def test_the_velocity_is_how_a_jump_begins(form, rows):
    """∂_s f(x, t, s) at s = t."""
    x, answer, theta, _ = rows

    def jump(end):
        skip, out = form(theta, theta - end)
        return skip * x - out * answer

    landed, moved = torch.func.jvp(jump, (theta,), (torch.ones_like(theta),))
    torch.testing.assert_close(landed, x, rtol=0, atol=1e-14)
    torch.testing.assert_close(form.velocity(x, theta, answer), moved, rtol=1e-12, atol=1e-12)


def test_linear_is_the_average_velocity_of_the_linear_path(rows):
    """x̄_s = x̄_t − (τ_t − τ_s) F, where x̄ = (1 − τ) x₀ + τ z = x/(cos θ + sin θ)."""
    x, answer, theta, gap = rows
    end = theta - gap
    skip, out = PRECONDITIONINGS["linear"](theta, gap)
    straight = x / (theta.cos() + theta.sin()) - (linear_time(theta) - linear_time(end)) * answer
    torch.testing.assert_close(skip * x - out * answer, straight * (end.cos() + end.sin()), rtol=1e-12, atol=1e-12)


def test_on_a_pair_linear_s_answer_is_noise_minus_data(rows):
    data, noise, theta, gap = rows
    x, velocity = theta.cos() * data + theta.sin() * noise, theta.cos() * noise - theta.sin() * data
    linear = PRECONDITIONINGS["linear"]
    torch.testing.assert_close(linear.direction(x, theta, velocity), noise - data, rtol=1e-10, atol=1e-10)
    end = theta - gap
    skip, out = linear(theta, gap)
    landed = skip * x - out * (noise - data)
    torch.testing.assert_close(landed, end.cos() * data + end.sin() * noise, rtol=1e-10, atol=1e-10)


def test_linear_time_is_the_time_of_the_same_signal_to_noise_ratio(rows):
    theta = rows[2]
    tau = linear_time(theta)
    torch.testing.assert_close(tau / (1 - tau), theta.tan(), rtol=1e-12, atol=1e-12)


def trig(rows):
    x, answer, theta, gap = rows
    skip, out = PRECONDITIONINGS["trig"](theta, gap)
    return skip * x - out * answer


def test_ctm_s_form_is_trig(rows):
    """Euler ∘ EDM at levels σ = tan θ: G = (s/t) x̃ + (1 − s/t) D, D = x̃/(1 + σ²) + σ/√(1 + σ²) · (−F)."""
    x, answer, theta, gap = rows
    end = theta - gap
    t, s, seen = theta.tan(), end.tan(), x / theta.cos()
    denoised = seen / (1 + t**2) - t / (1 + t**2).sqrt() * answer
    landed = s / t * seen + (1 - s / t) * denoised
    torch.testing.assert_close(landed * end.cos(), trig(rows), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("path", ["trigonometric", "linear", "variance exploding"])
def test_simple_edm_is_trig_on_every_path(path, rows):
    """skip = (α_t α_s + σ_t σ_s)/(α_t² + σ_t²), out = (α_s σ_t − α_t σ_s)/√(α_t² + σ_t²), x scaled to the path."""
    x, answer, theta, gap = rows

    def scale(angle):
        return {"trigonometric": angle * 0 + 1, "linear": 1 / (angle.cos() + angle.sin())}.get(path, 1 / angle.cos())

    end = theta - gap
    (a_t, s_t), (a_s, s_s) = ((scale(u) * u.cos(), scale(u) * u.sin()) for u in (theta, end))
    skip = (a_t * a_s + s_t * s_s) / (a_t**2 + s_t**2)
    out = (a_s * s_t - a_t * s_s) / (a_t**2 + s_t**2).sqrt()
    landed = skip * scale(theta) * x - out * answer
    torch.testing.assert_close(landed / scale(end), trig(rows), rtol=1e-11, atol=1e-11)


def test_a_flow_map_is_made_as_its_config_says(name, form, rows):
    x, _, theta, gap = rows
    network = NetworkConfig(width=8, depth=2, preconditioning=name)
    f = FlowMap(3, network, generator=stream(0, "weights")).double()
    t, s = time_from_angle(theta)[:, 0], time_from_angle(theta - gap)[:, 0]
    skip, out = form(theta, gap)
    torch.testing.assert_close(f(x, t, s), skip * x - out * f.direction(x, theta, gap), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(f(x, t, t), x, rtol=0, atol=1e-12)
    moved = torch.func.jvp(lambda end: f.at_angles(x, theta, end), (theta,), (torch.ones_like(theta),))[1]
    torch.testing.assert_close(f.velocity_in_angle(x, theta), moved, rtol=1e-10, atol=1e-10)


def test_a_map_of_one_time_is_a_ddim_step(name, form, rows):
    """Without its second time the network's answer is its velocity, whatever the jump."""
    x, _, theta, gap = rows
    network = NetworkConfig(width=8, depth=2, preconditioning=name, second_time=False)
    f = FlowMap(3, network, generator=stream(0, "weights")).double()
    f.matmul_dtype = torch.float64
    skip, out = form(theta, gap)
    answer = form.direction(x, theta, f.velocity_in_angle(x, theta))
    torch.testing.assert_close(f.at_angles(x, theta, theta - gap), skip * x - out * answer, rtol=1e-10, atol=1e-10)
    assert not f.direction_and_tangent(x, theta, gap, (None, 0.0, -1.0))[1].any()


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="no preconditioning named 'cubic'"):
        PRECONDITIONINGS["cubic"]
