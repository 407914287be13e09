"""What is said of a map from inside: nothing of the exact map, and the truth of maps whose faults are known."""

import math

import pytest
import torch
from scipy.stats import binomtest

import cmcore as cm
from cmcore.chain import Stage
from cmcore.config import NetworkConfig
from cmcore.diagnostics import (
    QUANTITIES,
    bends,
    determinant,
    eulerian_residual,
    exact_bends,
    exact_determinant,
    exact_pairs,
    fold_share,
    lagrangian_residual,
    landing_error,
    map_bends,
    midway,
    mode_mass,
    modes_of,
    path_times,
    semigroup_residual,
)
from cmcore.divergences.tools.off_mode import off_mode_mass
from cmcore.flow import ExactFlow, velocity_in_angle
from cmcore.model import FlowMap
from cmcore.process import angle, sigma, time_from_angle
from cmcore.streams import stream
from cmcore.theory import map_error, share
from tests.laws.test_objectives import FORMS, GAUSSIAN, ExactMap

EIGHT = cm.make_target("eight_gaussians")
THREE = cm.make_target("three_gaussians")
TIMES = [(3.0, 0.0), (1.2, 0.1), (0.4, 0.0)]


def points(n=64, dim=2):
    return torch.randn(n, dim, generator=stream(3, "points"), dtype=torch.float64)


def learned(dim=2, form="trig"):
    network = NetworkConfig(width=16, depth=2, preconditioning=form)
    f = FlowMap(dim, network, generator=stream(1, "weights")).double()
    f.matmul_dtype = torch.float64
    return f.requires_grad_(requires_grad=False)


# ---- errors and residuals ---------------------------------------------------------------------------------------
@FORMS
@pytest.mark.parametrize(("t", "s"), TIMES)
@pytest.mark.parametrize("name", list(QUANTITIES))
def test_the_exact_map_has_no_error_and_no_residual(name, t, s, form):
    found = QUANTITIES[name].at(ExactMap(form), GAUSSIAN, points(), t, s)
    assert float(found.max()) < 1e-6


@pytest.mark.parametrize("target", [EIGHT, THREE], ids=lambda target: target.name)
def test_the_solved_flow_composes_to_its_tolerance(target):
    flow = ExactFlow(target, tolerance=1e-7)
    assert float(semigroup_residual(flow, points(16, target.dim), 3.0, 0.0).max()) < 1e-4


@FORMS
@pytest.mark.parametrize(("t", "s"), TIMES[1:2])
def test_residuals_are_the_derivatives_that_they_say(t, s, form):
    f, x, h = learned(form=form), points(), 1e-5
    late, early = (float(angle(torch.tensor(u, dtype=torch.float64))) for u in (t, s))
    at = lambda theta: float(time_from_angle(torch.tensor(theta, dtype=torch.float64)))  # noqa: E731
    by_end = (f(x, t, at(early + h)) - f(x, t, at(early - h))) / (2 * h)
    flow = velocity_in_angle(EIGHT, f(x, t, s), early)
    torch.testing.assert_close(
        lagrangian_residual(f, EIGHT, x, t, s), (by_end - flow).norm(dim=1), rtol=1e-6, atol=1e-7
    )
    v = velocity_in_angle(EIGHT, x, late)
    carried = (f(x + h * v, at(late + h), s) - f(x - h * v, at(late - h), s)) / (2 * h)
    torch.testing.assert_close(eulerian_residual(f, EIGHT, x, t, s), carried.norm(dim=1), rtol=1e-6, atol=1e-7)


def test_residuals_speak_of_jumps_back_in_time():
    with pytest.raises(ValueError, match="s must be below t"):
        lagrangian_residual(learned(), EIGHT, points(), 0.3, 0.3)


def test_the_time_in_between_is_halfway_in_angle():
    theta = angle(torch.tensor([2.0, midway(2.0, 0.1), 0.1], dtype=torch.float64))
    assert float(theta[0] - theta[1]) == pytest.approx(float(theta[1] - theta[2]))


