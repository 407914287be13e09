"""E3 and E4: the KL is a square of the map's error beneath Bound A, which falls as more noise is added."""

import pytest

from cmcore.experiments import EXPERIMENTS, Result


def test_the_kl_is_a_square_of_the_error_beneath_the_bound():
    chosen = {"amplitudes": (0.02, 0.04, 0.08), "plane_amplitudes": (), "jumps": 2}
    result = EXPERIMENTS["perturbation"](**chosen).run()
    assert result.fits[0].slope == pytest.approx(2, abs=0.1)
    line, bound = result.series
    assert all(y < b for y, b in zip(line.y, bound.low, strict=True))
    assert result.facts["initialisation_kl"] < 1e-6 * min(line.y)
    assert Result.from_json(result.to_json()) == result


@pytest.mark.slow
def test_so_it_is_in_the_plane():
    result = EXPERIMENTS["perturbation"](amplitudes=(0.02, 0.04, 0.08), jumps=2, landings=1 << 14).run()
    assert result.fits[1].slope == pytest.approx(2, abs=0.15)
    assert all(ratio < 1 for label, ratio in result.facts.items() if label.startswith("KL / Bound A"))


def test_the_bound_falls_as_more_noise_is_added():
    result = EXPERIMENTS["renoising"](jumps=(2,), shares=(0.1, 0.4, 1.0)).run()
    line, bound = result.series
    assert list(bound.y) == sorted(bound.y, reverse=True)
    assert all(y < b for y, b in zip(line.y, bound.y, strict=True))
    assert result.facts["best η/t, measured, K = 2"] == line.x[line.y.index(min(line.y))]
    assert Result.from_json(result.to_json()) == result


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="no square law"):
        EXPERIMENTS["perturbation"](amplitudes=(0.1, 0.2, 0.9))
    with pytest.raises(ValueError, match="Bound A is infinite"):
        EXPERIMENTS["renoising"](shares=(0.0, 0.5, 1.0))
    with pytest.raises(ValueError, match="between 1 and 16"):
        EXPERIMENTS["renoising"](jumps=(0,))
