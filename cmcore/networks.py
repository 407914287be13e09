r"""The network inside a flow map: a multilayer perceptron on features of (x, θ_t, θ_s)."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.config import NetworkConfig

__all__ = ["Features", "make_network"]


class Features(nn.Module):
    r"""Input features: x, sin and cos of multiples of x, and of multiples of θ_t and of θ_t − θ_s.

    Smooth periodic features of the angles let one small network serve every pair of times; those of x let it place
    the sharp boundaries between the basins of far-away modes.
    """

    space: Tensor
    time: Tensor

    def __init__(self, dim: int, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("space", torch.tensor(config.space_frequencies), persistent=False)
        self.register_buffer("time", torch.tensor(config.time_frequencies), persistent=False)
        self.width = dim * (1 + 2 * len(config.space_frequencies)) + 4 * len(config.time_frequencies)

    def forward(
        self, x: Float[Tensor, "n d"], theta: Float[Tensor, "n 1"], gap: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n width"]:
        """Features of x, θ = θ_t and gap = θ_t − θ_s."""
        space = (x[:, :, None] * self.space).flatten(1)
        time = torch.cat((theta * self.time, gap * self.time), dim=1)
        return torch.cat((x, space.sin(), space.cos(), time.sin(), time.cos()), dim=1)


def make_network(dim: int, config: NetworkConfig, *, generator: torch.Generator) -> nn.Sequential:
    """Features → SiLU layers of `config.width` × `config.depth` → R^d, initialised from the generator alone."""
    features = Features(dim, config)
    widths = [features.width, *[config.width] * config.depth, dim]
    layers: list[nn.Module] = [features]
    for fan_in, fan_out in pairwise(widths):
        layers += [_linear(fan_in, fan_out, generator), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with U(−1/√fan_in, 1/√fan_in) weights and biases, torch's own default, from our generator."""
    layer = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")  # as skip_init does, its type known
    bound = fan_in**-0.5
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