def test_a_constant_error_is_found_everywhere_and_on_average():
    def shifted(x, t, s):
        return ExactFlow(GAUSSIAN)(x, t, s) + torch.tensor([0.3, -0.4])

    x = points()
    error = landing_error(shifted, x, 1.0, 0.1, truth=ExactFlow(GAUSSIAN)(x, 1.0, 0.1))
    torch.testing.assert_close(error, torch.full((64,), 0.5, dtype=torch.float64))
    pairs = exact_pairs(GAUSSIAN, [0.2, 1.0, 3.0], 0.1, seed=0, n=256)
    for found in QUANTITIES["map_error"].over_times(shifted, GAUSSIAN, pairs):
        assert (found.root_mean_square.value, found.median, found.most) == pytest.approx((0.5,) * 3, abs=1e-6)


def test_exact_pairs_are_draws_of_each_law_and_give_bound_as_error():
    pairs = exact_pairs(EIGHT, [0.2, 1.0], 0.0, seed=0, n=1_000)
    for x, t in zip(pairs.states, pairs.times, strict=True):
        spread = math.exp(-2 * t) * EIGHT.covariance + sigma(torch.tensor(t).double()) ** 2 * torch.eye(2)
        assert float((torch.cov(x.T) - spread).abs().max()) < 0.3
    f, stage = learned(), Stage(1.0, 0.0)
    mine = list(QUANTITIES["map_error"].over_times(f, EIGHT, pairs))[1].root_mean_square
    theirs = map_error(f, EIGHT, stage, seed=1, n=1_000).root()
    assert mine.low < theirs.high
    assert theirs.low < mine.high


@pytest.mark.parametrize("times", [[], [0.1], [0.3, 0.2], [0.2, 0.2]])
def test_pairs_need_times_that_increase_from_s(times):
    with pytest.raises(ValueError, match="increase from s"):
        exact_pairs(GAUSSIAN, times, 0.1, seed=0)


# ---- folds ------------------------------------------------------------------------------------------------------
def test_the_determinant_of_a_linear_map_is_its_own():
    matrix = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    found = determinant(lambda x, t, s: x @ matrix.T, points(), 1.0, 0.0)
    assert set(found.sign.tolist()) == {-1.0}
    torch.testing.assert_close(found.log_size, torch.full((64,), math.log(2), dtype=torch.float64))


@pytest.mark.parametrize(("t", "s"), TIMES)
def test_densities_at_both_ends_give_the_exact_determinant(t, s):
    x, flow = points(), ExactMap()
    exact = exact_determinant(GAUSSIAN, x, t, s, truth=flow(x, t, s))
    found = determinant(flow, x, t, s)
    torch.testing.assert_close(found.log_size, exact.log_size, rtol=1e-6, atol=1e-6)
    assert bool((found.sign == exact.sign).all())


def test_the_share_that_is_turned_over():
    centred = cm.GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    assert fold_share(lambda x, t, s: x, centred, 1.0, 0.0, seed=0, n=500).value == 0
    assert fold_share(lambda x, t, s: x * torch.tensor([1.0, -1.0]), centred, 1.0, 0.0, seed=0, n=500).value == 1
    half = fold_share(lambda x, t, s: x.square() * x.sign().roll(1, 1).abs(), centred, 1.0, 0.0, seed=0, n=1_000)
    assert half.low < 0.5 < half.high  # the signs of both coordinates: two of four quadrants are turned over


# ---- straightness -----------------------------------------------------------------------------------------------
def along(straightened, times):
    theta = angle(times)[:, None, None]
    return straightened * (theta.cos() + theta.sin())


def test_a_straight_and_even_path_has_straightness_one_and_no_deviation():
    times = path_times(3.0, 0.0, 16)
    share_of_way = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None, None]
    found = bends(along(points() + share_of_way * points(64).flip(0), times), times)
    assert float(found.deviation.max()) < 1e-12
    assert float((found.straightness - 1).abs().max()) < 1e-12


