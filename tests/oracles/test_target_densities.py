"""Densities and cdfs against other ways to compute them: torch.distributions, SciPy, and plain quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from cmcore.process import alpha, sigma
from cmcore.targets import BoxMixture, CircleMixture, GaussianMixture
from tests.laws.every_target import TARGETS

TIMES = (0.01, 0.2, 1.0, 4.0, 12.0)
X = 1.5 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def blur(t):
    time = torch.tensor(t, dtype=torch.float64)
    return alpha(time), sigma(time)


@pytest.mark.parametrize("t", TIMES)
def test_gaussian_mixture_against_torch_distributions(t):
    generator = torch.Generator().manual_seed(1)
    roots = torch.randn(4, 2, 2, generator=generator, dtype=torch.float64)
    covariances, means = roots @ roots.mT, torch.randn(4, 2, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    a, s = blur(t)
    blurred = MultivariateNormal(a * means, a**2 * covariances + s**2 * torch.eye(2, dtype=torch.float64))
    truth = MixtureSameFamily(Categorical(weights), blurred).log_prob(X)
    torch.testing.assert_close(GaussianMixture(weights, means, covariances).log_prob(X, t), truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", TIMES)
def test_circle_against_a_ring_of_atoms(t):
    """The trapezoidal rule on a periodic integrand is exact once the points lie closer than the blur."""
    phase = torch.arange(4000, dtype=torch.float64) * (math.tau / 4000)
    ring = torch.tensor([0.3, -0.2], dtype=torch.float64) + 1.2 * torch.stack([phase.cos(), phase.sin()], dim=1)
    atoms = GaussianMixture(torch.ones(4000), ring, 0.05**2)
    circle = CircleMixture([1], [[0.3, -0.2]], 1.2, 0.05)
    centre = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    a, _ = blur(t)
    for x in (X, a * centre):
        torch.testing.assert_close(circle.log_prob(x, t), atoms.log_prob(x, t), rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(circle.score(x, t), atoms.score(x, t), rtol=1e-8, atol=1e-8)


def quadrature_nodes(count=400):
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(nodes), torch.from_numpy(weights) / 2


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("width", [2.0, 0.3, 1e-3])
def test_interval_against_quadrature(t, width):
    """Uniform on [−w/2, w/2] + 0.4: densities, scores and both tails, out to 60 standard deviations."""
    box = BoxMixture([1], [[0.4 - width / 2]], [[0.4 + width / 2]])
    a, s = blur(t)
    nodes, weights = quadrature_nodes()
    u = a * (0.4 + width / 2 * nodes)
    x = torch.cat(
        [
            torch.linspace(-60, 60, 241, dtype=torch.float64) * s + a * 0.4,
            torch.tensor([0.1, 0.4, 1.6], dtype=torch.float64),
        ]
    )
    z = (x[:, None] - u) / s
    log_each = weights.log() - z**2 / 2 - s.log() - math.log(math.tau) / 2
    torch.testing.assert_close(box.log_prob(x[:, None], t), log_each.logsumexp(1), rtol=1e-9, atol=1e-9)
    score = -(log_each.softmax(1) * z).sum(1) / s
    torch.testing.assert_close(box.score(x[:, None], t)[:, 0], score, rtol=1e-8, atol=1e-8)
    for tail, sign in zip(box.log_tails(x, t), (1, -1), strict=True):
        truth = (weights.log() + torch.special.log_ndtr(sign * z)).logsumexp(1)
        torch.testing.assert_close(tail, truth, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["mixture on a line", "boxes on a line", "atoms on a line"])
def test_tails_are_integrals_of_the_density(name):
    target = TARGETS[name]
    for t in (0.05, 1.0):
        for x in (-1.2, 0.1, 1.4):

            def density(u, t=t):
                return float(target.log_prob(torch.tensor([[u]], dtype=torch.float64), t).exp())

            below, _ = integrate.quad(density, -12, x, points=[-1, 0, 0.2], limit=200, epsabs=1e-11)
            log_below, log_above = target.log_tails(torch.tensor([x], dtype=torch.float64), t)
            assert float(log_below.exp()) == pytest.approx(below, abs=1e-8)
            assert float(log_above.exp()) == pytest.approx(1 - below, abs=1e-8)


def test_boxes_at_time_zero_are_uniform():
    box = BoxMixture([1, 3], [[0, 0], [2, 0]], [[1, 2], [3, 1]])
    x = torch.tensor([[0.5, 0.5], [2.5, 0.5], [1.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(box.log_prob(x, 0.0).exp(), torch.tensor([0.125, 0.75, 0.0], dtype=torch.float64))
    line = TARGETS["boxes on a line"]
    below, above = line.log_tails(torch.tensor([-0.5, 0.25, 0.65], dtype=torch.float64), 0.0)
    torch.testing.assert_close(below.exp(), torch.tensor([1 / 6, 1 / 3, 2 / 3], dtype=torch.float64))
    torch.testing.assert_close(above.exp(), 1 - below.exp())


def test_samples_pass_a_kolmogorov_test():
    for name in ("mixture on a line", "boxes on a line", "atoms on a line"):
        target = TARGETS[name]
        x = target.sample(5000, generator=torch.Generator().manual_seed(4), t=0.1)[:, 0]
        below, _ = target.log_tails(x, 0.1)
        assert stats.kstest(below.exp().numpy(), "uniform").pvalue > 1e-3
