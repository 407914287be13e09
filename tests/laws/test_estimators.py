"""Laws of every estimate: it names itself, its interval holds it, seeds fix it, and doubt is said in words."""

import math

import pytest
import torch

from cmcore.chain import make_chain, with_jacobian
from cmcore.config import NetworkConfig
from cmcore.divergences import DATA_MODEL, ESTIMATORS, MODEL_DATA, Estimate, kl, kl_convolution_grid, off_mode_mass
from cmcore.divergences.tools.composed_map import ComposedMap
from cmcore.divergences.tools.data_draw import DataDraw, draw_data
from cmcore.divergences.tools.log_ratio import interval, kl_at_data
from cmcore.divergences.tools.noise import weighted_noise
from cmcore.divergences.tools.off_mode import density_level
from cmcore.divergences.tools.pilot import pilot
from cmcore.divergences.tools.push_forward import push_forward
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.samplers import ddim
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, NoDensity, Product, make_target

TARGET = make_target("eight_gaussians")
PAIR = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1)
GRID = make_grid("uniform_angle", 2, horizon=3.0, delta=0.1)


def network(dim=2, **device):
    return FlowMap(dim, NetworkConfig(width=16, depth=2), generator=torch.Generator().manual_seed(0)).to(**device)


CASES = {
    "network, plane": (network(), TARGET, {}),
    "network, plane, renoised": (network(), TARGET, {"sampler": "renoise", "n": 1 << 14}),
    "network, line": (network(1), PAIR, {}),
    "network, line, renoised": (network(1), PAIR, {"sampler": "renoise"}),
    "network, space": (network(3), Product([(PAIR, 3)]), {"n": 2000}),
    "network, space, renoised": (network(3), Product([(PAIR, 3)]), {"n": 2000, "sampler": "renoise"}),
    "DDIM, gaussian": (ddim(PAIR.score), GaussianMixture([1.0], [[0.0]], 0.5), {}),
    "DDIM, product": (ddim(Product([(PAIR, 3)]).score), Product([(PAIR, 3)]), {}),
    "noiseless end": (network(), TARGET, {"sampler": "renoise", "noiseless_end": True, "n": 1 << 12}),
}


@pytest.mark.parametrize("direction", [MODEL_DATA, DATA_MODEL])
@pytest.mark.parametrize("case", CASES)
def test_every_estimate_is_whole(case, direction):
    f, target, choices = CASES[case]
    first, again = (kl(f, target, GRID, seed=1, direction=direction, **choices) for _ in range(2))
    assert repr(first) == repr(again)
    assert first.estimator in ESTIMATORS
    assert first.direction == direction
    assert first.delta == GRID.delta
    assert first.floor >= 0
    assert first.trusted or first.note
    if first.trusted:
        assert math.isfinite(first.value)
        assert first.low <= first.value <= first.high
    assert not first.note or first.note.endswith(".")


def made(value, low, high, *, trusted=True):
    return Estimate(value, low, high, MODEL_DATA, 0.0, "change_of_variables", 100, 0.0, trusted, "why")


def test_n5_an_estimate_below_zero_is_zero_with_an_interval_above():
    found = made(-0.01, -0.03, 0.02)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.03)
    assert found.diagnostics["unclipped"] == -0.01
    assert made(0.01, -0.02, 0.04).low == 0.0


@pytest.mark.parametrize(
    ("value", "low", "high", "trusted"),
    [
        (2.0, 0.0, 1.0, False),
        (0.5, 0.6, 1.0, False),
        (-math.inf, 0.0, math.inf, False),
        (0.5, math.nan, 1.0, False),
        (0.5, 0.0, math.inf, True),
        (math.inf, 0.0, math.inf, True),
        (math.nan, 0.0, 1.0, True),
    ],
)
def test_n5_no_estimate_outside_its_interval_and_no_trusted_infinity(value, low, high, trusted):
    with pytest.raises(ValueError, match=r"estimate"):
        made(value, low, high, trusted=trusted)


def test_every_estimator_says_what_it_is():
    for estimator in ESTIMATORS.values():
        assert estimator.label
        assert estimator.description.endswith(".")


