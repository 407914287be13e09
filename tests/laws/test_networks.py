"""Laws of the network: explicit tangents are the derivative, fast paths are the plain one, members are networks."""

from functools import partial

import pytest
import torch
from torch.func import functional_call

from cmcore.config import NetworkConfig
from cmcore.networks import Features, Perceptron
from cmcore.streams import stream

CONFIG = NetworkConfig(space_frequencies=(1.0, 2.0), time_frequencies=(1.0, 2.0, 4.0))
MEMBERS = pytest.mark.parametrize("members", [None, 1, 3])


def network(members, device="cpu", dtype=torch.float64, width=16):
    """Features, a perceptron of three hidden layers and where it is evaluated, with a direction."""
    features = Features(2, CONFIG).to(device, dtype)
    seeds = [stream(i, "weights") for i in range(members or 1)]
    perceptron = Perceptron([features.width, *[width] * 3, 2], generator=seeds if members else seeds[0])
    lead = (members, 40) if members else (40,)
    draw = partial(torch.randn, generator=stream(0, "points"), dtype=torch.float64)
    point = draw(*lead, 2), draw(*lead, 1), draw(*lead, 1)
    direction = draw(*lead, 2), draw(*lead, 1), draw(*lead, 1)
    on_device = [tuple(v.to(device, dtype) for v in vectors) for vectors in (point, direction)]
    return features, perceptron.to(device, dtype), *on_device


def by_func(features, perceptron, point, direction, parameters=None):
    """The value and the derivative along the direction, by forward-mode automatic differentiation."""
    parameters = parameters or dict(perceptron.named_parameters())
    return torch.func.jvp(lambda *v: functional_call(perceptron, parameters, (features(*v),)), point, direction)


def objective(outputs, uses):
    """Some nonlinear function of the outputs that are used."""
    value, tangent = outputs
    terms = {"value": value.sin(), "tangent": tangent.cos(), "both": value.sin() * tangent.cos()}
    return terms[uses].sum()


@MEMBERS
def test_tangents_are_the_derivative(members, device):
    features, perceptron, point, direction = network(members, device)
    expected = by_func(features, perceptron, point, direction)
    inputs = features.with_tangent(*point, *direction)
    torch.testing.assert_close(inputs, torch.func.jvp(features, point, direction), rtol=0, atol=1e-12)
    for tape in (True, False):
        for through in (True, False):
            with torch.set_grad_enabled(tape):
                outputs = perceptron.dual(*inputs, torch.float64, through_tangent=through)
            assert [out.requires_grad for out in outputs] == [tape, tape and through]
            torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("config", [CONFIG, NetworkConfig(space_frequencies=(), time_frequencies=(1.0,))])
def test_features_are_the_sines_and_cosines(config):
    """Saved weights belong to this order."""
    x, theta, gap = (torch.randn(5, w, dtype=torch.float64, generator=stream(2, "x")) for w in (2, 1, 1))
    space = torch.cat([x[:, i : i + 1] * torch.tensor(config.space_frequencies) for i in range(2)], dim=1)
    time = torch.cat([angle * torch.tensor(config.time_frequencies) for angle in (theta, gap)], dim=1)
    expected = torch.cat((x, space.sin(), space.cos(), time.sin(), time.cos()), dim=1)
    features = Features(2, config).double()
    torch.testing.assert_close(features(x, theta, gap), expected, rtol=0, atol=1e-12)
    assert features.width == expected.shape[1]


@pytest.mark.parametrize("lead", [(), (3,)])
def test_directions_may_be_numbers(lead):
    features = Features(2, CONFIG).double()
    x, theta, gap = (torch.randn(*lead, 5, w, dtype=torch.float64, generator=stream(1, "x")) for w in (2, 1, 1))
    found = features.with_tangent(x, theta, gap, None, 1.0, torch.full((1, 1), -0.5, dtype=torch.float64))
    direction = torch.zeros_like(x), torch.ones_like(theta), torch.full_like(gap, -0.5)
    torch.testing.assert_close(found, torch.func.jvp(features, (x, theta, gap), direction), rtol=0, atol=1e-12)


