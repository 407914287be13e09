"""KL of what is no map: models with a density of their own against closed forms, and samples within their intervals."""

import math

import numpy as np
import pytest
import torch

import cmcore as cm

DIRECTIONS = ["KL(model‖data)", "KL(data‖model)"]


def target():
    return cm.GaussianMixture([1.0], [[0.0, 0.0]], 1.0)


def gaussian(shift=0.3, spread=1.0):
    mean = torch.tensor([shift, 0.0], dtype=torch.float64)
    return torch.distributions.MultivariateNormal(mean, spread**2 * torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shift", [0.01, 0.1, 1.0])
def test_a_density_of_its_own_is_measured_by_it(direction, shift):
    estimates = [cm.kl(gaussian(shift), target(), seed=seed, direction=direction) for seed in range(20)]
    assert sum(e.low <= shift**2 / 2 <= e.high for e in estimates) >= 16
    assert all(e.trusted and e.estimator == "exact_densities" for e in estimates)


def test_a_density_is_compared_at_the_noise_that_is_asked_for():
    at = cm.kl(gaussian(0.0, math.sqrt(-math.expm1(-2.0) + 0.25 * math.exp(-2.0))), narrow(), seed=0, delta=1.0)
    assert at.delta == 1.0
    assert at.value < 1e-12


def narrow():
    return cm.GaussianMixture([1.0], [[0.0, 0.0]], 0.25)


class Mislabelled:
    """Samples of one law and the density of another."""

    def sample(self, shape):
        return torch.randn(*shape, 2, dtype=torch.float64)

    def log_prob(self, x):
        return gaussian(0.0).log_prob(x) - 1


def test_a_density_that_is_not_that_of_its_samples_is_not_trusted():
    estimate = cm.kl(Mislabelled(), target(), seed=0)
    assert not estimate.trusted
    assert estimate.diagnostics["mean_ratio"] == pytest.approx(math.e)


def test_a_law_is_drawn_the_same_whatever_was_drawn_before_and_leaves_the_generator_alone():
    first = cm.kl(gaussian(), target(), seed=3)
    state = torch.random.get_rng_state()
    assert cm.kl(gaussian(), target(), seed=3) == first
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_samples_alone_hold_the_truth_within_their_interval(direction, tmp_path):
    points = drawn(10_000)
    estimate = cm.kl(points, target(), seed=0, direction=direction)
    assert estimate.low <= 0.045 <= estimate.high
    assert estimate.estimator.startswith("neighbours")
    np.save(tmp_path / "points.npy", points.numpy())
    np.savetxt(tmp_path / "points.csv", points.numpy(), delimiter=",", header="a,b", comments="", fmt="%.17g")
    for same in (points.numpy(), tmp_path / "points.npy", str(tmp_path / "points.csv")):
        assert cm.kl(same, target(), seed=0, direction=direction) == estimate


def drawn(n):
    x = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x + torch.tensor([0.3, 0.0], dtype=torch.float64)


class Shapeless:
    def sample(self, shape):
        return torch.zeros(3)

    def log_prob(self, x):
        return x


@pytest.mark.parametrize(
    ("thing", "word"),
    [
        (lambda x, t, s: x, "grid"),
        (Shapeless(), "sample"),
        (np.zeros((5000, 3)), r"\[n, 2\]"),
        (np.full((5000, 2), np.nan), "finite"),
        (np.zeros((20, 2)), "rows"),
        ("nowhere.npy", "nowhere.npy"),
        ("nowhere.csv", "nowhere.csv"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(thing, word):
    with pytest.raises(ValueError, match=word):
        cm.kl(thing, target(), seed=0)


def test_no_array_of_objects_is_read(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickled\.npy"):
        cm.kl(tmp_path / "pickled.npy", target(), seed=0)


def test_beyond_three_dimensions_samples_alone_have_no_kl():
    wide = cm.GaussianMixture([1.0], [[0.0] * 8], 1.0)
    with pytest.raises(ValueError, match="compare_with_target"):
        cm.kl(np.zeros((5000, 8)), wide, seed=0)
