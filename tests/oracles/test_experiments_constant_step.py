"""E1: slopes of the KL at constant step are the orders of the first cumulant that differs from the Gaussian."""

import pytest

from cmcore.experiments import EXPERIMENTS, Result

SMALL = {"jumps": 6, "step": 0.5, "delta": 0.1, "sd": 0.6, "fixed_horizon": 1.0, "fixed_jumps": (1,)}


@pytest.fixture(scope="module")
def result():
    return EXPERIMENTS["constant_step"](**SMALL, renoise=0).run()


def test_slopes_are_those_of_the_first_cumulant_that_differs(result):
    for fit, order in zip(result.fits, (1, 2, 3), strict=True):
        assert fit.expected == -2 * order * 0.5
        assert fit.slope == pytest.approx(fit.expected, rel=0.05)


@pytest.mark.slow
def test_renoising_steepens_by_the_time_renoised():
    result = EXPERIMENTS["constant_step"](**SMALL).run()
    renoised = [fit for fit in result.fits if fit.label.startswith("renoised")]
    assert renoised
    assert all(fit.slope == pytest.approx(fit.expected, rel=0.05) for fit in renoised)


def test_one_exact_jump_does_as_well_as_the_start(result):
    assert result.facts["one_or_many_apart"] < 1e-6


def test_it_survives_json(result):
    assert Result.from_json(result.to_json()) == result
    assert EXPERIMENTS["constant_step"](**result.config).model_dump(mode="json") == result.config


def test_a_horizon_at_which_nothing_settles_is_refused():
    with pytest.raises(ValueError, match="between 2 and 9"):
        EXPERIMENTS["constant_step"](jumps=100, step=1)
    with pytest.raises(ValueError, match="between 2 and 9"):
        EXPERIMENTS["constant_step"](jumps=6, step=0.05)
