"""The whole idea on one page, without the engine: target, objective, training loop, sampler, and KL."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

MEANS, VARIANCE = torch.tensor([[-1.5, 0.0], [1.5, 0.0], [0.0, 1.5]]), 0.1
ANGLES = torch.linspace(math.acos(math.exp(-3.0)), 0, 129)  # times as angles, cos θ = e^{−t}: from T = 3 to data


def log_density(x: Tensor, theta: float) -> Tensor:
    """Log p of the target, a mixture, at noise level θ: means shrink by cos θ, and the variance grows to 1."""
    variance = VARIANCE * math.cos(theta) ** 2 + math.sin(theta) ** 2
    squares = (x[..., None, :] - math.cos(theta) * MEANS.to(x)).square().sum(-1)
    return torch.logsumexp(-squares / (2 * variance), -1) - math.log(len(MEANS) * 2 * math.pi * variance)


def velocity(x: Tensor, theta: float) -> Tensor:
    """The right side of the probability-flow ODE of dx = −x dt + √2 dW, in angle: dx/dθ = −(x + ∇ log p) tan θ."""
    return -(x + torch.func.grad(lambda points: log_density(points, theta).sum())(x)) * math.tan(theta)


def trajectories(noise: Tensor) -> Tensor:
    """States at the angles, [129, n, 2], by the midpoint rule."""
    states = [noise]
    for start, end in pairwise(ANGLES.tolist()):
        middle = states[-1] + (end - start) / 2 * velocity(states[-1], start)
        states.append(states[-1] + (end - start) * velocity(middle, (start + end) / 2))
    return torch.stack(states)


def jump(network: nn.Module, x: Tensor, theta: Tensor, gap: Tensor) -> Tensor:
    """The flow map from θ to θ − Δ along the ODE, as f = cos Δ · x − sin Δ · F(x, θ, Δ): the identity at Δ = 0."""
    return gap.cos() * x - gap.sin() * network(torch.cat([x, theta, gap], -1))


def train(steps: int, seed: int = 0, batch: int = 512, width: int = 128) -> nn.Module:
    """F by trajectory regression: f(x_t, t, s) = x_s on the exact trajectories of 10,000 points of noise."""
    torch.manual_seed(seed)
    hidden = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.SiLU())]
    network = nn.Sequential(nn.Linear(4, width), nn.SiLU(), *hidden, nn.Linear(width, 2))
    states = trajectories(torch.randn(10_000, 2))
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        start, which = torch.randint(128, (batch,)), torch.randint(10_000, (batch,))
        end = start + 1 + (torch.rand(batch) * (128 - start)).long()
        gap = (ANGLES[start] - ANGLES[end])[:, None]
        error = (jump(network, states[start, which], ANGLES[start, None], gap) - states[end, which]) / gap.sin()
        optimiser.zero_grad()
        error.norm(dim=-1).mean().backward()  # a norm, since a square would smooth the steep places of the map
        optimiser.step()
        schedule.step()
    return network


def sample(network: nn.Module, x: Tensor, jumps: int) -> Tensor:
    """N equal jumps in angle, a power of two, from noise to data."""
    for start, end in pairwise(ANGLES[:: 128 // jumps]):
        x = jump(network, x, start.expand_as(x[..., :1]), (start - end).expand_as(x[..., :1]))
    return x


def kl(network: nn.Module, jumps: int, n: int = 20_000, seed: int = 1) -> tuple[float, float]:
    """KL(model‖data) by change of variables, for a one-to-one map, and half of its 95 % interval."""
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    slopes = torch.func.vmap(torch.func.jacrev(lambda z: sample(network, z, jumps)))(z)
    log_q = -z.square().sum(1) / 2 - math.log(2 * math.pi) - slopes.det().abs().log()
    log_ratio = (log_q - log_density(sample(network, z, jumps), 0.0)).detach()
    return float(log_ratio.mean()), 1.96 * float(log_ratio.std()) / math.sqrt(n)


if __name__ == "__main__":
    trained = train(3_000)
    for jumps in (1, 2, 4, 8):
        print("{} jumps: KL {:.4f} ± {:.4f} nats".format(jumps, *kl(trained, jumps)))
