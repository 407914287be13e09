"""Straight lines, settled slopes and growths: known answers, and intervals that cover as often as they say."""

import math

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student_t

from cmcore.experiments.lines import settled_fit
from cmcore.theory import GROWTHS, best_growth, fit_line, limiting_slope, local_slopes, settled

DIMS = [1, 2, 4, 8, 16, 32, 64, 128]


def test_a_line_is_found_exactly():
    fit = fit_line([0, 1, 2, 5], [1, 3, 5, 11])
    assert (fit.slope, fit.intercept, fit.n) == pytest.approx((2, 1, 4))
    assert fit.slope_high - fit.slope_low < 1e-12
    assert fit(10.0) == pytest.approx(21)


def test_without_weights_it_is_ordinary_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=9)
    y = 2 * x + rng.normal(size=9)
    fit, known = fit_line(x, y), linregress(x, y)
    half = student_t.ppf(0.975, 7) * known.stderr
    assert (fit.slope, fit.intercept) == pytest.approx((known.slope, known.intercept))
    assert (fit.slope_low, fit.slope_high) == pytest.approx((known.slope - half, known.slope + half))


def test_a_weight_is_that_many_points():
    once = fit_line([0, 1, 3], [0, 2, 1], weights=[1, 2, 3])
    often = fit_line([0, 1, 1, 3, 3, 3], [0, 2, 2, 1, 1, 1])
    assert (once.slope, once.intercept) == pytest.approx((often.slope, often.intercept))


def test_weights_count_up_to_a_factor_only():
    x, y, w = [0, 1, 2, 3], [0.1, 0.9, 2.3, 2.8], [1, 4, 2, 9]
    one, other = fit_line(x, y, weights=w), fit_line(x, y, weights=[1e6 * v for v in w])
    assert (one.slope_low, one.slope_high) == pytest.approx((other.slope_low, other.slope_high))


