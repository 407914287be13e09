r"""The network inside a flow map: a multilayer perceptron on features of (x, θ_t, θ_s)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmcore.config import NetworkConfig

__all__ = ["Features", "Perceptron"]


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


class Perceptron(nn.Module):
    """Linear layers with SiLU between them, initialised from the generator alone.

    Args:
        widths: the number of inputs, of units in each hidden layer, and of outputs.
        generator: source of the initial weights.
    """

    def __init__(self, widths: Sequence[int], *, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise(widths))

    def forward(self, h: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """The layers one after the other; differentiable any number of times, in either mode."""
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)

    def for_weights(self, h: Float[Tensor, "n inputs"], products: torch.dtype) -> Float[Tensor, "n outputs"]:
        """The same outputs as one node of the tape, for first derivatives with respect to the weights alone.

        Matrix products before the last layer are taken in `products`; weights, sums and outputs keep their dtype.
        """
        return _AsOneNode.apply(products, h, *self.parameters())  # pyright: ignore[reportReturnType]


class _AsOneNode(torch.autograd.Function):
    """A perceptron with its backward pass written out; the inputs get no gradient.

    Gradients are added straight into `.grad` where it exists, as a flat optimiser's views do: autograd's own way makes
    a tensor for each and copies it.
    """

    @staticmethod
    def forward(ctx, products: torch.dtype, h: Tensor, *parameters: Tensor) -> Tensor:  # noqa: ANN001
        rounded = [p.to(products) for p in parameters[:-2]]
        h = h.to(products)
        saved = [h]
        for weight, bias in _layers(rounded):
            z = torch.addmm(bias, h, weight.T)
            h = nn.functional.silu(z)
            saved += [z, h]
        ctx.save_for_backward(*saved)
        ctx.parameters, ctx.rounded = parameters, [*rounded, parameters[-2].to(products)]
        return torch.addmm(parameters[-1], h.to(parameters[-1].dtype), parameters[-2].T)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        gradient = gradient.to(saved[0].dtype)
        gradients: list[Tensor | None] = []
        for k in reversed(range(len(ctx.parameters) // 2)):
            weight, bias = ctx.parameters[2 * k : 2 * k + 2]
            gradients += _add_gradients(weight, bias, gradient, saved[2 * k])
            if k:
                gradient = torch.ops.aten.silu_backward(gradient @ ctx.rounded[2 * k], saved[2 * k - 1])
        return (None, None, *reversed(gradients))


def _add_gradients(weight: Tensor, bias: Tensor, gradient: Tensor, h: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of bias and weight; None each where they were added into `.grad`."""
    for_bias, for_weight = gradient.sum(0), gradient.T @ h
    if weight.grad is None or bias.grad is None:
        return for_bias.to(bias.dtype), for_weight.to(weight.dtype)
    bias.grad.add_(for_bias)
    weight.grad.add_(for_weight)
    return None, None


def _layers(parameters: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """(weight, bias) of each layer in turn."""
    return zip(parameters[::2], parameters[1::2], strict=True)


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with U(−1/√fan_in, 1/√fan_in) weights and biases, torch's own default, from our generator."""
    layer = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")  # as skip_init does, its type known
    bound = fan_in**-0.5
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