def test_there_and_back_has_straightness_zero_and_a_half_circle_four_over_pi_squared():
    times = path_times(3.0, 0.0, 512)
    u = torch.linspace(0, 1, 513, dtype=torch.float64)[:, None, None]
    assert float(bends(along((math.tau * u).sin() * points(4), times), times).straightness.max()) < 1e-12
    circle = torch.cat([(math.pi * u).cos(), (math.pi * u).sin()], dim=2)
    found = bends(along(circle, times), times)
    assert float(found.straightness) == pytest.approx(4 / math.pi**2, rel=1e-4)
    assert float(found.deviation) == pytest.approx(math.pi**2 - 4, rel=1e-4)


def test_paths_to_a_single_point_are_straight_and_a_map_that_knows_them_says_so():
    point = cm.GaussianMixture([1.0], [[0.7, -0.3]], 1e-12)
    times = path_times(3.0, 0.001, 24)
    assert float((exact_bends(point, points(), times).straightness - 1).abs().max()) < 1e-3
    torch.testing.assert_close(map_bends(ExactFlow(GAUSSIAN), points(), times), exact_bends(GAUSSIAN, points(), times))


# ---- modes ------------------------------------------------------------------------------------------------------
def test_eight_equal_modes_share_all_but_what_is_outside():
    modes = modes_of(EIGHT, 0.0)
    assert len(modes.masses) == 8
    for mass in modes.masses:
        assert mass == pytest.approx((1 - math.exp(-8)) / 8, rel=1e-3)
    assert modes.outside == pytest.approx(math.exp(-8), rel=0.5)
    assert sum(modes.masses) + modes.outside == pytest.approx(1)
    torch.testing.assert_close(modes.centres.norm(dim=1), torch.full((8,), 2.0, dtype=torch.float64), rtol=1e-3, atol=0)


def test_modes_on_a_line_have_the_masses_that_the_cdf_gives_them():
    modes = modes_of(THREE, 0.0)
    assert modes.centres[:, 0].tolist() == sorted(modes.centres[:, 0].tolist())
    line = torch.linspace(-4, 4, 400_001, dtype=torch.float64)
    mode = modes.of(line[:, None])
    for k, mass in enumerate(modes.masses):
        ends = line[mode == k][[0, -1]]
        below, above = (tail.exp() for tail in THREE.log_tails(ends, 0.0))
        assert mass == pytest.approx(float(below[1] - below[0]), abs=2e-4)
        assert float(below[0] + above[1]) == pytest.approx(1 - mass, abs=2e-4)


def test_samples_of_the_truth_fill_the_modes_and_leak_as_the_off_mode_mass_says():
    modes = modes_of(EIGHT, 0.0)
    draws = EIGHT.sample(20_000, generator=stream(5, "truth"))
    draws[:100] = 0.0  # between the modes
    found = mode_mass(modes, draws)
    assert sum(m.value for m in found.masses) + found.leakage.value == pytest.approx(1)
    assert found.leakage.value == pytest.approx(off_mode_mass(EIGHT, EIGHT.log_prob(draws), delta=0.0))
    assert sum(m.low <= mass <= m.high for m, mass in zip(found.masses, modes.masses, strict=True)) >= 6


def test_squares_that_touch_are_told_apart():
    modes = modes_of(cm.make_target("checkerboard"), 0.01)
    assert len(modes.masses) == 8
    for mass in modes.masses:
        assert mass == pytest.approx(1 / 8, abs=2e-3)


def test_beyond_the_plane_no_modes_are_told_apart():
    with pytest.raises(ValueError, match="one and two dimensions"):
        modes_of(cm.make_target("hypercube_corners", dim=3), 0.0)


@pytest.mark.parametrize(("count", "n"), [(0, 50), (3, 50), (25, 50), (50, 50), (1, 20_000)])
def test_the_interval_of_a_share_is_wilsons(count, n):
    wilson = binomtest(count, n).proportion_ci(method="wilson")
    found = share(count, n)
    assert (found.value, found.low, found.high) == pytest.approx((count / n, wilson.low, wilson.high), abs=1e-12)


def test_a_share_is_of_something():
    with pytest.raises(ValueError, match="0 ≤ count ≤ n"):
        share(3, 2)
