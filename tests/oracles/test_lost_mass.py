"""Estimates that a map tries to fool: mass thrown away, branches that no sign betrays, coordinates that differ."""

import math

import pytest
import torch

from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl, kl_change_of_variables, kl_convolution_grid
from cmcore.flow import ExactFlow
from cmcore.grids import custom
from cmcore.targets import GaussianMixture, Product

STANDARD = GaussianMixture([1.0], [[0.0, 0.0]], 1.0, name="standard")
PAIR = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.25, name="pair")


def test_the_grid_counts_what_is_thrown_off_it():
    """Two points in a hundred land far away: KL(data‖model) = −log 0.98."""

    def throwing(x, t, s):
        return torch.where((x[:, :1] > 2.0537), x + 1000.0, x)  # P(N > 2.0537) = 0.02

    grid = custom([3.0, 0.02])
    chain = make_chain(grid, sampler="renoise", renoise=0.5)
    estimate = kl_convolution_grid(throwing, STANDARD, chain, seed=0, n=1 << 16, direction=DATA_MODEL)
    assert estimate.diagnostics["outside_share"] == pytest.approx(0.02, abs=0.003)
    assert estimate.value > -math.log(0.985)


def test_a_map_that_covers_twice_without_turning_over_is_noticed():
    """Doubling the angle keeps N(0, I) and det J > 0, and has two preimages everywhere; one alone says −log 2."""

    def doubling(x, t, s):
        u, v = x[:, 0], x[:, 1]
        radius = (u**2 + v**2).sqrt().clamp_min(1e-12)
        return torch.stack([(u**2 - v**2) / radius, 2 * u * v / radius], dim=1)

    mixture = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], 1.0, name="two equal components")
    estimate = kl(doubling, mixture, custom([3.0, 0.0]), seed=0, n=4096, direction=MODEL_DATA)
    assert not estimate.trusted or estimate.low <= 1e-3
    assert estimate.high >= 0
    assert abs(estimate.value) < 0.05 or not estimate.trusted


def test_one_coordinate_that_moves_unlike_the_others_is_no_product():
    product = Product([(PAIR, 50)])

    def shifted(x, t, s):
        return x + 0.5 * (torch.arange(50) == 10)

    def mixed(x, t, s):
        y = x.clone()
        y[:, 10] += 0.1 * x[:, 11]
        return y

    for f in (shifted, mixed):
        estimate = kl(f, product, custom([3.0, 0.1]), seed=0, n=512)
        assert estimate.estimator != "product"
    same = kl(lambda x, t, s: x, product, custom([3.0, 0.1]), seed=0)
    assert same.estimator == "product"


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="at least 256"):
        kl(lambda x, t, s: x, STANDARD, custom([3.0, 0.0]), seed=0, n=2)


def test_a_map_of_no_numbers_is_no_infinite_kl():
    def broken(x, t, s):
        return x * float("nan")

    mixture = GaussianMixture([0.5, 0.5], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 1.0)
    with pytest.raises(ValueError, match="not finite"):
        kl(broken, mixture, custom([3.0, 0.0]), seed=0, n=512)
    estimate = kl_change_of_variables(broken, mixture, custom([3.0, 0.0]), seed=0, n=512)
    assert not estimate.trusted
    assert (estimate.low, estimate.high) == (0.0, math.inf)


def test_a_law_far_narrower_than_the_noise_is_followed():
    """Modes of width 0.0005 on ±5, reached on their outer sides alone: log 2 one way, infinite the other."""
    narrow = GaussianMixture([0.5, 0.5], [[-5.0], [5.0]], 2.5e-7)

    def outer(x, t, s):
        return 5 * x.sign() + 5e-4 * x

    estimate = kl(outer, narrow, custom([3.0, 0.0]), seed=0, direction=MODEL_DATA)
    assert estimate.trusted
    assert estimate.value == pytest.approx(math.log(2), rel=1e-6)
    forward = kl(outer, narrow, custom([3.0, 0.0]), seed=0, direction=DATA_MODEL)
    assert not forward.trusted
    assert forward.value == math.inf
    assert forward.diagnostics["uncovered_share"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("direction", [MODEL_DATA, DATA_MODEL])
def test_no_trusted_estimate_is_surely_negative(direction):
    """The exact map across a wide gap: the KL is all but zero, and no interval lies below it."""
    modes = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01)
    estimate = kl(ExactFlow(modes), modes, custom([3.0, 0.0]), seed=0, direction=direction)
    assert not estimate.trusted or estimate.high >= 0
    assert not estimate.trusted or abs(estimate.value) < 1e-3
