"""Laws of every time grid."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from cmcore.grids import (
    GRIDS,
    STEP_RULES,
    TimeGrid,
    custom,
    growing_horizon,
    make_grid,
    named_grids,
    ruled_grid,
    uniform_angle,
)
from cmcore.process import angle, noise_level


@pytest.mark.parametrize("name", list(GRIDS))
@given(steps=st.integers(1, 64), horizon=st.floats(0.05, 10), delta=st.floats(0, 5))
def test_grids_run_from_horizon_to_delta(name, steps, horizon, delta):
    assume(horizon > delta + 1e-3)
    assume(name in named_grids(to_zero=True) or delta > 1e-6)
    grid = make_grid(name, steps, horizon=horizon, delta=delta)
    assert grid.steps == steps
    assert grid.horizon == horizon
    assert grid.delta == delta
    assert [t for t, _ in grid.jumps] + [delta] == list(grid.times)
    assert all(s < t for t, s in grid.jumps)


def test_each_grid_is_even_in_its_own_coordinate():
    even = {
        "quadratic_angle": lambda t: (angle(t) - angle(t[-1:])).sqrt(),
        "uniform_angle": angle,
        "constant_step": lambda t: t,
        "karras": lambda t: noise_level(t) ** (1 / 7),
    }
    for name, coordinate in even.items():
        times = torch.tensor(make_grid(name, 9, horizon=3.0, delta=0.01).times, dtype=torch.float64)
        gaps = coordinate(times).diff()
        torch.testing.assert_close(gaps, gaps.mean().expand_as(gaps), rtol=1e-9, atol=0)


@pytest.mark.parametrize("delta", [1e-4, 0.02, 1.5])
@pytest.mark.parametrize("steps", [1, 4, 40])
def test_shrinking_steps_take_one_share_of_the_time_left(steps, delta):
    grid = make_grid("shrinking_step", steps, horizon=3.0, delta=delta)
    shares = [(t - s) / min(1.0, t) for t, s in grid.jumps]
    assert max(shares) == pytest.approx(min(shares), rel=1e-6)


@pytest.mark.parametrize("delta", [1e-4, 0.02, 1.5])
@pytest.mark.parametrize("steps", [1, 4, 40])
def test_variance_steps_are_one_multiple_of_the_variance(steps, delta):
    grid = make_grid("variance_step", steps, horizon=3.0, delta=delta)
    multiples = [(t - s) / -math.expm1(-2 * t) for t, s in grid.jumps]
    assert max(multiples) == pytest.approx(min(multiples), rel=1e-6)


@pytest.mark.parametrize("rule", list(STEP_RULES))
@given(c=st.floats(0.02, 2), dim=st.integers(1, 9), delta=st.floats(0.01, 1))
def test_a_step_rule_decides_how_many_jumps(rule, c, dim, delta):
    grid = ruled_grid(rule, c, horizon=3.0, delta=delta, dim=dim)
    assert (grid.horizon, grid.delta, grid.name) == (3.0, delta, rule)
    for i, (t, s) in enumerate(grid.jumps):
        wanted = c * STEP_RULES[rule](t, dim)
        assert t - s == pytest.approx(wanted) if i < grid.steps - 1 else t - s <= wanted + 1e-12


@pytest.mark.parametrize(("c", "share"), [(2.0, 0.49), (1.0, 0.15), (0.5, 0.17), (0.25, 0.42)])
def test_e9_a_short_last_step_is_joined_to_the_one_before(c, share):
    """Steps of two atoms from 3 to 0.02, whose last one has this share of the one before."""
    plain = ruled_grid("variance", c, horizon=3.0, delta=0.02)
    earlier, later, end = plain.times[-3:]
    assert (later - end) / (earlier - later) == pytest.approx(share, abs=0.01)
    joined = ruled_grid("variance", c, horizon=3.0, delta=0.02, join=0.25)
    assert joined.times == (plain.times if share > 0.25 else (*plain.times[:-2], end))


def test_the_general_rule_takes_d_times_as_many_jumps_in_d_dimensions():
    """K ≈ (d/c) ∫ dt/σ² = (d/2c) log((e^{2T} − 1)/(e^{2δ} − 1)): the count of the theorem."""
    horizon, delta, c = 3.0, 0.02, 0.05
    wanted = math.log(math.expm1(2 * horizon) / math.expm1(2 * delta)) / (2 * c)
    for dim in (1, 4, 16):
        grid = ruled_grid("variance_over_dim", c, horizon=horizon, delta=delta, dim=dim)
        assert grid.steps == pytest.approx(dim * wanted, rel=0.05)


def test_a_growing_horizon_keeps_its_step():
    grid = growing_horizon(6, step=0.4, delta=0.1)
    assert grid.horizon == pytest.approx(0.1 + 6 * 0.4)
    assert all(t - s == pytest.approx(0.4) for t, s in grid.jumps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: custom([1.0]),
        lambda: custom([0.1, 1.0]),
        lambda: custom([1.0, 1.0]),
        lambda: custom([1.0, -0.1]),
        lambda: custom([math.nan, 0.0]),
        lambda: custom([math.inf, 0.0]),
        lambda: make_grid("uniform_angle", 0, horizon=3.0, delta=0.0),
        lambda: make_grid("uniform_angle", 2, horizon=1.0, delta=1.0),
        lambda: make_grid("uniform_angle", 2, horizon=1.0, delta=-0.1),
        lambda: make_grid("uniform_angel", 2, horizon=1.0, delta=0.0),
        lambda: make_grid("shrinking_step", 2, horizon=1.0, delta=0.0),
        lambda: make_grid("variance_step", 2, horizon=1.0, delta=0.0),
        lambda: growing_horizon(2, step=0.0, delta=0.0),
        lambda: ruled_grid("constant", 0.0, horizon=1.0, delta=0.1),
        lambda: ruled_grid("constant", 0.1, horizon=1.0, delta=1.0),
        lambda: ruled_grid("variance", 0.1, horizon=1.0, delta=0.0),
        lambda: ruled_grid("no_such_rule", 0.1, horizon=1.0, delta=0.1),
    ],
)
def test_bad_grids_are_refused(make):
    with pytest.raises(ValueError, match=r"\.$"):
        make()


def test_a_grid_is_a_value():
    assert uniform_angle(3, horizon=3.0, delta=0.0) == uniform_angle(3, horizon=3.0, delta=0.0)
    assert TimeGrid((1.0, 0.0)).steps == 1
