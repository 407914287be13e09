"""The best times, where they are known or can be found by looking at all of them."""

import itertools
import math

import pytest
import torch

from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, kl_1d, kl_of_chain
from cmcore.flow import ExactFlow
from cmcore.grids import GRIDS, make_grid
from cmcore.targets import GaussianMixture
from cmcore.theory.best_grid import _gaps_of, _grid_of, _shortest, least_bound, least_kl  # the law is theirs

ALONE = GaussianMixture([1.0], [[0.5]], 0.3)


class Disturbed:
    """The exact map with an error that grows with the jump, and is worst at late times."""

    def __init__(self, target, amount):
        self.flow, self.amount = ExactFlow(target), amount

    def __call__(self, x, t, s):
        gap = torch.as_tensor(t, dtype=x.dtype) - torch.as_tensor(s, dtype=x.dtype)
        gap = gap[:, None] if gap.ndim else gap
        return self.flow(x, t, s) + self.amount * gap * torch.sin(3 * x)


def test_the_shortest_path_is_the_least_over_all_paths():
    cost = torch.rand(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cost[torch.tril(torch.ones(7, 7, dtype=torch.bool))] = math.inf
    for steps in (1, 2, 4):
        every = (
            (sum(float(cost[i, j]) for i, j in itertools.pairwise((0, *inner, 6))), (0, *inner, 6))
            for inner in itertools.combinations(range(1, 6), steps - 1)
        )
        value, path = min(every)
        found, least = _shortest(cost, steps)
        assert tuple(found) == path
        assert least == pytest.approx(value)


@pytest.mark.parametrize("name", list(GRIDS))
def test_any_grid_is_described_by_the_gaps_between_its_angles(name):
    grid = make_grid(name, 4, horizon=3.0, delta=0.1)
    again = _grid_of(_gaps_of(grid), 3.0, 0.1)
    assert again.times == pytest.approx(grid.times, rel=1e-9)


def test_the_least_bound_is_no_larger_than_that_of_its_own_candidates():
    """Among candidates even in angle are the uniform grids with a divisor of their number."""
    f = Disturbed(ALONE, 0.05)
    best = least_bound(f, ALONE, 2, horizon=3.0, delta=0.1, seed=0, n=400, levels=9)
    assert best.chain.grid.steps == 2
    assert best.chain.grid.times[0] == 3.0
    assert best.chain.delta == pytest.approx(0.1)
    assert best.chain.always_noisy
    truth = kl_1d(f, ALONE, best.chain, direction=DATA_MODEL)
    assert truth.low < best.objective + 0.1  # KL(p_T‖γ) is not part of the objective


def test_the_search_never_ends_above_where_it_began():
    f = Disturbed(ALONE, 0.1)
    best = least_kl(f, ALONE, 3, horizon=3.0, delta=0.1, seed=0, trials=25)
    named = [make_chain(make_grid(name, 3, horizon=3.0, delta=0.1)) for name in GRIDS]
    least = min(kl_of_chain(f, ALONE, chain, seed=0).value for chain in named)
    assert best.objective <= least * (1 + 1e-9)
    assert kl_of_chain(f, ALONE, best.chain, seed=0).value == pytest.approx(best.objective, rel=1e-6)
    assert best.trials <= 25


def test_a_renoised_search_keeps_every_eta_between_its_ends():
    best = least_kl(Disturbed(ALONE, 0.1), ALONE, 2, horizon=3.0, delta=0.1, seed=0, sampler="renoise", trials=12)
    for eta, later in zip(best.chain.etas, best.chain.grid.times[1:], strict=True):
        assert 0.02 * later <= eta <= later * (1 + 1e-12)


def test_a_search_with_the_papers_sampler_keeps_eta_between_its_shares_of_the_step():
    f = Disturbed(ALONE, 0.1)
    best = least_kl(f, ALONE, 2, horizon=3.0, delta=0.1, seed=0, sampler="algorithm_1", trials=12)
    for eta, (t, later) in zip(best.chain.etas, best.chain.grid.jumps, strict=True):
        least, most = (min(share * (t - later), 0.9 * later) for share in (0.02, 1))
        assert least * (1 - 1e-12) <= eta <= most * (1 + 1e-12)
    again = kl_of_chain(f, ALONE, best.chain, seed=0, direction=DATA_MODEL)
    assert again.value == pytest.approx(best.objective, rel=1e-6)


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match=r"δ later than"):
        least_bound(Disturbed(ALONE, 0.1), ALONE, 2, horizon=3.0, delta=0.0, seed=0)
