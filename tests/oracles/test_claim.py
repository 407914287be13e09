"""The claim in closed form, against the exact chain of Gaussians jump by jump and against what it states."""

import itertools
import math

import pytest

from cmcore.theory import claim
from cmcore.theory.claim import claim_curve

CASES = list(itertools.product((True, False), (1, 30, 10**6), (0.3, 0.01)))


@pytest.mark.parametrize(("smooth", "dim", "eps"), CASES)
def test_c7_the_kl_lies_below_bound_a_and_that_below_the_papers_bound(smooth, dim, eps):
    for over_dim in (True, False):
        curve = claim_curve(dim, eps, smooth=smooth, over_dim=over_dim)
        assert curve.longest <= 1
        for kl, bound_a, paper in zip(curve.kl, curve.bound_a, curve.paper, strict=True):
            assert 0 < kl <= bound_a <= paper


@pytest.mark.parametrize("smooth", [True, False])
def test_c7_the_curve_is_the_chain_of_gaussians_jump_by_jump(smooth):
    """Each jump integrates dx/dt = −x − ŝ by midpoint steps: the coordinate along u."""
    dim, eps = 5, 0.3
    curve = claim_curve(dim, eps, smooth=smooth, over_dim=False)
    jumps = int(curve.jumps[2])
    b = 0.75 if smooth else 1.0
    times = claim._times(claim._horizon(dim, eps, b), 1, smooth=smooth)[: jumps + 1][::-1]

    def flow(x, t, s, push):
        steps = 4000
        h = (t - s) / steps
        for k in range(steps):
            at = t - k * h
            speed = lambda y, r: -y + y / (1 - b * math.exp(-2 * r)) - push  # noqa: E731
            x -= h * speed(x - h / 2 * speed(x, at), at - h / 2)
        return x

    mean, variance = 0.0, 1.0
    for t, landed in itertools.pairwise(times):
        eta = min(t - landed, 0.9 * landed)
        spread = flow(1.0, t, landed - eta, 0.0)
        mean = math.exp(-eta) * flow(mean, t, landed - eta, eps)
        variance = math.exp(-2 * eta) * spread**2 * variance + 1 - math.exp(-2 * eta)
    truth = 1 - b * math.exp(-2 * times[-1])
    ratio = truth / variance
    expected = (dim * (ratio - 1 - math.log(ratio)) + mean**2 / variance) / 2
    assert curve.kl[2] == pytest.approx(expected, rel=1e-4)


def test_c7_jumps_to_the_goal_grow_with_log_d_for_smooth_data_and_with_d_log_d_without_a_density():
    for smooth in (True, False):
        ratios = [(curve := claim_curve(d, 0.01, smooth=smooth)).settled / curve.claimed for d in (100, 10**4, 10**6)]
        assert max(ratios) < 1.4 * min(ratios)
        assert 0.5 < min(ratios) < max(ratios) < 4


def test_c7_refining_further_than_the_most_changes_nothing(monkeypatch):
    whole = claim_curve(1000, 0.1, smooth=False)
    monkeypatch.setattr(claim, "MOST_REFINED", 500)
    half = claim_curve(1000, 0.1, smooth=False)
    assert half.kl[-1] == pytest.approx(whole.kl[-1], rel=2e-3)


@pytest.mark.parametrize(("dim", "eps"), [(0, 0.1), (3, 0.0), (3, math.nan)])
def test_c7_what_the_claim_does_not_speak_of_is_refused(dim, eps):
    with pytest.raises(ValueError, match="d ≥ 1"):
        claim_curve(dim, eps, smooth=True)
