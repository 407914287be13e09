"""Differences of two KLs: their intervals hold what closed forms say, and 0 where both maps are the same."""

import math
from dataclasses import replace

import pytest
import torch

import cmcore as cm
from cmcore.chain import make_chain
from cmcore.divergences import (
    MODEL_DATA,
    Estimate,
    gaussian_kl,
    kl_change_of_variables,
    kl_convolution_grid,
    kl_difference,
)
from cmcore.grids import make_grid
from cmcore.measure import Curve
from cmcore.streams import stream

ZERO, ONE = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
TARGET = cm.GaussianMixture(torch.ones(1), ZERO[None], ONE[None])
GRID = make_grid("uniform_angle", 1, horizon=3.0, delta=0.0)


def scaled(by):
    """A map that only scales, by other factors along the axes, so that no estimator is exact."""
    return lambda x, t, s: x * x.new_tensor([by, 1 / by])


def estimate(by, *, seed, n=2_048):
    return kl_change_of_variables(scaled(by), TARGET, GRID, seed=seed, n=n)


def truth(by):
    return gaussian_kl(ZERO, torch.diag(torch.tensor([by**2, by**-2], dtype=torch.float64)), ZERO, ONE)


@pytest.mark.parametrize(("a", "b", "n"), [(1.5, 1.4, 2_048), (1.5, 1.4, 512), (2.0, 1.2, 512)])
def test_the_interval_of_a_difference_holds_the_closed_form(a, b, n):
    for seed, other in ((0, 0), (1, 2)):  # the same noise, and another
        difference = kl_difference(estimate(a, seed=seed, n=n), estimate(b, seed=other, n=n))
        assert difference.paired == (n == 2_048)
        assert difference.low <= truth(a) - truth(b) <= difference.high


def made(rows, *, paired):
    """An estimate as an estimator makes it of these rows."""
    half = 2.131 * float(rows.std()) / 4  # Student's 97.5 % of 16 rows
    value = float(rows.mean())
    of_rows = {"replicates": tuple(rows.tolist())} if paired else {}
    return Estimate(value, value - half, value + half, MODEL_DATA, 0.0, "preimages", 16, floor=0.0, **of_rows)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("common", [-0.9, 0.0, 0.9])
def test_intervals_hold_the_difference_in_95_of_100_whatever_the_noise_has_in_common(common, paired):
    generator, held, repeats = stream(0, "rows"), 0, 500
    for _ in range(repeats):
        first, other = torch.randn(2, 16, generator=generator, dtype=torch.float64)
        second = common * first + math.sqrt(1 - common**2) * other
        difference = kl_difference(made(10 + first, paired=paired), made(7 + 2 * second, paired=paired))
        held += difference.low <= 3 <= difference.high
    assert held / repeats >= 0.925
    assert not paired or held / repeats <= 0.975


def test_rows_of_the_same_noise_narrow_the_interval():
    first, second = estimate(1.5, seed=0), estimate(1.45, seed=0)
    paired, alone = (kl_difference(one, second) for one in (first, replace(first, replicates=())))
    assert paired.paired
    assert not alone.paired
    assert alone.low == pytest.approx(first.low - second.high)
    assert paired.high - paired.low < 0.7 * (alone.high - alone.low)


def test_renoised_draws_are_paired_by_the_blocks_of_their_landings():
    chain = make_chain(make_grid("uniform_angle", 1, horizon=3.0, delta=0.05), sampler="renoise")
    first, second = (
        kl_convolution_grid(scaled(by), TARGET, chain, seed=1, n=1 << 14, direction=MODEL_DATA) for by in (1.3, 1.2)
    )
    paired = kl_difference(first, second)
    assert paired.paired
    assert paired.high - paired.low < 0.5 * (first.high - first.low + second.high - second.low)


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


def test_rows_outlive_a_file():
    one = estimate(1.5, seed=1)
    curve = Curve("steps", (1.0,), (one,), (1,), "deterministic", {}, 1)
    assert len(one.replicates) == 16
    assert Curve.from_json(curve.to_json()).estimates[0] == one
    assert "replicates" not in curve.to_frame()


def test_no_number_and_another_kind_of_number_have_no_difference():
    trusted = Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.0, "preimages", 100, 0.0)
    untrusted = Estimate(math.nan, 0.0, math.inf, MODEL_DATA, 0.0, "none", 0, math.inf, trusted=False, note="None.")
    assert kl_difference(trusted, untrusted) is None
    with pytest.raises(ValueError, match="Only one kind of KL"):
        kl_difference(trusted, Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.1, "preimages", 100, 0.0))
