"""Laws of a mixture of experts: one answer and one gradient by every way, and what one network cannot do."""

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.experts import Experts
from cmcore.model import FlowMap, count_weights
from cmcore.streams import stream

MEMBERS = pytest.mark.parametrize("members", [None, 3])


def made(members, experts=5):
    generators = stream(0, "weights") if members is None else [stream(i, "weights") for i in range(members)]
    f = FlowMap(2, NetworkConfig(width=16, depth=2, experts=experts), generator=generators).double()
    f.matmul_dtype = torch.float64
    return f


def points(members):
    """x, θ, gap, a direction, and two gradients."""
    shape, generator = (7, 2) if members is None else (members, 7, 2), stream(1, "points")
    draw = lambda *size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    theta = draw(*shape[:-1], 1).sigmoid()
    return draw(*shape), theta, theta / 2, draw(*shape), draw(*shape), draw(*shape)


def gradients(f):
    found = torch.cat([p.grad.reshape(-1) for p in f.parameters()])
    f.zero_grad()
    return found


@MEMBERS
def test_values_and_gradients_are_the_same_by_every_way(members):
    f, (x, theta, gap, _, pull, _) = made(members), points(members)
    plain = f.direction(x, theta, gap)
    plain.backward(pull)
    expected = gradients(f)
    taped = f.direction(x, theta, gap, for_weights=True)
    taped.backward(pull)
    torch.testing.assert_close(gradients(f), expected)
    found, pull_back = f.pulled_direction(x, theta, gap)
    pull_back(pull)
    torch.testing.assert_close(gradients(f), expected)
    torch.testing.assert_close(taped, plain)
    torch.testing.assert_close(found, plain.detach())


@MEMBERS
@pytest.mark.parametrize("through", [False, True])
def test_derivatives_and_their_gradients_are_those_of_automatic_differentiation(members, through):
    f, (x, theta, gap, dx, pull, pull_tangent) = made(members), points(members)
    motion = dx, torch.full_like(theta, 0.3), torch.full_like(gap, 0.2)
    value, tangent = torch.func.jvp(f.direction, (x, theta, gap), motion)
    ((value * pull).sum() + (tangent * pull_tangent).sum() * through).backward()
    expected = gradients(f)
    taped = f.direction_and_tangent(x, theta, gap, (dx, 0.3, 0.2), through_tangent=through)
    ((taped[0] * pull).sum() + (taped[1] * pull_tangent).sum() * through).backward()
    torch.testing.assert_close(gradients(f), expected)
    *found, pull_back = f.pulled_direction_and_tangent(x, theta, gap, (dx, 0.3, 0.2), through_tangent=through)
    pull_back(*(pull, pull_tangent)[: 1 + through])
    torch.testing.assert_close(gradients(f), expected)
    for ways in (taped, found):
        torch.testing.assert_close(ways, [value, tangent], check_stride=False, msg=str(through))


def test_members_are_the_maps_alone():
    together = made(3)
    x, theta, gap, *_ = points(3)
    answers = together.direction(x, theta, gap)
    for i in range(3):
        alone = FlowMap(2, together.config, generator=stream(i, "weights")).double()
        torch.testing.assert_close(alone.direction(x[i], theta[i], gap[i]), answers[i])


def test_one_expert_is_the_network_itself():
    assert torch.equal(*(torch.cat([p.reshape(-1) for p in made(None, experts).parameters()]) for experts in (None, 1)))


def test_an_answer_lies_between_those_of_the_experts_and_turns_from_one_to_the_other():
    experts = Experts(2, 1)
    logits = torch.linspace(-3, 3, 13)[:, None]
    answers = experts.mixed(torch.cat((logits, -logits, torch.ones(13, 1), -torch.ones(13, 1)), dim=1))
    assert bool((answers[1:] >= answers[:-1]).all())
    torch.testing.assert_close(answers[[0, 6, 12], 0], torch.tensor([-1.0, 0.0, 1.0]), rtol=0, atol=1e-5)


def test_weights_are_counted():
    config = NetworkConfig(width=16, depth=2, experts=5)
    f = FlowMap(3, config, generator=stream(0, "weights"))
    assert count_weights(3, config) == sum(p.numel() for p in f.parameters())
