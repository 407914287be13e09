"""Laws of every target at every noise level: density, score and samples describe one and the same p_t."""

import math

import pytest
import torch

from cmcore.targets import (
    GALLERY,
    BoxMixture,
    CircleMixture,
    Empirical,
    GaussianMixture,
    NoDensity,
    Product,
    make_target,
    random_rotation,
)
from cmcore.targets.base import Parameters, Target
from tests.laws.every_target import TARGETS, draw, mass, score_error, times


@pytest.fixture(params=TARGETS.values(), ids=list(TARGETS))
def target(request):
    return request.param


def test_score_is_the_gradient_of_log_prob(target):
    for t in times(target) if target.smooth else (*times(target), 1e-6):
        assert score_error(target, t) <= 1e-8, t


def test_density_integrates_to_one(target):
    if target.dim == 3:
        pytest.skip("in space: the slow test below")
    for t in times(target):
        assert mass(target, t) == pytest.approx(1, abs=1e-6), t


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, toy in GALLERY.items() if toy.dims == "3"])
def test_density_integrates_to_one_in_space(name):
    assert mass(TARGETS[name], 0.1) == pytest.approx(1, abs=1e-6)


def test_samples_have_the_stated_moments(target):
    n = 40_000
    x = draw(target, n, t=0.0, seed=3)
    centred = x - target.mean
    squares = centred.square()
    assert bool((centred.mean(0).abs() <= 5 * (squares.mean(0) / n).sqrt() + 1e-12).all())
    products = torch.einsum("ni,nj->nij", centred, centred)
    slack = 5 * products.std(0) / math.sqrt(n) + 1e-12
    assert bool(((products.mean(0) - target.covariance).abs() <= slack).all())
    assert target.second_moment == pytest.approx(float(target.mean @ target.mean + target.covariance.trace()))


def test_samples_follow_the_density(target):
    """Stein's identity, E[f(X)·score + ∇f(X)] = 0, for f = 1, x and sin: samples against score."""
    n = 20_000
    for t in (0.05, 0.7):
        x = draw(target, n, t=t, seed=4)
        score = target.score(x, t)
        for zero in (score, x * score + 1, x.sin() * score + x.cos()):
            assert bool((zero.mean(0).abs() <= 5 * zero.std(0) / math.sqrt(n)).all()), t


def test_posterior_means_average_to_the_mean(target):
    x = draw(target, 20_000, t=0.5, seed=6)
    posterior = target.posterior_mean(x, 0.5)
    assert bool(((posterior.mean(0) - target.mean).abs() <= 5 * posterior.std(0) / math.sqrt(len(x)) + 1e-9).all())


def test_a_time_per_point_is_the_same_as_one_time_for_all(target):
    t = torch.tensor([0.05, 0.3, 2.0, 5.0], dtype=torch.float64)
    x = draw(target, 4, t=0.3, seed=7)
    for ask in (target.log_prob, target.score):
        alone = torch.cat([ask(x[i : i + 1], float(t[i])) for i in range(4)])
        torch.testing.assert_close(ask(x, t), alone, rtol=1e-10, atol=1e-10)