@pytest.mark.parametrize("spread", [0.3, None])
def test_the_interval_covers_the_slope_as_often_as_it_says(spread):
    """Of 2,000 lines with Gaussian scatter, 95 % within three standard errors; with weights where scatter differs."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 3, 6)
    sds = np.full(6, spread) if spread else np.array([0.1, 0.2, 0.4, 0.4, 0.8, 1.0])
    hits = 0
    for _ in range(2000):
        fit = fit_line(x, -2 * x + 1 + sds * rng.normal(size=6), weights=1 / sds**2)
        hits += fit.slope_low <= -2 <= fit.slope_high
    assert hits / 2000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


def test_local_slopes():
    assert local_slopes([0, 1, 3], [0, 2, 3]) == pytest.approx((2, 0.5))
    assert local_slopes([3, 1, 0], [3, 2, 0]) == pytest.approx((0.5, 2))


def test_a_decay_of_two_speeds_settles_on_the_slower():
    """log(e^{-6T} + e^{-2T}) has slope −2 in the end."""
    horizon = np.linspace(0, 4, 17)
    y = np.log(np.exp(-6 * horizon) + np.exp(-2 * horizon))
    tail = settled(horizon, y, 0.02)
    assert tail.stop == 17
    assert 2 < tail.start < 10
    assert fit_line(horizon[tail], y[tail]).slope == pytest.approx(-2, abs=0.02)
    assert settled(horizon, -2 * horizon, 1e-9) == slice(0, 17)


def test_what_never_settles_leaves_nothing():
    x = np.arange(8.0)
    assert len(x[settled(x, x**2, 0.1)]) == 0
    assert len(x[settled(x[:2], x[:2], 1.0)]) == 0


LADDER = np.log([2.0, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])


@pytest.mark.parametrize("points", range(7, 16))
def test_n8_no_order_where_the_local_slope_drifts(points):
    """A KL with a positive limit has no order in K, however far one looks."""
    x = LADDER[:points]
    renoised = np.log(0.22 / np.exp(x) + 0.0017)  # K = 16, 32, 64, 128, 256: 0.0155, 0.0086, 0.0051, 0.0034, 0.0026
    assert settled_fit("renoised", x.tolist(), renoised.tolist(), expected=None, share=0.15) is None
    measured = np.log([0.0138, 0.0068, 0.0041, 0.0030, 0.0025])
    assert settled_fit("as found", LADDER[6::2].tolist(), measured.tolist(), expected=None, share=0.5) is None


def test_n8_an_interval_includes_the_bend():
    """Curves of known limiting slope, as power laws and decays have them: where an order is claimed it holds."""
    rng = np.random.default_rng(3)
    claimed, held = 0, 0
    for _ in range(300):
        slope, rate, size = rng.uniform(1, 4), rng.uniform(0.5, 3), rng.uniform(-0.5, 4)
        x = LADDER[: rng.integers(6, 12)]
        y = -slope * x + np.log1p(size * np.exp(-rate * x))
        fit = settled_fit("", x.tolist(), y.tolist(), expected=None, share=0.15)
        if fit is not None:
            claimed += 1
            held += fit.low <= -slope <= fit.high
    assert claimed > 200
    assert held / claimed > 0.97


def test_n8_a_bent_line_has_the_slopes_of_both_ends():
    x = np.linspace(0, 1, 8)
    y = x + 0.3 * x**2 + 1e-4 * np.random.default_rng(4).normal(size=8)
    fit = fit_line(x, y)
    assert fit.slope_low < 1.02
    assert fit.slope_high > 1.58
    weighted = fit_line(x, y, weights=np.full(8, 7.0))
    assert (fit.slope_low, fit.slope_high) == pytest.approx((weighted.slope_low, weighted.slope_high))


def test_a_limit_needs_four_points_and_order():
    assert limiting_slope([0, 1, 2], [0, 1, 2]) is None
    assert limiting_slope([0, 1, 2, 3], [0, 2, 4, 6]) == (2, 2)
    assert limiting_slope([3, 2, 1, 0], [6, 4, 2, 0]) == (2, 2)
    with pytest.raises(ValueError, match="strict order"):
        limiting_slope([0, 2, 1, 3], [0, 1, 2, 3])


@pytest.mark.parametrize("truth", list(GROWTHS))
def test_the_growth_that_made_the_points_predicts_them_best(truth):
    K = [3 + 2 * GROWTHS[truth](d) for d in DIMS]
    found = best_growth(DIMS, K)
    assert found.best == truth
    assert set(found.errors) == set(GROWTHS)
    assert found.errors[truth] < 1e-9 < min(e for name, e in found.errors.items() if name != truth)
    assert (found.lines[truth].slope, found.lines[truth].intercept) == pytest.approx((2, 3))
    assert best_growth(DIMS[::-1], K[::-1]) == found


@pytest.mark.parametrize("truth", list(GROWTHS))
def test_it_is_found_through_noise(truth):
    """Noise of a twentieth of the range of K: right at least nine times in ten."""
    rng = np.random.default_rng(2)
    K = np.array([GROWTHS[truth](d) for d in DIMS])
    scale = (K.max() - K.min()) / 20
    right = sum(best_growth(DIMS, K + scale * rng.normal(size=len(K))).best == truth for _ in range(50))
    assert right >= 45


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match="at least 3 points"):
        fit_line([0, 1], [0, 1])
    with pytest.raises(ValueError, match="two values of x"):
        fit_line([1, 1, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="positive and finite"):
        fit_line([0, 1, 2], [0, 1, 2], weights=[1, 0, 1])
    with pytest.raises(ValueError, match="as many x as y"):
        fit_line([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="finite numbers"):
        fit_line([0, 1, 2], [0, 1, math.inf])
    with pytest.raises(ValueError, match="strict order"):
        local_slopes([0, 2, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="four or more"):
        best_growth([1, 2, 4], [1, 2, 3])
    with pytest.raises(ValueError, match="four or more"):
        best_growth([1, 2, 2, 4], [1, 2, 3, 4])
