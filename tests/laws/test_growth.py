"""How cost grows: each test counts bytes or calls at two sizes, and allows what the algorithm should cost."""

import math
import weakref
from importlib import import_module

import pytest
import torch

import cmcore as cm
from cmcore.divergences.tools import data_draw, preimages
from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.flow import TrajectoryPool
from cmcore.objectives import make_objective
from cmcore.streams import stream
from cmcore.threads import joined
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun
from tests.counted import allocated

LINE = cm.GaussianMixture([1.0], [[0.0, 0.0]], 0.5, name="gaussian")


def small_map(dim=2):
    return cm.FlowMap(dim, cm.NetworkConfig(width=8, depth=1), generator=stream(0, "weights"))


@pytest.mark.parametrize("sampler", ["deterministic", "renoise"])
def test_g1_a_draw_takes_little_memory_beside_its_answer(sampler, monkeypatch):
    monkeypatch.setattr(import_module("cmcore.samplers.base"), "_ROWS", 1 << 11, raising=False)
    n, steps, f = 1 << 15, 4, small_map()
    kept = steps + 1 + (steps if sampler == "renoise" else 0)  # the states, and the landings where they differ
    peak = allocated(lambda: cm.sample(f, n, steps, seed=0, sampler=sampler, horizon=3.0, delta=0.05)).peak
    assert (
        peak < 1.5 * kept * n * f.dim * 4
    )  # two to three times of it, when what each stage made was joined at the end


def test_g2_a_batch_costs_as_much_from_a_large_pool_as_from_a_small_one():
    objective, totals = make_objective("trajectory_regression"), []
    for n in (10_000, 1_000_000):
        states = torch.randn(1, n, 2, generator=stream(0, "noise")).expand(3, -1, -1)
        pool = TrajectoryPool(torch.linspace(1.5, 0.0, 3), states, 0.0)
        vars(pool)["stretch"] = torch.rand(n, generator=stream(0, "stretch"))
        next(objective.batches(pool, 1, 64, generator=stream(0, "first")))  # sums over the pool are made once
        totals.append(
            allocated(lambda pool=pool: list(objective.batches(pool, 4, 64, generator=stream(0, "pairs")))).total
        )
    assert totals[1] == totals[0]  # a hundred times as many, when all chances were looked at for every draw


def test_g3_every_member_is_copied_once():
    totals = []
    for members in (2, 8):
        config = cm.TrainingConfig(network=cm.NetworkConfig(width=32, depth=3), steps=10, objective="psd", threads=1)
        run = TrainingRun(LINE, resolved(config, LINE), seeds=range(members))
        totals.append(allocated(lambda run=run: run.models("stopped", 0.0)).total)
    assert totals[1] < 4.2 * totals[0]  # fifteen times, when each member was cut out of a copy of all


def test_g4_preimages_are_solved_for_in_pieces(monkeypatch):
    dim, rows = 6, []
    composed = ComposedMap.of(small_map(dim), cm.make_grid("uniform_angle", 1, horizon=1.0, delta=0.5), dim)
    noise = torch.randn(700, dim, generator=stream(0, "noise"), dtype=torch.float64)
    points = composed.images(noise)
    starts = noise + 0.01 * torch.randn(noise.shape, generator=stream(1, "noise"), dtype=torch.float64)
    unknown = torch.full((len(points),), -math.inf, dtype=torch.float64)
    several = torch.ones(len(points), dtype=torch.bool)
    candidates = preimages.Candidates(torch.arange(len(points)), starts, unknown, unknown, several)
    at_once = preimages.full_density(composed, points, candidates)
    with_jacobian = ComposedMap.with_jacobian
    monkeypatch.setattr(ComposedMap, "with_jacobian", lambda self, z: (rows.append(len(z)), with_jacobian(self, z))[1])
    monkeypatch.setattr(preimages, "_ENTRIES", 256 * dim**2, raising=False)
    in_pieces = preimages.full_density(composed, points, candidates)
    assert max(rows) == 256
    assert torch.equal(in_pieces.count, at_once.count)
    assert bool((at_once.count > 0).all())
    torch.testing.assert_close(in_pieces.log_density, at_once.log_density)


