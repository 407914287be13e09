"""Laws of the grids that are made for a map or a target."""

import math
from itertools import pairwise

import pytest
import torch

from cmcore.flow import ExactFlow
from cmcore.grids import make_grid
from cmcore.samplers import FITTED_GRIDS, fitted_grid, grid_for, one_sided_lipschitz, sample
from cmcore.targets import GaussianMixture

BLOB = GaussianMixture([1.0], [[0.5]], 0.3, name="blob")
NARROW = GaussianMixture([1.0], [[0.5, 0.0]], 0.09, name="narrow")


class Map:
    """The exact flow of a law that a model would carry, with an error that grows with the jump near one time."""

    dim, delta, horizon = 1, 0.05, 3.0

    def __init__(self, target=BLOB, wrong_at=None):
        self.target, self.flow, self.wrong_at = target, ExactFlow(target), wrong_at
        self.dim, self.points = target.dim, 0

    def __call__(self, x, t, s):
        self.points += len(x)
        over = 0 if self.wrong_at is None else max(0.0, float(min(t, 2 * self.wrong_at)) - max(float(s), self.wrong_at))
        return self.flow(x, t, s) + 0.2 * over**2


@pytest.mark.parametrize("name", list(FITTED_GRIDS))
@pytest.mark.parametrize("steps", [1, 3, 9])
def test_a_fitted_grid_runs_from_horizon_to_delta_in_k_jumps(name, steps):
    grid = grid_for(Map(), name, steps)
    assert (grid.horizon, grid.delta, grid.steps, grid.name) == (3.0, 0.05, steps, name)
    assert grid == grid_for(Map(), name, steps)
    assert sample(Map(), 5, steps, grid=name, seed=0).grid.steps == steps


def test_the_semigroup_grid_jumps_shorter_where_the_map_does_not_compose_and_counts_its_calls():
    f = Map(wrong_at=0.5)
    found = fitted_grid("semigroup", f, 6, horizon=3.0, delta=0.05)
    assert found.calls == f.points
    inside = sum(0.5 <= t <= 1.0 for t in found.grid.times)
    even = sum(0.5 <= t <= 1.0 for t in make_grid("uniform_angle", 6, horizon=3.0, delta=0.05).times)
    assert inside > even
    assert found.tolerance > fitted_grid("semigroup", Map(), 6, horizon=3.0, delta=0.05).tolerance
    assert fitted_grid("semigroup", Map(), 6, horizon=3.0, delta=0.05).tolerance < 1e-9, "the exact map composes"


def test_the_constant_of_a_gaussian_is_known_and_its_grid_even_in_the_integral():
    for t in (0.05, 0.3, 2.0):
        variance = 1 - 0.91 * math.exp(-2 * t)
        torch.testing.assert_close(
            one_sided_lipschitz(NARROW, t, n=8), torch.full((8,), 1 - 1 / variance, dtype=torch.float64)
        )
    wide = GaussianMixture([1.0], [[0.0]], 4.0, name="wide")  # 1 − 1/v > 0, whose integral is ½ log(v_δ/v_T)
    grid = fitted_grid("lipschitz", None, 4, horizon=2.0, delta=0.1, target=wide).grid
    v = [1 + 3 * math.exp(-2 * t) for t in grid.times]
    gaps = [math.log(later / sooner) for sooner, later in pairwise(v)]
    assert gaps == pytest.approx([sum(gaps) / 4] * 4, rel=0.1)  # a hundredth of the mean is added everywhere


def test_what_cannot_be_made_is_one_sentence():
    for wrong in (
        lambda: fitted_grid("lipschitz", lambda x, t, s: x, 3, horizon=3.0, delta=0.1),
        lambda: fitted_grid("semigroup", lambda x, t, s: x, 3, horizon=3.0, delta=0.1),
        lambda: fitted_grid("semigroup", Map(), 0, horizon=3.0, delta=0.1),
        lambda: fitted_grid("lipschitz", Map(), 3, horizon=0.1, delta=0.1),
        lambda: fitted_grid("nothing", Map(), 3, horizon=3.0, delta=0.1),
    ):
        with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
            wrong()
