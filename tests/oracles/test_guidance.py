"""Guidance against closed forms, and against an integration written apart from the engine."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cmcore.experiments import EXPERIMENTS
from cmcore.experiments.guidance import CASES, class_in_data, guided, narrow_kl

HORIZON = 8.0


@pytest.mark.parametrize("sd", [0.3, 0.5, 0.9])
def test_a_gaussian_class_within_gaussian_data_is_its_closed_form(sd):
    weights = [0.0, 0.5, 1.0, 3.0, 8.0]
    for law in guided(class_in_data("narrow", sd), weights, horizon=HORIZON):
        at_horizon = 1 + (sd**2 - 1) * math.exp(-2 * HORIZON)
        drawn = (sd**2 / at_horizon) ** (law.weight / 2)
        assert law.ends.numpy() == pytest.approx(drawn * law.noise.numpy(), abs=1e-7)
        assert law.log_stretch.numpy() == pytest.approx(math.log(drawn), abs=1e-7)
        assert law.kl == pytest.approx(narrow_kl(law.weight, sd, HORIZON), abs=1e-8)
    assert narrow_kl(2.0, 0.5, 30.0) == pytest.approx(
        (7 / 16 - 1 - math.log(7 / 16)) / 2
    )  # N(0, 1/16) beside N(0, 1/7)


@pytest.mark.parametrize("case", CASES)
def test_without_overshoot_guidance_draws_the_law_it_names_up_to_its_start(case):
    everything, the_class, beyond = guided(class_in_data(case, 0.5), [0.0, 1.0, 4.0], horizon=HORIZON)
    for law in (everything, the_class):
        assert abs(law.kl) < 1e-6
        assert law.shares[1] == pytest.approx(law.shares[0], abs=1e-3)
    assert beyond.kl > 0.1


def test_the_guided_flow_is_that_of_an_independent_integration():
    def score(x, t, means):
        a = math.exp(-t)
        v = a * a * 0.25 + 1 - a * a
        logs = [-((x - a * m) ** 2) / (2 * v) for m in means]
        shares = np.exp(logs - np.max(logs))
        return float(np.dot(shares / shares.sum(), [(a * m - x) / v for m in means]))

    def velocity(t, x):
        return [-x[0] - (1 - 3) * score(x[0], t, (-1, 1)) - 3 * score(x[0], t, (1,))]

    (law,) = guided(class_in_data("two", 0.5), [3.0], horizon=HORIZON)
    for i in (150, 280, 330, 420):
        path = solve_ivp(velocity, (HORIZON, 0), [float(law.noise[i])], rtol=1e-10, atol=1e-12)
        assert float(law.ends[i]) == pytest.approx(path.y[0, -1], abs=1e-6)


def test_what_is_drawn_is_a_law_and_its_far_mode_is_short_of_the_tilt():
    result = EXPERIMENTS["guidance"](weights=(1.0, 4.0), case="far_mode").run()
    for line in result.series:
        if line.panel == "densities":
            assert np.trapezoid(line.y, line.x) == pytest.approx(1, abs=2e-3)
    tilted, drawn = (
        next(s for s in result.series if s.panel == "mode" and s.role == role) for role in ("exact", "model")
    )
    assert drawn.y[0] == pytest.approx(tilted.y[0], abs=1e-3)
    assert drawn.y[1] < tilted.y[1] - 0.01
    assert all(line.how for line in result.series)


def test_weights_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match="between 0 and 10"):
        EXPERIMENTS["guidance"](weights=(1.0, 11.0))
