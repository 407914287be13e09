"""Differences of two KLs: their intervals hold what closed forms say, and 0 where both maps are the same."""

import math

import pytest
import torch

import cmcore as cm
from cmcore.divergences import MODEL_DATA, Estimate, gaussian_kl, kl_change_of_variables, kl_difference
from cmcore.grids import make_grid

ZERO, ONE = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
TARGET = cm.GaussianMixture(torch.ones(1), ZERO[None], ONE[None])
GRID = make_grid("uniform_angle", 1, horizon=3.0, delta=0.0)


def scaled(by):
    """A map that only scales, by other factors along the axes, so that no estimator is exact."""
    return lambda x, t, s: x * x.new_tensor([by, 1 / by])


def estimate(by, *, seed):
    return kl_change_of_variables(scaled(by), TARGET, GRID, seed=seed, n=512)


def truth(by):
    return gaussian_kl(ZERO, torch.diag(torch.tensor([by**2, by**-2], dtype=torch.float64)), ZERO, ONE)


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.4), (2.0, 1.2), (1.3, 1.3)])
def test_the_interval_of_a_difference_holds_the_closed_form(a, b):
    expected, held = truth(a) - truth(b), 0
    for seed in range(40):
        difference = kl_difference(estimate(a, seed=seed), estimate(b, seed=seed + 40 * (seed % 2)))
        assert difference.low <= difference.value <= difference.high
        held += difference.low <= expected <= difference.high
    assert held >= 36


def test_the_same_estimate_twice_differs_by_nothing():
    one = estimate(1.5, seed=1)
    difference = kl_difference(one, one)
    assert difference.value == 0
    assert not difference.resolved


def test_what_is_below_the_floor_is_not_told_apart_from_another_below_it():
    low = Estimate(1e-5, 0.9e-5, 1.1e-5, MODEL_DATA, 0.0, "preimages", 100, floor=1e-3)
    other = Estimate(5e-4, 4.9e-4, 5.1e-4, MODEL_DATA, 0.0, "preimages", 100, floor=1e-3)
    assert not kl_difference(low, other).resolved
    far = Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.0, "preimages", 100, floor=1e-3)
    assert kl_difference(far, low).low == pytest.approx(0.4 - 1e-3)


def test_a_value_raised_to_0_is_taken_as_it_was():
    raised = Estimate(-0.01, -0.03, 0.01, MODEL_DATA, 0.0, "inversion", 100, 0.0)
    other = Estimate(0.02, 0.0, 0.04, MODEL_DATA, 0.0, "inversion", 100, 0.0)
    difference = kl_difference(raised, other)
    assert difference.value == pytest.approx(-0.03)
    assert difference.low <= difference.value <= difference.high


def test_no_number_and_another_kind_of_number_have_no_difference():
    trusted = Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.0, "preimages", 100, 0.0)
    untrusted = Estimate(math.nan, 0.0, math.inf, MODEL_DATA, 0.0, "none", 0, math.inf, trusted=False, note="None.")
    assert kl_difference(trusted, untrusted) is None
    with pytest.raises(ValueError, match="Only one kind of KL"):
        kl_difference(trusted, Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.1, "preimages", 100, 0.0))
