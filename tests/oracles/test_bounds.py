"""Bound A and the initialisation against quadrature and exact KLs."""

import math

import pytest
import torch

from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, gaussian_kl, kl, kl_1d
from cmcore.flow import ExactFlow
from cmcore.grids import make_grid
from cmcore.targets import GaussianMixture, Product, make_target
from cmcore.theory import bound_a, initialisation_bound, initialisation_kl, map_error

PAIR = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1)
ATOMS = GaussianMixture([0.5, 0.5], [[-1.0], [1.5]], 0.0)


def disturbed(target, amount):
    flow = ExactFlow(target)
    return lambda x, t, s: flow(x, t, s) + amount * torch.sin(3 * x + t)


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("horizon", [0.7, 3.0])
def test_initialisation_of_a_gaussian(horizon, dim):
    target = GaussianMixture([1.0], [[0.4] * dim], 0.3)
    left = math.exp(-horizon)
    identity = torch.eye(dim, dtype=torch.float64)
    variance = left**2 * 0.3 + 1 - left**2
    zero = torch.zeros(dim, dtype=torch.float64)
    truth = gaussian_kl(zero + 0.4 * left, variance * identity, zero, identity)
    found = initialisation_kl(target, horizon, seed=0)
    if dim <= 2:
        assert found.value == pytest.approx(truth, rel=1e-8)
    assert found.low * (1 - 1e-8) <= truth <= found.high * (1 + 1e-8)


@pytest.mark.parametrize("target", [PAIR, ATOMS, make_target("eight_gaussians"), make_target("checkerboard")])
@pytest.mark.parametrize("horizon", [1.0, 3.0])
def test_the_closed_form_lies_above_the_quadrature(target, horizon):
    exact = initialisation_kl(target, horizon, seed=0)
    assert 0 < exact.value <= initialisation_bound(target, horizon)


def test_the_closed_form_is_sharp_for_one_atom():
    atom = GaussianMixture([1.0], [[0.6, -0.3]], 0.0)
    assert initialisation_bound(atom, 2.0) == pytest.approx(initialisation_kl(atom, 2.0, seed=0).value, rel=1e-6)


def test_map_error_is_that_of_the_disturbance():
    """|f − Φ|² averages a² sin² under p_t; the exact map has none."""
    stage = make_chain(make_grid("uniform_angle", 2, horizon=3.0, delta=0.1), sampler="renoise").stages[0]
    nodes = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    density = PAIR.log_prob(nodes[:, None], stage.t).exp()
    truth = 0.01 * float((density * torch.sin(3 * nodes + stage.t) ** 2).sum() / density.sum())
    found = map_error(disturbed(PAIR, 0.1), PAIR, stage, seed=0, n=4096)
    assert found.low <= truth <= found.high
    assert found.high - found.low < truth / 10
    assert map_error(ExactFlow(PAIR), PAIR, stage, seed=0, n=1024).value < 1e-15


def test_n7_the_error_of_a_map_that_tears_elsewhere_has_intervals_that_hold():
    """Modes twelve spreads apart, and a tear that lies beside the true one: a sliver holds nearly all of ε²."""
    torn = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.03)
    stage = make_chain(make_grid("uniform_angle", 2, horizon=3.0, delta=0.05), sampler="renoise").stages[-1]
    nodes = torch.linspace(-0.7, 0.7, 7_001, dtype=torch.float64)[:, None]
    line, density = ExactFlow(torn), torn.log_prob(nodes, stage.t).exp()
    squared = (line(nodes + 0.002, stage.t, stage.s) - line(nodes, stage.t, stage.s)).square()[:, 0]
    truth = float((density * squared).sum()) * 2e-4
    plane = Product([torn, (GaussianMixture([1.0], [[0.0]], 1.0), 1)])
    flow = ExactFlow(plane)
    aside = torch.tensor([0.002, 0.0], dtype=torch.float64)
    found = [
        map_error(lambda x, t, s: flow(x + aside, t, s), plane, stage, seed=k, n=2048, flow=flow) for k in range(12)
    ]
    assert sum(one.low <= truth <= one.high for one in found) >= 7
    assert all(one.high < 8 * truth for one in found)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "renoise"), [(PAIR, 0.3), (PAIR, 1.0), (ATOMS, 0.3)])
def test_bound_a_lies_above_the_exact_kl(target, renoise):
    for steps in (1, 3):
        grid = make_grid("uniform_angle", steps, horizon=3.0, delta=0.1)
        for amount in (0.03, 0.1):
            f = disturbed(target, amount)
            bound = bound_a(f, target, grid, seed=0, renoise=renoise, n=2048)
            chain = make_chain(grid, sampler="renoise", renoise=renoise)
            exact = kl_1d(f, target, chain, direction=DATA_MODEL)
            assert exact.high < bound.total.low
            assert bound.total.value == pytest.approx(
                bound.initialisation.value + sum(part.value for part in bound.jumps), rel=1e-12
            )


@pytest.mark.slow
def test_kl_scales_with_the_square_of_the_map_error():
    """E3 of the design: from p_T (T large), with the exact map disturbed by an amount a, KL ∝ a²."""
    grid = make_grid("uniform_angle", 2, horizon=8.0, delta=0.1)
    chain = make_chain(grid, sampler="renoise")
    small, large = (kl_1d(disturbed(PAIR, a), PAIR, chain, direction=DATA_MODEL).value for a in (0.01, 0.02))
    assert math.log2(large / small) == pytest.approx(2, abs=0.1)


def test_bound_a_is_equality_for_a_shift_of_one_gaussian_jump():
    """From γ itself, a constant shift of the only jump keeps both laws Gaussian and forgets nothing but the spread."""
    target = GaussianMixture([1.0], [[0.0]], 1.0)
    grid = make_grid("uniform_angle", 1, horizon=3.0, delta=0.2)
    shift = 0.05
    bound = bound_a(lambda x, t, s: x + shift, target, grid, seed=0, renoise=1.0)
    assert bound.initialisation.value == pytest.approx(0, abs=1e-12)
    assert bound.jumps[0].value == pytest.approx(shift**2 / (2 * math.expm1(0.4)), rel=1e-9)
    exact = kl(lambda x, t, s: x + shift, target, grid, sampler="renoise", renoise=1.0, seed=0).value
    assert exact == pytest.approx((math.exp(-0.2) * shift) ** 2 / 2, rel=1e-6)
    assert exact < bound.total.value


def test_the_bound_asks_for_fresh_noise():
    grid = make_grid("uniform_angle", 2, horizon=3.0, delta=0.1)
    with pytest.raises(ValueError, match="renoise > 0"):
        bound_a(ExactFlow(PAIR), PAIR, grid, seed=0, renoise=0.0)
    with pytest.raises(ValueError, match="δ > 0"):
        bound_a(ExactFlow(PAIR), PAIR, make_grid("uniform_angle", 2, horizon=3.0, delta=0.0), seed=0)
