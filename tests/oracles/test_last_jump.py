"""Oracles of the KL through last jumps without noise: closed forms of Gaussians, other estimators, a KL of zero."""

import math

import pytest
import torch

from cmcore.chain import make_chain, with_jacobian
from cmcore.config import NetworkConfig
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl, kl_of_chain, kl_through_last_jump
from cmcore.divergences.tools.plane_transport import PlaneTransport
from cmcore.flow import ExactFlow
from cmcore.grids import custom
from cmcore.model import FlowMap
from cmcore.samplers import ddim
from cmcore.targets import GaussianMixture, make_target

GAUSSIAN = GaussianMixture([1.0], [[0.5, -0.3]], 0.3, name="one blob")


def test_the_transport_has_the_density_of_the_mixture_in_its_tails_too():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(30, 40, generator=generator, dtype=torch.float64) ** 8
    axes = (torch.linspace(-2, 2, 30, dtype=torch.float64), torch.linspace(-2.7, 2.7, 40, dtype=torch.float64))
    transport = PlaneTransport(axes, weights, 0.6**2)
    noise = 1.3 * torch.randn(500, 2, generator=generator, dtype=torch.float64)
    points, jacobian = with_jacobian(lambda x, t, s: transport(x), noise, 0.0, 0.0)
    log_q = -noise.square().sum(1) / 2 - math.log(2 * math.pi) - torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(log_q, transport.log_prob(points), rtol=0, atol=1e-9)
    step = 1e-5 * torch.eye(2, dtype=torch.float64)
    differences = torch.stack([(transport(noise + h) - transport(noise - h)) / 2e-5 for h in step], dim=2)
    torch.testing.assert_close(jacobian, differences, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("direction", [MODEL_DATA, DATA_MODEL])
def test_o8_multistep_consistency_sampling_has_the_kl_of_its_closed_form(direction):
    def f(x, t, s):
        return 1.05 * ExactFlow(GAUSSIAN)(x, t, s)

    chain = make_chain(custom([3.0, 1.0, 0.3, 0.0]), sampler="one_time")
    truth = kl_of_chain(f, GAUSSIAN, chain, seed=0, direction=direction)
    assert truth.estimator == "gaussian"
    found = kl_through_last_jump(f, GAUSSIAN, chain, seed=0, direction=direction, n=1 << 13)
    assert found.trusted
    assert found.low <= truth.value <= found.high


@pytest.mark.slow
@pytest.mark.parametrize("direction", [MODEL_DATA, DATA_MODEL])
def test_o8_multistep_sampling_of_a_mixture_agrees_with_quadrature(direction):
    target = make_target("product_of_mixtures", dim=2, case="off_centre", sd=0.5)
    chain = make_chain(custom([3.0, 0.8, 0.3, 0.05]), sampler="one_time", earliest=0.05)
    f = ddim(target.score)
    truth = kl_of_chain(f, target, chain, seed=0, direction=direction)
    assert truth.estimator == "product"
    estimates = [
        kl_through_last_jump(f, target, chain, seed=seed, direction=direction, n=1 << 10) for seed in range(1, 6)
    ]
    covered = [estimate.low <= truth.value <= estimate.high for estimate in estimates]
    assert sum(covered) >= 3, "of five 95 % intervals two or fewer hold in one case of a thousand"
    assert all(estimate.high - estimate.low < truth.value for estimate in estimates)


def test_o8_a_learned_one_time_map_has_a_number():
    config = NetworkConfig(width=16, depth=2)
    network = FlowMap(2, config, generator=torch.Generator().manual_seed(0))
    grid = custom([3.0, 1.0, 0.0])
    estimate = kl(network, GAUSSIAN, grid, sampler="one_time", seed=0, n=4096, direction=MODEL_DATA)
    assert estimate.estimator == "last_jump"
    assert math.isfinite(estimate.value)
