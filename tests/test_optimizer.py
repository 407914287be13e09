"""The optimiser of several members at once: each is trained as if it were alone."""

import pytest
import torch
from torch import nn

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.model import FlowMap
from cmcore.networks import Perceptron
from cmcore.optimizer import FlatOptimizer
from cmcore.schedule import moment
from cmcore.streams import stream

WIDTH, MEMBERS, STEPS = 12, 3, 30
VARIED = {"learning_rate": [1e-3, 5e-3, 2e-3], "matrix_learning_rate": [0.01, 0.03, 0.02], "average": [0.5, 0.9, 0.0]}


class Map(FlowMap):
    """What the optimiser asks of a flow map, and no more: of one seed, or of several."""

    def __init__(self, seeds, dtype, device):
        nn.Module.__init__(self)
        generator = stream(seeds, "weights") if isinstance(seeds, int) else [stream(i, "weights") for i in seeds]
        self.network = Perceptron([5, WIDTH, WIDTH, WIDTH, 2], generator=generator).to(device, dtype)
        self.matmul_dtype = dtype


def config(**choices):
    network = NetworkConfig(width=WIDTH, depth=3)
    numbers = {"learning_rate": 5e-3, "matrix_learning_rate": 3e-2, "average": 0.99, "warmup": 3}
    return TrainingConfig(**{"network": network, "steps": STEPS, **numbers, **choices})


def train(flow_map, optimizer, which, spoil=None):
    """STEPS updates towards a fixed function; `which` are the members' own points."""
    parameters = next(flow_map.parameters())
    points = torch.stack([torch.randn(20, 5, generator=stream(i, "points")) for i in which]).to(parameters)
    points = points if flow_map.network.members else points[0]
    for step in range(STEPS):
        loss = (flow_map.network.for_weights(points, flow_map.matmul_dtype) - points[..., :2].sin()).square().mean(-2)
        loss.sum().backward()
        if spoil is not None and step == STEPS // 2:
            flow_map.network.layers[1].weight.grad[spoil, 0, 0] = float("nan")
            flow_map.network.layers[0].weight.grad[spoil, 0, 0] = float("nan")
        optimizer.step(moment(optimizer.config, step, STEPS).factor, step)
    return optimizer


def together_and_alone(choice, varied, dtype=torch.float64, device="cpu"):
    """The optimiser of all members, and those of each trained alone with its own numbers."""
    flow_map = Map(range(MEMBERS), dtype, device)
    together = train(flow_map, FlatOptimizer(flow_map, choice, varied), range(MEMBERS))
    alone = []
    for i in range(MEMBERS):
        flow_map = Map(i, dtype, device)
        own = choice.model_copy(update={name: numbers[i] for name, numbers in varied.items()})
        alone.append(train(flow_map, FlatOptimizer(flow_map, own), [i]))
    return together, alone


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
@pytest.mark.parametrize("varied", [(), *[(name,) for name in VARIED], tuple(VARIED)], ids=" ".join)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_members_are_trained_as_if_alone(optimizer, varied, dtype, tolerance, device):
    choice = config(optimizer=optimizer)
    together, alone = together_and_alone(choice, {name: VARIED[name] for name in varied}, dtype, device)
    for i, one in enumerate(alone):
        found, expected = together.member_state(i), one.state()
        assert list(found) == list(expected)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
        one.load(found)
        for vector in ("weights", "average"):
            weights = together.named(getattr(together, vector))
            for name, value in one.named(getattr(one, vector)).items():
                torch.testing.assert_close(weights[name][i], value, rtol=tolerance, atol=tolerance)


def test_a_member_that_is_spoilt_spoils_no_other():
    results = []
    for spoil in (None, 1):
        flow_map = Map(range(MEMBERS), torch.float32, "cpu")
        results.append(train(flow_map, FlatOptimizer(flow_map, config(), VARIED), range(MEMBERS), spoil))
    for i in range(MEMBERS):
        sound, other = (result.member_state(i) for result in results)
        if i == 1:
            assert not torch.isfinite(other["weights"]).all()
        else:
            assert all(torch.equal(sound[name], other[name]) for name in sound)


def test_gradient_norms_are_those_of_each_member():
    flow_map = Map(range(MEMBERS), torch.float64, "cpu")
    optimizer = FlatOptimizer(flow_map, config())
    optimizer.gradients.copy_(torch.randn(len(optimizer.gradients), generator=stream(0, "gradients")))
    parts = optimizer.named(optimizer.gradients).values()
    expected = [torch.cat([part[i].reshape(-1) for part in parts]).norm() for i in range(MEMBERS)]
    torch.testing.assert_close(optimizer.gradient_norms(), torch.stack(expected))
    alone = FlatOptimizer(Map(0, torch.float64, "cpu"), config())
    alone.gradients.fill_(2.0)
    assert float(alone.gradient_norms()) == pytest.approx(2 * len(alone.gradients) ** 0.5)


def test_one_map_is_its_own_only_member():
    optimizer = FlatOptimizer(Map(0, torch.float32, "cpu"), config())
    assert all(torch.equal(optimizer.member_state(0)[name], value) for name, value in optimizer.state().items())


@pytest.mark.parametrize(
    ("varied", "words"),
    [({"warmup": [1.0, 2.0, 3.0]}, "cannot differ"), ({"average": [0.5, 0.9]}, "as many numbers as there are members")],
)
def test_what_cannot_vary_is_refused(varied, words):
    with pytest.raises(ValueError, match=words):
        FlatOptimizer(Map(range(MEMBERS), torch.float32, "cpu"), config(), varied)
