"""Laws over every registered objective: the exact map has no loss, and every batch is a function of its stream."""

import pytest
import torch
from torch import nn

from cmcore.config import NetworkConfig
from cmcore.flow import ExactFlow
from cmcore.model import FlowMap
from cmcore.objectives import OBJECTIVES, Source, make_objective
from cmcore.process import time_from_angle
from cmcore.streams import stream
from cmcore.targets import GaussianMixture

GAUSSIAN = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.4, 0.1], [0.1, 0.3]]], name="gaussian")
SMALL = {"trajectory_regression": {"trajectories": 500, "levels": 17}}


@pytest.fixture(params=list(OBJECTIVES))
def objective(request):
    return make_objective(request.param, **SMALL.get(request.param, {}))


def prepared(objective, seed=0):
    return objective.prepare(Source(GAUSSIAN, 3.0, 0.0, torch.device("cpu"), stream(seed, "objective")))


class ExactMap(FlowMap):
    """The exact map of the Gaussian, in the form of a FlowMap: F* = (cos Δ x − Φ)/sin Δ."""

    def __init__(self):
        super().__init__(2, NetworkConfig(width=4, depth=1), generator=stream(0, "unused"))
        self.flow = ExactFlow(GAUSSIAN)
        self.shift = nn.Parameter(torch.zeros(2))

    def direction(self, x, theta, gap, *, for_weights=False):
        x, theta, gap = x.double(), theta.double().expand(len(x), 1), gap.double().expand(len(x), 1)
        t, s = time_from_angle(theta)[:, 0], time_from_angle((theta - gap).clamp_min(0.0))[:, 0]
        return ((gap.cos() * x - self.flow(x, t, s)) / gap.sin()).float() + self.shift


def test_the_exact_map_has_zero_loss_and_zero_gradient(objective):
    exact = ExactMap()
    batches = list(objective.batches(prepared(objective), 4, 256, generator=stream(0, "batches")))
    loss = torch.stack([objective.loss(exact, batch) for batch in batches]).mean()
    loss.backward()
    assert float(loss.detach()) < 1e-7
    assert float(exact.shift.grad.abs().max()) < 1e-3
    exact.shift.data += 0.1
    assert float(objective.loss(exact, batches[0]).detach()) > 1e-3


def test_batches_depend_on_their_stream_alone(objective):
    pool = prepared(objective)
    torch.manual_seed(1)
    first = list(objective.batches(pool, 3, 32, generator=stream(0, "batches 0")))
    torch.manual_seed(2)
    again = list(objective.batches(pool, 3, 32, generator=stream(0, "batches 0")))
    other = list(objective.batches(pool, 3, 32, generator=stream(0, "batches 1")))
    for a, b, c in zip(first, again, other, strict=True):
        assert all(torch.equal(u, v) for u, v in zip(a, b, strict=True))
        assert not torch.equal(a[0], c[0])


def test_an_unknown_parameter_is_named(objective):
    with pytest.raises(ValueError, match="has no parameter nonsense"):
        make_objective("trajectory_regression", nonsense=1)


def test_pairs_are_ordered_and_cover_all_levels():
    objective = make_objective("trajectory_regression", trajectories=50, levels=5, to_data=0.2, from_noise=0.2)
    pool = prepared(objective)
    (batch,) = objective.batches(pool, 1, 4000, generator=stream(0, "pairs"))
    assert bool((batch.gap > 0).all())
    pairs = {(round(float(a), 4), round(float(b), 4)) for a, b in zip(batch.theta, batch.gap, strict=True)}
    assert len(pairs) == 10  # 5 · 4 / 2
    to_data = float((batch.gap == batch.theta - pool.angles[-1]).float().mean())
    assert to_data == pytest.approx(0.2 + 0.8 * 0.4, abs=0.05)  # 4 of the 10 pairs end at the last level
