"""Laws of curves: values on an axis, a table, JSON and back, medians over seeds."""

import math
from dataclasses import replace

import pytest

from cmcore.divergences import DATA_MODEL, MODEL_DATA
from cmcore.measure import Curve, baseline_curves, kl_points, kl_versus_steps, median_over_seeds
from cmcore.samplers import DETERMINISTIC, ddim
from cmcore.targets import GaussianMixture

PAIR = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1, name="pair")
STEPS = [1, 2, 4]


@pytest.fixture(scope="module")
def curve():
    return kl_versus_steps(ddim(PAIR.score), PAIR, STEPS, seed=0, delta=0.02)


def test_a_curve_says_what_was_asked(curve):
    assert curve.values == (1, 2, 4)
    assert curve.calls == (1, 2, 4)
    assert curve.sampler == DETERMINISTIC.name
    assert {e.direction for e in curve.estimates} == {MODEL_DATA}
    assert curve.config["delta"] == 0.02
    assert curve.config["target"] == "pair"


def test_the_table_has_a_row_for_each_value(curve):
    frame = curve.to_frame()
    assert list(frame["steps"]) == STEPS
    assert {"calls", "value", "low", "high", "direction", "estimator", "floor", "delta", "n", "note"} <= set(frame)
    assert "off_mode_mass" in frame
    assert list(frame["value"]) == [e.value for e in curve.estimates]


def test_json_and_back(curve):
    assert Curve.from_json(curve.to_json()) == curve
    infinite = replace(curve.estimates[0], value=math.inf, high=math.inf, trusted=False, note="Infinite.")
    odd = replace(curve, estimates=(infinite, *curve.estimates[1:]), band=((0.0, math.inf),) * 3)
    assert "Infinity" not in odd.to_json()
    assert Curve.from_json(odd.to_json()) == odd
    for broken in ("{}", "[]", '{"estimates": [1]}', "nonsense"):
        with pytest.raises(ValueError, match=r".+"):
            Curve.from_json(broken)


def test_points_come_one_at_a_time(curve):
    points = kl_points(ddim(PAIR.score), PAIR, STEPS, seed=0, delta=0.02)
    assert next(points).estimate == curve.estimates[0]


def test_baselines_are_placed_by_their_calls():
    curves = baseline_curves(PAIR, STEPS, seed=0, delta=0.02)
    assert curves["ddim"].values == (1, 2, 4)
    assert curves["heun"].values == (2, 4)
    assert curves["heun"].calls == (2, 4)
    to_zero = kl_versus_steps(PAIR, PAIR, STEPS, sampler="heun", seed=0)
    assert to_zero.calls == (1, 3)
    assert all(curve.estimates[-1].value < curve.estimates[0].value for curve in curves.values())
    with pytest.raises(ValueError, match="at least 2 calls"):
        kl_versus_steps(PAIR, PAIR, [1], sampler="heun", seed=0)


@pytest.mark.slow
def test_a_curve_has_one_direction():
    renoised = kl_versus_steps(ddim(PAIR.score), PAIR, STEPS, sampler="renoise", delta=0.1, seed=0)
    assert {e.direction for e in renoised.estimates} == {DATA_MODEL}
    other = kl_versus_steps(ddim(PAIR.score), PAIR, [2], sampler="renoise", delta=0.1, seed=0, direction=MODEL_DATA)
    assert other.estimates[0].direction == MODEL_DATA


def test_medians_over_seeds_carry_a_band(curve):
    raised = [
        replace(curve, estimates=tuple(replace(e, value=e.value + a, high=e.high + a) for e in curve.estimates))
        for a in (0, 1, 5)
    ]
    middle = median_over_seeds(raised)
    assert [e.value for e in middle.estimates] == [e.value + 1 for e in curve.estimates]
    assert all(high - low == pytest.approx(5) for low, high in middle.band)
    assert Curve.from_json(middle.to_json()) == middle
    doubtful = replace(curve, estimates=tuple(replace(e, trusted=False, note="No.") for e in curve.estimates))
    assert not any(e.trusted for e in median_over_seeds([curve, doubtful]).estimates)
    with pytest.raises(ValueError, match="differ in nothing but"):
        median_over_seeds([curve, replace(curve, values=(1.0, 2.0, 8.0))])