def test_no_density_no_number():
    atoms = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.0)
    with pytest.raises(NoDensity, match="δ > 0"):
        kl(lambda x, t, s: x, atoms, make_grid("uniform_angle", 2, horizon=3.0, delta=0.0), seed=0)


def test_data_beyond_the_support_is_infinitely_far():
    """A box has density 0 outside; a Gaussian model leaves it."""
    box = make_target("checkerboard")
    estimate = kl(network(), box, make_grid("uniform_angle", 1, horizon=3.0, delta=0.0), seed=0, direction=MODEL_DATA)
    assert estimate.value == math.inf
    assert not estimate.trusted
    assert estimate.note


def test_noise_too_fine_for_the_grid_is_refused():
    chain = make_chain(make_grid("uniform_angle", 2, horizon=3.0, delta=1e-5), sampler="renoise")
    with pytest.raises(ValueError, match="larger δ"):
        kl_convolution_grid(network(), TARGET, chain, seed=0)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_weighted_noise_is_standard_normal(dim):
    noise, weight = weighted_noise(20_000, dim, seed=0)
    x, w = noise.flatten(0, 1), weight.flatten()
    assert float(w.mean()) == pytest.approx(1, abs=0.01)
    assert torch.allclose((w[:, None] * x).mean(0), torch.zeros(dim, dtype=x.dtype), atol=0.03)
    assert torch.allclose((w[:, None] * x).T @ x / len(x), torch.eye(dim, dtype=x.dtype), atol=0.05)
    assert float((w * x[:, 0] ** 4).mean()) == pytest.approx(3, abs=0.25)


def test_noise_of_a_pilot_is_standard_normal():
    """Drawn more often on a tear and weighted back: the moments stay, and no weight exceeds 1/0.3."""

    def tearing(x, t, s):
        return x + 2 * torch.tanh(50 * x)

    corners = GaussianMixture([0.25] * 4, [[-2.5, -2.5], [-2.5, 2.5], [2.5, -2.5], [2.5, 2.5]], 0.4)
    drawn = pilot(ComposedMap(tearing, make_grid("uniform_angle", 1, horizon=3.0, delta=0.0)), corners)
    noise, weight = weighted_noise(40_000, 2, seed=0, warp=drawn.draw)
    x, w = noise.flatten(0, 1), weight.flatten()
    assert float(drawn.weight.max()) <= 1 / 0.3
    assert float((x.abs().amin(1) < 0.05).double().mean()) > 0.2  # under N(0, I) it is 0.08
    assert float(w.mean()) == pytest.approx(1, abs=0.01)
    assert torch.allclose((w[:, None] * x).mean(0), torch.zeros(2, dtype=x.dtype), atol=0.03)
    assert torch.allclose((w[:, None] * x).T @ x / len(x), torch.eye(2, dtype=x.dtype), atol=0.05)


def test_a_pilot_of_a_map_of_no_numbers_draws_evenly():
    broken = pilot(ComposedMap(lambda x, t, s: x * float("nan"), GRID), TARGET)
    noise, weight = weighted_noise(4096, 2, seed=0, warp=broken.draw)
    assert bool(torch.isfinite(noise).all())
    assert bool(torch.isfinite(weight).all())


def test_the_control_variate_of_both_laws_sees_mass_that_no_data_is_near():
    """p = N(0, 1), q = 0.99 N(0.1, 1) + 0.01 N(20, 1), whose far part no sample of p is near: −log 0.99 + 0.1²/2."""
    p = GaussianMixture([1.0], [[0.0]], 1.0)
    q = GaussianMixture([0.99, 0.01], [[0.1], [20.0]], 1.0)
    truth, hits = 0.005 - math.log(0.99), 0
    for seed in range(40):
        data, model = (law.sample(4096, generator=stream(seed, name)) for law, name in ((p, "p"), (q, "q")))
        ratios = [q.log_prob(x) - p.log_prob(x) for x in (data, model)]
        plain = DataDraw(data, torch.zeros(4096, dtype=torch.long), torch.tensor([1 << 16]))
        mean = kl_at_data(plain, ratios[0], ratios[1][:, None], torch.ones(4096, 1, dtype=torch.float64))
        low, high = interval(mean)
        assert high - low < truth
        hits += low <= truth <= high
    assert hits >= 34