def test_answers_do_not_depend_on_the_size_of_the_batch(target):
    x = draw(target, 3, t=0.3, seed=8)
    many = x.repeat(20_000, 1)
    torch.testing.assert_close(target.score(many, 0.3)[-3:], target.score(x, 0.3), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(target.log_prob(many, 0.3)[-3:], target.log_prob(x, 0.3), rtol=1e-9, atol=1e-9)


def test_device_and_dtype_follow_the_input(target, device):
    x = draw(target, 500, t=0.1, seed=9).to(device)
    for t in (0.1, 2.0):
        exact, single = target.score(x, t), target.score(x.float(), t)
        assert single.dtype == torch.float32
        assert single.device == x.device
        assert target.log_prob(x.float(), t).dtype == torch.float32
        assert bool(((single - exact).norm(dim=1) <= 1e-3 * (1 + exact.norm(dim=1))).all())


def test_sampling_repeats_and_follows_the_generator(target, device):
    first, again = (
        target.sample(10, generator=torch.Generator(device).manual_seed(1), t=0.2, dtype=torch.float32) for _ in "ab"
    )
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert first.device.type == device


def test_without_a_density_time_zero_is_refused_in_words(target):
    x = torch.zeros(2, target.dim, dtype=torch.float64)
    if not target.smooth:
        with pytest.raises(NoDensity, match="t > 0"):
            target.score(x, 0.0)
    if not target.has_density:
        with pytest.raises(NoDensity, match="t > 0"):
            target.log_prob(x, torch.tensor([0.0, 0.1]))


def test_far_out_nothing_overflows(target):
    x = torch.full((1, target.dim), 1e3, dtype=torch.float64)
    for t in (0.01, 1.0, 8.0):
        assert bool(torch.isfinite(target.log_prob(x, t)).all())
        assert float((target.score(x, t) * x).sum()) < 0


# ---- the gallery ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", list(GALLERY))
def test_a_toy_is_what_its_entry_says(name):
    toy, target = GALLERY[name], TARGETS[name]
    assert toy.label
    assert toy.description
    assert target.smooth == toy.smooth
    assert target.name == name
    assert target.config is not None
    assert make_target(target.config.name, **target.config.parameters).name == name
    assert ("dim" in toy.parameters) == (toy.dims == "any")
    if toy.dims == "any":
        assert make_target(name, dim=4).dim == 4
    else:
        assert target.dim == int(toy.dims)


@pytest.mark.parametrize("name", [name for name, toy in GALLERY.items() if toy.dims == "2"])
def test_toys_of_the_plane_fit_the_stage(name):
    x = draw(TARGETS[name], 5000, t=0.0, seed=10)
    assert float(x.norm(dim=1).quantile(0.99)) <= 2.8


def test_million_dimensional_product_is_cheap():
    target = make_target("product_of_mixtures", dim=1_000_000)
    x = torch.zeros(1, 1_000_000, dtype=torch.float64)
    one = make_target("product_of_mixtures", dim=1)
    assert float(target.log_prob(x, 0.5)) == pytest.approx(1e6 * float(one.log_prob(x[:, :1], 0.5)))
    assert target.second_moment == pytest.approx(1e6 * one.second_moment)


@pytest.mark.parametrize(
    ("case", "first", "second", "third"),
    [("off_centre", True, None, None), ("centred", False, True, None), ("skewed", False, False, True)],
)
def test_product_cases_have_the_cumulants_they_are_named_for(case, first, second, third):
    factor = make_target("product_of_mixtures", case=case).factors[0][0]
    mean, variance = float(factor.mean[0]), float(factor.covariance[0, 0])
    third_moment = float(factor.weights @ ((factor.means - mean) ** 3)[:, 0])
    for claim, value in ((first, mean), (second, variance - 1), (third, third_moment)):
        assert claim is None or (abs(value) > 0.1) == claim
        assert claim is not False or abs(value) < 1e-12


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("eight_gaussian", {}),
        ("moons", {"noise": 1.0}),
        ("moons", {"sd": -0.1}),
        ("moons", {"sd": float("nan")}),
        ("moons", {"sd": "wide"}),
        ("moons", {"sd": True}),
        ("gaussian", {"dim": 0}),
        ("gaussian", {"dim": 2.5}),
        ("gaussian", {"dim": 10**9}),
        ("gaussian_grid", {"side": 1000}),
        ("cantor_dust", {"stage": 9}),
        ("product_of_mixtures", {"case": "lopsided"}),
        ("product_of_mixtures", {"sd": 1.5}),
        ("product_of_mixtures", {"dim": 10_000, "rotated": True}),
        ("product_of_mixtures", {"rotated": 1}),
        ("random_mixture", {"dim": 4096, "components": 512}),
        ("iris", {"dim": 9}),
        ("digits", {"density": "histogram"}),
        ("sketch", {"strokes": ""}),
        ("sketch", {"strokes": "AQ"}),
        ("sketch", {"strokes": "<script>"}),
        ("sketch", {"strokes": 3}),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(name, parameters):
    with pytest.raises(ValueError, match=r"\.$") as caught:
        make_target(name, **parameters)
    assert "\n" not in str(caught.value)


LINE = GaussianMixture([1], [[0.0]], 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianMixture([1, 1], [[0.0, 0.0]], 1.0),
        lambda: GaussianMixture([1], [0.0], 1.0),
        lambda: GaussianMixture([-1, 2], [[0.0], [1.0]], 1.0),
        lambda: GaussianMixture([1], [[math.inf]], 1.0),
        lambda: GaussianMixture([1], [[0.0, 0.0]], -1.0),
        lambda: GaussianMixture([1], [[0.0, 0.0]], [[[1, 0.5], [0, 1]]]),
        lambda: GaussianMixture([1], [[0.0, 0.0]], [[[1, 2.0], [2, 1]]]),
        lambda: GaussianMixture([1], [[0.0, 0.0]], [[[math.nan, 0], [0, 1]]]),
        lambda: GaussianMixture([1], [[0.0, 0.0]], [1, 2, 3]),
        lambda: BoxMixture([1], [[0.0]], [[0.0]]),
        lambda: BoxMixture([1], [[0.0]], [[1.0, 2.0]]),
        lambda: BoxMixture([0], [[0.0]], [[1.0]]),
        lambda: BoxMixture([1], [[-math.inf]], [[1.0]]),
        lambda: CircleMixture([1], [[0.0, 0.0, 0.0]], 1.0),
        lambda: CircleMixture([1], [[0.0, 0.0]], -1.0),
        lambda: CircleMixture([1], [[0.0, 0.0]], 1.0, -0.1),
        lambda: CircleMixture([1], [[0.0, 0.0]], [1.0, 2.0]),
        lambda: CircleMixture([1], [[math.nan, 0.0]], 1.0),
        lambda: Empirical(torch.zeros(0, 2)),
        lambda: Empirical(torch.zeros(3, 2), -1.0),
        lambda: Empirical(torch.zeros(3, 2), math.nan),
        lambda: Product([]),
        lambda: Product([(LINE, 0)]),
        lambda: Product([make_target("moons")]),
        lambda: Product([LINE, LINE], rotation=torch.eye(3)),
        lambda: Product([LINE, LINE], rotation=torch.ones(2, 2)),
    ],
)
def test_bad_laws_are_refused_in_one_sentence(make):
    with pytest.raises(ValueError, match=r"\.$"):
        make()


