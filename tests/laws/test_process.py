"""Laws of the process and its time coordinates."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmcore.process import (
    alpha,
    angle,
    column,
    forward_noise,
    log_snr,
    noise_level,
    sigma,
    time_from_angle,
    time_from_log_snr,
    time_from_noise_level,
)

positive_times = st.floats(min_value=1e-8, max_value=15)
COORDINATES = {
    "angle": (angle, time_from_angle),
    "log-SNR": (log_snr, time_from_log_snr),
    "noise level": (noise_level, time_from_noise_level),
}


def double(value):
    return torch.tensor(value, dtype=torch.float64)


@given(positive_times)
def test_signal_and_noise_keep_unit_variance(t):
    assert float(alpha(double(t)) ** 2 + sigma(double(t)) ** 2) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("name", list(COORDINATES))
@given(t=positive_times)
def test_coordinates_go_there_and_back(name, t):
    there, back = COORDINATES[name]
    # Near θ = π/2 the angle has few digits left for t: an error of 1e-16 in θ is one of 1e-16·e^t in t.
    slack = 1e-15 * math.exp(t) if name == "angle" else 1e-13 * t
    assert float(back(there(double(t)))) == pytest.approx(t, rel=1e-12, abs=slack)


@given(positive_times)
def test_coordinates_agree_with_each_other(t):
    time = double(t)
    theta = angle(time)
    assert float(theta.cos()) == pytest.approx(float(alpha(time)), abs=1e-15)
    assert float(theta.sin()) == pytest.approx(float(sigma(time)), rel=1e-12)
    assert float(noise_level(time)) == pytest.approx(float(sigma(time) / alpha(time)), rel=1e-9)
    assert float(log_snr(time)) == pytest.approx(float(-2 * noise_level(time).log()), rel=1e-9, abs=1e-9)


def test_noising_in_two_stages_is_noising_once(device):
    """The semigroup: X_{t+u} from X_t has the mean and the variance of X_{t+u} from X_0."""
    n, generator = 200_000, torch.Generator(device).manual_seed(0)
    x = torch.full((n, 1), 1.5, dtype=torch.float64, device=device)
    twice = forward_noise(forward_noise(x, 0.3, generator=generator), 0.4, generator=generator)
    mean, variance = 1.5 * math.exp(-0.7), 1 - math.exp(-1.4)
    assert float(twice.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / n))
    assert float(twice.var()) == pytest.approx(variance, abs=5 * variance * math.sqrt(2 / n))


def test_no_time_adds_no_noise():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(forward_noise(x, 0.0, generator=torch.Generator().manual_seed(1)), x)


def test_a_column_broadcasts_over_coordinates():
    x = torch.zeros(3, 2)
    assert column(0.5, x).shape == (1, 1)
    assert column(torch.tensor(0.5), x).shape == (1, 1)
    assert column(torch.ones(3), x).shape == (3, 1)
    assert column(1, x).dtype == x.dtype
    with pytest.raises((ValueError, TypeError)):  # the second where types are checked
        column(torch.ones(2), x)