def test_g5_a_guess_by_tangents_holds_few_matrices_at_once(monkeypatch):
    dim = 6
    composed = ComposedMap.of(small_map(dim), cm.make_grid("uniform_angle", 1, horizon=1.0, delta=0.5), dim)
    noise = torch.randn(16, dim, generator=stream(0, "noise"), dtype=torch.float64)
    points = torch.randn(5_000, dim, generator=stream(1, "noise"), dtype=torch.float64)
    guess = data_draw.tangent_guess(composed, noise)
    at_once = guess(points)
    monkeypatch.setattr(data_draw, "_PAIRS", 1 << 15)
    assert allocated(lambda: guess(points)).peak < 1 << 20  # 2 MB of inverse Jacobians, when pairs alone were counted
    torch.testing.assert_close(guess(points), at_once)


@pytest.mark.parametrize("times", ["one", "each"])
@pytest.mark.parametrize("kind", ["shared", "diagonal", "full"])
def test_g6_a_density_of_many_components_is_summed_in_pieces(kind, times):
    """Its memory is bounded, however many components and dimensions there are."""
    generator, d, K, n = stream(0, "mixture"), 16, 2_000, 600
    means = torch.randn(K, d, generator=generator, dtype=torch.float64)
    covariances = {
        "shared": 0.5,
        "diagonal": 0.5 + torch.rand(K, d, generator=generator, dtype=torch.float64),
        "full": torch.eye(d, dtype=torch.float64).expand(K, d, d).contiguous(),
    }[kind]
    law = cm.GaussianMixture(torch.ones(K), means, covariances)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    t = 0.1 if times == "one" else torch.full((n,), 0.1, dtype=torch.float64)
    for function in (law.log_prob, law.score):
        peak = allocated(lambda function=function: function(x, t)).peak
        own = 8 * K * d * (4 * d if kind == "full" else 4)  # of its parameters, some times over
        assert peak < own + (32 << 20)  # 200 MB and more, when 256 points were taken at once


def test_g7_neighbours_in_many_dimensions_are_the_same_by_products_as_by_a_tree(monkeypatch):
    points, others = (torch.randn(n, 12, generator=stream(n, "points"), dtype=torch.float64) + 5.0 for n in (900, 300))
    nearest = import_module("cmcore.nearest")
    monkeypatch.setattr(nearest, "_ENTRIES", 1 << 13)
    distance, index = nearest.Nearest(points)(others, 7)
    monkeypatch.setattr(nearest, "_FEW_DIMENSIONS", 12)
    by_tree = nearest.Nearest(points)
    assert by_tree.tree is not None
    assert torch.equal(index, by_tree.index(others, 7))
    torch.testing.assert_close(distance, by_tree(others, 7)[0])
    assert nearest.Nearest(points[:3]).index(others, 7).shape == (300, 3)


def test_g7_no_tree_is_asked_in_many_dimensions():
    """One visits all of its leaves there, point by point: a query grew with the fourth power of d from 8 to 16."""
    from cmcore.nearest import Nearest

    assert Nearest(torch.randn(50, 2)).tree is not None
    assert Nearest(torch.randn(50, 16)).tree is None
    peak = allocated(lambda: Nearest(torch.randn(20_000, 16)).index(torch.randn(1_000, 16), 8)).peak
    assert peak < 32 << 20  # 160 MB, all distances at once


@pytest.mark.parametrize("dim", [2, 16])
def test_g8_newton_comes_as_far_as_noise_lies_apart(dim):
    """Noises lie √(2d) apart: a limit of ½ a step left all starts behind in 16 dimensions, and hundreds were tried."""
    composed = ComposedMap.of(small_map(dim), cm.make_grid("uniform_angle", 1, horizon=1.0, delta=0.5), dim)
    noise, starts = torch.randn(2, 64, dim, generator=stream(0, "noise"), dtype=torch.float64)
    roots, _, solved = preimages.solve(composed, composed.images(noise), starts, steps=8)
    assert float(solved.double().mean()) > 0.75
    torch.testing.assert_close(roots[solved], noise[solved], rtol=1e-5, atol=1e-5)


def test_g9_answers_of_pieces_do_not_lie_about_between_them():
    """Kept one by one between large intermediates they scattered the heap: 682 MB for tensors of 7."""
    x, answers, alive = torch.randn(1_000, 2), [], []

    def square(piece):
        answer = piece.square().sum(1)
        answers.append(weakref.ref(answer))
        alive.append(sum(each() is not None for each in answers))
        return answer

    torch.testing.assert_close(joined(square, x, rows=64), x.square().sum(1))
    assert max(alive) <= 2
    x.requires_grad_()
    joined(square, x, rows=64).sum().backward()
    torch.testing.assert_close(x.grad, 2 * x)
