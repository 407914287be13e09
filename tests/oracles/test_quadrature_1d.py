"""The quadrature of the line against independent ones: tears, folds, huge ratios, gaps, noise, single precision."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, ndtri

import cmcore as cm
from cmcore.chain import Chain, Stage, make_chain
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl, kl_1d, kl_gaussian, kl_product
from cmcore.grids import custom, make_grid
from cmcore.targets import BoxMixture, GaussianMixture, Product, make_target

DIRECTIONS = (MODEL_DATA, DATA_MODEL)
ONE = custom([3.0, 0.0])
STRAIGHT = make_chain(ONE)
LINE = GaussianMixture([1.0], [[0.0]], 1.0)
THREE = make_target("three_gaussians")
TRAINED = Path(__file__).parents[2] / "assets/pretrained/three_gaussians"


def noisy(*spreads):
    times = np.linspace(3.0, 0.0, len(spreads) + 1).tolist()
    stages = (Stage(t, s, 1.0, spread) for t, s, spread in zip(times, times[1:], spreads, strict=False))
    return Chain(custom(times), tuple(stages))


def holds(estimate, truth, width=0.01):
    """Whether a trusted interval holds the truth and is narrow; a truth is good to its tenth digit."""
    inside = estimate.low * (1 - 1e-9) <= truth <= estimate.high * (1 + 1e-9)
    return estimate.trusted and inside and 0 <= estimate.high - estimate.value <= width * truth


# ---- what was found -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("direction", "truth"), [(DATA_MODEL, 0.000556), (MODEL_DATA, 0.000562)])
def test_n2_narrow_tear_in_one_dimension(direction, truth):
    """A trained map whose slope is 3,072 across a ten-thousandth of the noise."""
    model = cm.load(TRAINED)
    estimate = kl(
        model, model.target, make_grid("uniform_angle", 8, horizon=3.0, delta=0.0), seed=0, direction=direction
    )
    assert estimate.value == pytest.approx(truth, rel=1e-3)
    assert estimate.trusted
    assert estimate.high - estimate.value < 1e-3 * truth


@pytest.mark.parametrize(("scale", "truth"), [(1.0, 0.945417), (1.5, 0.834493), (2.0, 0.941439), (3.0, 1.217807)])
def test_n3_no_ratio_overflows(scale, truth):
    estimate = kl(lambda x, t, s: scale * x, THREE, ONE, seed=0, direction=DATA_MODEL)
    assert estimate.value == pytest.approx(truth, abs=1e-6)
    assert holds(estimate, estimate.value)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("chain", [STRAIGHT, noisy(0.3), noisy(0.5, 0.4)])
def test_n3_ratios_of_any_size(chain, direction):
    """Gaussians apart by up to 10⁴ nats, with every density far below the smallest float where the other is."""
    for scale, shift, variance in ((1.0, 15.0, 1.0), (0.01, 3.0, 1.0), (6.0, 0.0, 1e-2)):
        target = GaussianMixture([1.0], [[shift]], variance)
        truth = kl_gaussian(lambda x, t, s, a=scale: a * x, target, chain, direction=direction)
        assert truth is not None
        estimate = kl_1d(lambda x, t, s, a=scale: a * x, target, chain, direction=direction)
        assert holds(estimate, truth.value), (scale, shift, variance, estimate, truth)


# ---- tears ----------------------------------------------------------------------------------------------------------
class Torn:
    """A map that follows one component after the other and passes between them within narrow widths of noise."""

    def __init__(self, seed, *, narrowest=1e-5, noise=()):
        draw = np.random.default_rng(seed)
        k = int(draw.integers(2, 5))
        self.weights, self.spreads = draw.dirichlet(np.full(k, 3.0)), 10 ** draw.uniform(-1.0, -0.3, k)
        self.means = np.sort(draw.uniform(-2.5, 2.5, k)) + 0.6 * np.arange(k)
        ends = np.concatenate([[0], self.weights.cumsum()]).clip(0, 1)
        off, self.tears = 10 ** draw.uniform(-3, -0.7), ndtri(ends[1:-1])
        self.scales = self.spreads * (1 + off * draw.uniform(-1, 1, k))
        self.offsets = self.means - self.scales * ndtri((ends[1:] + ends[:-1]) / 2)
        self.widths = 10 ** draw.uniform(math.log10(narrowest), -1, k - 1)
        self.target = GaussianMixture(self.weights, self.means[:, None], self.spreads**2)
        self.chain, self.noise = noisy(*noise) if noise else STRAIGHT, noise

    def __call__(self, x, t, s):
        parts = [b + a * x for a, b in zip(self.scales.tolist(), self.offsets.tolist(), strict=True)]
        y = parts[0]
        for k, (c, w) in enumerate(zip(self.tears.tolist(), self.widths.tolist(), strict=True)):
            y = y + torch.sigmoid((x - c) / w) * (parts[k + 1] - parts[k])
        return y

    def image_and_slope(self, z):
        parts, u = self.offsets + self.scales * z[:, None], (z[:, None] - self.tears) / self.widths
        steep = expit(u) * expit(-u) / self.widths * np.diff(parts)
        image = parts[:, 0] + (expit(u) * np.diff(parts)).sum(1)
        return image, self.scales[0] + (expit(u) * np.diff(self.scales) + steep).sum(1)

    def log_p(self, x):
        u = (x[:, None] - self.means) / self.spreads
        return np.logaddexp.reduce(np.log(self.weights / self.spreads) - u**2 / 2, axis=1) - math.log(math.tau) / 2

    def panels(self, low, high, width=0.05):
        """Nodes and weights of Gauss–Legendre between breakpoints at the tears."""
        steps = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40])
        near = (self.tears[:, None, None] + self.widths[:, None, None] * np.array([[1], [-1]]) * steps).ravel()
        edges = np.unique([*np.arange(low, high, width), high, *near.clip(low, high)])
        nodes, weights = np.polynomial.legendre.leggauss(16)
        half = np.diff(edges)[:, None] / 2
        return (edges[:-1, None] + half + half * nodes).ravel(), (half * weights).ravel()

    def kl(self, direction):
        """Without noise over z, with noise over the last state."""
        if not self.noise:
            z, weight = self.panels(-12.0, 12.0)
            image, slope = self.image_and_slope(z)
            log_q, log_p, weight = (
                -(z**2) / 2 - math.log(math.tau) / 2 - np.log(slope),
                self.log_p(image),
                weight * slope,
            )
        else:
            z, weight = self.panels(-12.0, 12.0)
            places, masses = self.image_and_slope(z)[0], weight * np.exp(-(z**2) / 2) / math.sqrt(math.tau)
            for count, spread in enumerate(self.noise, 1):
                low, high = places.min() - 9 * spread, places.max() + 9 * spread
                low, high = (
                    min(low, (self.means - 9 * self.spreads).min()),
                    max(high, (self.means + 9 * self.spreads).max()),
                )
                x, weight = self.panels(low, high, 0.5 * spread)
                q = np.concatenate(
                    [np.exp(-(((part[:, None] - places) / spread) ** 2) / 2) @ masses for part in np.array_split(x, 40)]
                ) / (spread * math.sqrt(math.tau))
                if count < len(self.noise):
                    places, masses = self.image_and_slope(x)[0], weight * q
            log_q, log_p = np.log(q.clip(1e-300)), self.log_p(x)
        first, second = (log_q, log_p) if direction == MODEL_DATA else (log_p, log_q)
        return float((np.exp(first) * (first - second) * weight).sum())


@pytest.mark.parametrize("first", range(0, 48, 12))
def test_tears_of_any_slope_are_resolved(first):
    """48 random mixtures with maps torn at slopes up to 10⁵: every interval holds, and is narrow."""
    for seed in range(first, first + 12):
        torn, direction = Torn(seed), DIRECTIONS[seed % 2]
        estimate = kl_1d(torn, torn.target, torn.chain, direction=direction)
        assert holds(estimate, torn.kl(direction)), (seed, estimate, torn.kl(direction))


@pytest.mark.parametrize("noise", [(0.3,), (0.08,), (0.5, 0.1)])
def test_tears_under_noise_are_resolved(noise):
    for seed, direction in enumerate(DIRECTIONS):
        torn = Torn(100 + seed, noise=noise)
        estimate = kl_1d(torn, torn.target, torn.chain, direction=direction)
        assert holds(estimate, torn.kl(direction), width=1e-3), (seed, estimate, torn.kl(direction))


# ---- folds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("amount", "direction", "truth"),
    [
        (0.4, MODEL_DATA, 0.896911),
        (0.8, MODEL_DATA, 0.706686),
        (0.4, DATA_MODEL, None),
        (0.8, DATA_MODEL, None),
    ],
)
def test_a_fold_is_integrated_up_to_its_edge(amount, direction, truth):
    estimate = kl_1d(lambda x, t, s: x + amount * torch.sin(3 * x), LINE, STRAIGHT, direction=direction)
    assert estimate.high - estimate.value < 1e-3 * estimate.value
    assert holds(estimate, estimate.value)
    if truth is not None:
        assert estimate.value == pytest.approx(truth, rel=1e-5)


def test_a_map_folded_in_half():
    estimate = kl_1d(lambda x, t, s: x.abs(), LINE, STRAIGHT, direction=MODEL_DATA)
    assert holds(estimate, math.log(2))


# ---- where one law is and the other is not --------------------------------------------------------------------------
def step(x, t, s):
    return x + torch.where(x > 0.3, 0.5, 0.0)


@pytest.mark.parametrize(
    ("f", "share"),
    [
        (lambda x, t, s: 2 * torch.tanh(x), 0.0455),
        (lambda x, t, s: x.abs(), 0.5),
        (step, 0.1700),
    ],
)
def test_data_that_no_noise_leads_to_make_it_infinite(f, share):
    estimate = kl_1d(f, LINE, STRAIGHT, direction=DATA_MODEL)
    assert estimate.value == estimate.high == math.inf
    assert not estimate.trusted
    assert "no noise" in estimate.note.lower()
    assert estimate.diagnostics["uncovered_share"] == pytest.approx(share, abs=1e-3)
    back = kl_1d(f, LINE, STRAIGHT, direction=MODEL_DATA)
    assert back.trusted
    assert math.isfinite(back.high)


@pytest.mark.parametrize("f", [lambda x, t, s: x.clamp(-1, 1), lambda x, t, s: x])
def test_a_model_where_the_data_has_no_density_makes_it_infinite(f):
    boxes = BoxMixture([1.0], [[-1.5]], [[1.5]])
    estimate = kl_1d(f, boxes, STRAIGHT, direction=MODEL_DATA)
    assert estimate.value == estimate.high == math.inf
    assert not estimate.trusted


def test_far_noise_that_reaches_the_data_is_followed():
    """The data is 60 deviations of the model away: reached by noise of probability e^{−1800}, and finite."""
    far = GaussianMixture([0.5, 0.5], [[0.0], [6.0]], 0.01)
    estimate = kl_1d(lambda x, t, s: x / 10, far, STRAIGHT, direction=DATA_MODEL)
    assert holds(estimate, -math.log(2) + 0.5 * 0.5 * (36 / 0.01), width=1e-3)


@pytest.mark.parametrize("noise", [(), (0.3,)])
def test_a_map_without_numbers_gives_none(noise):
    chain = noisy(*noise) if noise else STRAIGHT
    estimate = kl_1d(lambda x, t, s: x / (x > 0), LINE, chain, direction=DATA_MODEL)
    assert math.isnan(estimate.value)
    assert not estimate.trusted
    assert "finite" in estimate.note


# ---- other maps, chains and targets ---------------------------------------------------------------------------------
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_map_in_single_precision_is_integrated_as_such(direction):
    for seed in range(4):
        torn = Torn(200 + seed, narrowest=1e-3)
        estimate = kl_1d(lambda x, t, s, f=torn: f(x.float(), t, s).to(x), torn.target, STRAIGHT, direction=direction)
        assert holds(estimate, torn.kl(direction)), (seed, estimate, torn.kl(direction))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_last_jump_without_noise(direction):
    """Noise in the middle of a chain: for an affine map of Gaussians the closed form."""
    target = GaussianMixture([1.0], [[0.4]], 0.5)
    chain = make_chain(custom([3.0, 1.0, 0.0]), sampler="renoise", renoise=1.0, noiseless_end=True)
    truth = kl_gaussian(lambda x, t, s: 0.3 + 0.6 * x, target, chain, direction=direction)
    assert truth is not None
    estimate = kl_1d(lambda x, t, s: 0.3 + 0.6 * x, target, chain, direction=direction)
    assert holds(estimate, truth.value, width=1e-3)


class WithoutTails(GaussianMixture):
    def log_tails(self, x, t):
        raise NotImplementedError


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_target_without_a_cdf(direction):
    torn = Torn(300)
    target = WithoutTails(torn.weights, torn.means[:, None], torn.spreads**2)
    assert holds(kl_1d(torn, target, torn.chain, direction=direction), torn.kl(direction))
    assert not kl_1d(lambda x, t, s: x.abs(), WithoutTails([1.0], [[0.0]], 1.0), STRAIGHT, direction=DATA_MODEL).trusted


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_intervals_of_a_product_add_up(direction):
    ones = [Torn(400), Torn(401)]
    product = Product([(ones[0].target, 3), (ones[1].target, 2)])

    def f(x, t, s):
        return torch.cat([ones[0](x[:, :3], t, s), ones[1](x[:, 3:], t, s)], dim=1)

    estimate = kl_product(f, product, STRAIGHT, direction=direction)
    assert holds(estimate, sum(c * one.kl(direction) for c, one in zip((3, 2), ones, strict=True)))
    parts = [kl_1d(one, one.target, STRAIGHT, direction=direction) for one in ones]
    assert estimate.high - estimate.low == pytest.approx(
        sum(c * (e.high - e.low) for c, e in zip((3, 2), parts, strict=True))
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_interval_from_too_few_cells_is_honest(direction, monkeypatch):
    """With half of the evaluations it takes, the interval is wider, holds the truth or is not trusted."""
    monkeypatch.setattr("cmcore.divergences.quadrature_1d._MOST", 4700)
    for seed in range(500, 512):
        torn = Torn(seed)
        estimate = kl_1d(torn, torn.target, torn.chain, direction=direction)
        assert not estimate.trusted or estimate.low <= torn.kl(direction) <= estimate.high
        assert 0 <= estimate.low <= estimate.value <= estimate.high
