"""The grid of draws that name none, beside the one even in angle: by quadrature, for a trained map and for solvers."""

from pathlib import Path

import pytest

import cmcore as cm
from cmcore.config import USUAL_GRID
from cmcore.targets import GaussianMixture

TRAINED = Path(__file__).parents[2] / "assets/pretrained/three_gaussians"


def ratios(model, target, steps, **how):
    """KL on the usual grid ÷ KL on the even one, at each N."""
    usual, even = (
        cm.kl_versus_steps(model, target, steps, seed=0, grid=grid, delta=0.0, **how).estimates
        for grid in (USUAL_GRID, "uniform_angle")
    )
    return [one.value / other.value for one, other in zip(usual, even, strict=True)]


def test_a_trained_map_comes_nearer_at_few_jumps_and_as_near_at_many():
    model = cm.load(TRAINED)
    two, four, eight, sixteen = ratios(model, model.target, [2, 4, 8, 16])
    assert two < 0.75
    assert four < 0.25
    assert eight < 0.75
    assert sixteen < 1.1


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpm++2m"])
def test_solvers_of_a_narrow_law_come_nearer(sampler):
    narrow = GaussianMixture([1.0], [[0.0]], 0.02)
    assert max(ratios(narrow, narrow, [4, 8, 16], sampler=sampler)) < 0.5