def test_a_rotation_changes_nothing_but_the_axes():
    rotation = random_rotation(5, generator=torch.Generator().manual_seed(0))
    factors = [(GaussianMixture([1, 1], [[-1.0], [1.0]], 0.1), 3), (BoxMixture([1], [[0.0]], [[1.0]]), 2)]
    plain, turned = Product(factors), Product(factors, rotation=rotation)
    y = draw(plain, 50, t=0.2, seed=11)
    x = y @ rotation.T
    torch.testing.assert_close(turned.log_prob(x, 0.2), plain.log_prob(y, 0.2))
    torch.testing.assert_close(turned.score(x, 0.2), plain.score(y, 0.2) @ rotation.T)
    torch.testing.assert_close(turned.covariance, rotation @ plain.covariance @ rotation.T)


# ---- what a toy would take --------------------------------------------------------------------------------------
def numbers_of(value, seen=None):
    """Numbers in all tensors that lie in a target, each piece of memory once."""
    seen = {} if seen is None else seen
    if isinstance(value, torch.Tensor):
        seen[value.untyped_storage().data_ptr()] = value.numel()
    elif isinstance(value, dict):
        for part in value.values():
            numbers_of(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            numbers_of(part, seen)
    elif isinstance(value, Target | Parameters):
        numbers_of(vars(value), seen)
    return sum(seen.values())


AT_THE_EDGE = {
    "gaussian_grid": {"side": 32},
    "moons": {"sd": 1e-9},
    "pinwheel": {"arms": 16},
    "two_spirals": {"sd": 1e-9},
    "swiss_roll": {"sd": 0.004},
    "smiley": {"sd": 1e-9},
    "checkerboard": {"cells": 32},
    "sierpinski": {"level": 7},
    "swiss_roll_3d": {"sd": 1e-9},
    "torus_knot": {"sd": 1e-9},
    "s_curve": {"sd": 0.003},
    "gaussian": {"dim": 10_000},
    "product_of_mixtures": {"dim": 200, "rotated": True},
    "hypercube_corners": {"dim": 10_000},
    "random_mixture": {"dim": 12, "components": 512},
    "cantor_dust": {"dim": 100, "stage": 5},
    "iris": {"dim": 4, "density": "kernel_density"},
}


@pytest.mark.parametrize("name", GALLERY)
def test_s2_the_size_of_a_toy_is_told_without_making_it(name):
    toy = GALLERY[name]
    for parameters in ({}, AT_THE_EDGE.get(name, {})):
        told, made = toy.size(**parameters), make_target(name, **parameters)
        assert told.dim == made.dim
        assert made.components <= told.components
        assert numbers_of(made) <= told.numbers
        assert told.components <= 2 * made.components + 12 or toy.dims == "any"
        assert (toy.smooth, toy.default_delta) == (made.smooth, made.default_delta)