@MEMBERS
@pytest.mark.parametrize("uses", ["value", "tangent", "both"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_gradients_are_those_of_the_tape(members, uses, accumulate, device):
    features, perceptron, point, direction = network(members, device)
    parameters = list(perceptron.parameters())
    loss = objective(by_func(features, perceptron, point, direction), uses)
    expected = torch.autograd.grad(loss, parameters, allow_unused=True)
    before = [torch.randn_like(p) if accumulate else None for p in parameters]
    for p, start in zip(parameters, before, strict=True):
        p.grad = None if start is None else start.clone()
    inputs = features.with_tangent(*point, *direction)
    objective(perceptron.dual(*inputs, torch.float64, through_tangent=True), uses).backward()
    for p, added, start in zip(parameters, expected, before, strict=True):
        total = (torch.zeros_like(p) if added is None else added) + (0 if start is None else start)
        torch.testing.assert_close(p.grad, total, rtol=1e-10, atol=1e-10)


@MEMBERS
@pytest.mark.parametrize("uses", ["value", "both"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_pulled_back_gradients_are_those_of_the_tape(members, uses, accumulate, device):
    features, perceptron, point, direction = network(members, device)
    parameters, through = list(perceptron.parameters()), uses == "both"
    outputs = by_func(features, perceptron, point, direction)
    expected = torch.autograd.grad(objective(outputs, uses), parameters)
    for p in parameters:
        p.grad = torch.ones_like(p) if accumulate else None
    inputs = features.with_tangent(*point, *direction)
    *found, pull_back = perceptron.pulled(*inputs, torch.float64, through_tangent=through)
    torch.testing.assert_close(tuple(found), outputs, rtol=0, atol=1e-12)
    leaves = [out.requires_grad_() for out in found]
    pull_back(*torch.autograd.grad(objective(leaves, uses), leaves[: 1 + through]))
    for p, added in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.grad, added + accumulate, rtol=1e-10, atol=1e-10)


@MEMBERS
def test_a_tangent_that_is_a_constant_gives_the_gradients_of_the_value(members, device):
    features, perceptron, point, direction = network(members, device)
    parameters = list(perceptron.parameters())
    value, tangent = by_func(features, perceptron, point, direction)
    expected = torch.autograd.grad(objective((value, tangent.detach()), "both"), parameters)
    outputs = perceptron.dual(*features.with_tangent(*point, *direction), torch.float64, through_tangent=False)
    found = torch.autograd.grad(objective(outputs, "both"), parameters)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@MEMBERS
def test_the_fast_value_is_the_plain_one(members, device):
    features, perceptron, point, _ = network(members, device)
    h, parameters = features(*point), list(perceptron.parameters())
    plain, fast = perceptron(h), perceptron.for_weights(h, torch.float64)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(out.sin().sum(), parameters) for out in (fast, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(perceptron.for_weights(h, torch.float64), fast, rtol=0, atol=1e-12)


@pytest.mark.parametrize("through", [False, True])
def test_gradients_dropped_between_the_passes_start_again_from_zero(through):
    features, perceptron, point, direction = network(None)
    inputs = features.with_tangent(*point, *direction)
    found = []
    for drop in (False, True):
        for p in perceptron.parameters():
            p.grad = torch.ones_like(p) if drop else torch.zeros_like(p)
        outputs = perceptron.dual(*inputs, torch.float64, through_tangent=through)
        if drop:
            perceptron.zero_grad()
        objective(outputs, "both").backward()
        found.append([p.grad for p in perceptron.parameters()])
    torch.testing.assert_close(*found)


def test_members_are_the_networks_of_their_generators():
    widths, seeds = [5, 8, 8, 2], range(3)
    together = Perceptron(widths, generator=[stream(i, "weights") for i in seeds])
    alone = [Perceptron(widths, generator=stream(i, "weights")) for i in seeds]
    assert together.members == 3
    assert alone[0].members is None
    assert list(together.state_dict()) == list(alone[0].state_dict())
    for i, one in enumerate(alone):
        for name, p in one.state_dict().items():
            assert torch.equal(together.state_dict()[name][i], p)
    h = torch.randn(3, 20, 5, generator=stream(0, "h"))
    torch.testing.assert_close(together(h), torch.stack([one(part) for one, part in zip(alone, h, strict=True)]))


def test_weights_are_torch_s_own_default():
    """Saved runs are repeated from their seeds: the draws are those of torch's linear layers, in their order."""
    generator, same = stream(0, "weights"), stream(0, "weights")
    perceptron = Perceptron([5, 8, 2], generator=generator)
    assert list(perceptron.state_dict()) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    for p, fan_in in zip(perceptron.parameters(), (5, 5, 8, 8), strict=True):
        assert torch.equal(p, torch.empty_like(p).uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=same))


@MEMBERS
@pytest.mark.parametrize("through", [False, True])
def test_bfloat16_products_change_results_by_rounding(members, through):
    answers = []
    for dtype, matmul_dtype in ((torch.float64, torch.float64), (torch.float32, torch.bfloat16)):
        features, perceptron, point, direction = network(members, dtype=dtype, width=64)
        inputs = features.with_tangent(*point, *direction)
        outputs = perceptron.dual(*inputs, matmul_dtype, through_tangent=through)
        assert {out.dtype for out in outputs} == {dtype}
        gradients = torch.autograd.grad(objective(outputs, "both"), list(perceptron.parameters()))
        assert {g.dtype for g in gradients} == {dtype}
        answers.append([*(out.detach() for out in outputs), torch.cat([g.reshape(-1) for g in gradients])])
    for exact, rounded in zip(*answers, strict=True):
        assert float((rounded - exact).norm() / exact.norm()) < 0.03