def test_samples_by_strata_are_samples_of_the_data():
    """Whatever the score: means over strata are those of plain samples, and intervals of them hold their level.

    Scores that are equal for some and not for others, as where a map is the identity on most of its domain, gave those
    with the same score to strata by their number, and a bias of three errors.
    """
    scores = (
        lambda x: x[:, 0] ** 3,
        lambda x: torch.full((len(x),), float("nan"), dtype=x.dtype),
        lambda x: x[:, 0].clamp(max=0.4),
    )
    for score in scores:
        hits = 0
        for seed in range(60):
            data = draw_data(PAIR, 0.1, 400, seed=seed, score=score)
            assert float(data.weight.mean()) == pytest.approx(1, abs=1e-9)
            mean = data.mean(data.points[:, 0])
            hits += abs(mean.value - 0.4 * math.exp(-0.1)) < 2 * mean.error
        assert hits >= 53


class Shifted(FlowMap):
    """A map that jumps in a way of its own, which tangents of a flow map know nothing of."""

    def forward(self, x, t, s):
        return super().forward(x.sin(), t, s)


@pytest.mark.parametrize("kind", [FlowMap, Shifted])
@pytest.mark.parametrize("experts", [1, 5])
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_jacobians_are_those_of_autograd(dim, experts, kind):
    config = NetworkConfig(width=16, depth=2, experts=experts)
    f = kind(dim, config, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(5, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y, jacobian = with_jacobian(f, x, 1.0, 0.4)
    torch.testing.assert_close(y, f(x, 1.0, 0.4).detach())
    for i in range(5):
        expected = torch.autograd.functional.jacobian(lambda u: f(u[None], 1.0, 0.4)[0], x[i])
        torch.testing.assert_close(jacobian[i], expected)
    with pytest.raises(ValueError, match="back in time"):
        with_jacobian(f, x, 0.4, 1.0)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_log_volumes_add_up_along_the_chain(dim):
    """For linear jumps the density is that of a Gaussian."""
    matrix = torch.eye(dim, dtype=torch.float64) * 0.5 + 0.1
    noise = torch.randn(7, dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    branch = push_forward(lambda x, t, s: x @ matrix.T, noise, GRID)
    whole = matrix @ matrix
    law = torch.distributions.MultivariateNormal(torch.zeros(dim, dtype=torch.float64), whole @ whole.T)
    torch.testing.assert_close(branch.log_density, law.log_prob(branch.points))


def test_off_mode_mass_of_the_truth_is_its_floor():
    for delta in (0.0, 0.05):
        level, floor = density_level(TARGET, delta)
        assert floor == pytest.approx(math.exp(-8), rel=0.5)
        exact = TARGET.sample(100_000, t=delta, generator=stream(1, "exact"))
        assert off_mode_mass(TARGET, TARGET.log_prob(exact, delta), delta=delta) == pytest.approx(floor, abs=3e-4)
        outside = TARGET.log_prob(torch.zeros(10, 2, dtype=torch.float64), delta)
        assert off_mode_mass(TARGET, outside, delta=delta) == 1
        assert level < 0


def test_the_four_sd_disc_is_the_region_of_one_gaussian():
    """log p is −log 2π minus an exponential variable: its quantile from n samples has the spread 1/√(n e^{-8})."""
    gaussian = GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    level, floor = density_level(gaussian, 0.0)
    spread = math.exp(4) / math.sqrt(100_000)
    assert level == pytest.approx(-math.log(2 * math.pi) - 8, abs=4 * spread)
    beyond = 2 * math.pi * math.exp(level)
    assert floor == pytest.approx(beyond, abs=4 * math.sqrt(beyond / 100_000))


@pytest.mark.cuda
@pytest.mark.parametrize("sampler", ["deterministic", "renoise"])
def test_a_map_on_the_gpu_gets_the_same_estimate(sampler):
    here, there = (kl(f, TARGET, GRID, sampler=sampler, seed=0, n=1 << 14) for f in (network(), network().cuda()))
    assert there.value == pytest.approx(here.value, rel=1e-3, abs=1e-4)
