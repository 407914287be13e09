r"""The network inside a flow map: a multilayer perceptron on features of (x, θ_t, θ_s).

Derivatives along a direction, as the objectives need them, are propagated explicitly beside the values: that is exact,
and several times faster than forward-mode automatic differentiation under a backward pass.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmcore.config import NetworkConfig

__all__ = ["Affine", "Features", "Perceptron"]

silu_backward = torch.ops.aten.silu_backward


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
        self, x: Float[Tensor, "*m n d"], theta: Float[Tensor, "*m n 1"], gap: Float[Tensor, "*m n 1"]
    ) -> Float[Tensor, "*m n width"]:
        """Features of x, θ = θ_t and gap = θ_t − θ_s."""
        space, time = self._phases(x, theta, gap)
        return torch.cat((x, space.sin(), space.cos(), time.sin(), time.cos()), dim=-1)

    def with_tangent(  # noqa: PLR0917 - a point and a direction of three parts each
        self,
        x: Float[Tensor, "*m n d"],
        theta: Float[Tensor, "*m n 1"],
        gap: Float[Tensor, "*m n 1"],
        dx: Float[Tensor, "*m n d"] | None,
        dtheta: Tensor | float,
        dgap: Tensor | float,
    ) -> tuple[Float[Tensor, "*m n width"], Float[Tensor, "*m n width"]]:
        """The features and their derivative along (dx, dtheta, dgap); dx None is zero."""
        dx = torch.zeros_like(x) if dx is None else dx
        dtheta, dgap = (torch.as_tensor(d, dtype=x.dtype, device=x.device).expand_as(theta) for d in (dtheta, dgap))
        (space, time), (dspace, dtime) = self._phases(x, theta, gap), self._phases(dx, dtheta, dgap)
        sines, cosines = (space.sin(), time.sin()), (space.cos(), time.cos())
        features = torch.cat((x, sines[0], cosines[0], sines[1], cosines[1]), dim=-1)
        tangent = (dx, cosines[0] * dspace, -sines[0] * dspace, cosines[1] * dtime, -sines[1] * dtime)
        return features, torch.cat(tangent, dim=-1)

    def _phases(self, x: Tensor, theta: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """All multiples of x, and those of θ and gap; linear, so their tangents are the same function of tangents."""
        space = (x[..., None] * self.space).flatten(-2)
        return space, torch.cat((theta * self.time, gap * self.time), dim=-1)


class Affine(nn.Module):
    """h ↦ Wh + b, initialised with U(−1/√inputs, 1/√inputs), torch's own default, from the generators alone.

    Attributes:
        weight: [outputs, inputs], with members [S, outputs, inputs].
        bias: [outputs], with members [S, outputs].
    """

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator | Sequence[torch.Generator]) -> None:
        super().__init__()
        members = () if isinstance(generator, torch.Generator) else (len(generator),)
        self.weight = nn.Parameter(torch.empty(*members, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(*members, outputs))
        bound = inputs**-0.5
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                if isinstance(generator, torch.Generator):
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    for part, source in zip(parameter, generator, strict=True):
                        part.uniform_(-bound, bound, generator=source)

    def forward(self, h: Float[Tensor, "*m n inputs"]) -> Float[Tensor, "*m n outputs"]:
        """Wh + b, member by member when there are any."""
        if self.weight.ndim == 2:
            return nn.functional.linear(h, self.weight, self.bias)
        return _affine(self.weight, self.bias, h)


class Perceptron(nn.Module):
    """Affine layers with SiLU between them, initialised from the generator alone.

    Args:
        widths: the number of inputs, of units in each hidden layer, and of outputs.
        generator: source of the initial weights; a sequence of S of them makes S networks that are computed together,
            parameters and inputs then having a leading dimension S.

    Attributes:
        members: S, or None for a single network.
    """

    def __init__(self, widths: Sequence[int], *, generator: torch.Generator | Sequence[torch.Generator]) -> None:
        super().__init__()
        self.members = None if isinstance(generator, torch.Generator) else len(generator)
        self.layers = nn.ModuleList(Affine(a, b, generator) for a, b in pairwise(widths))

    def forward(self, h: Float[Tensor, "*m n inputs"]) -> Float[Tensor, "*m n outputs"]:
        """The layers one after the other; differentiable any number of times, in either mode."""
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)

    def for_weights(self, h: Float[Tensor, "*m n inputs"], products: torch.dtype) -> Float[Tensor, "*m n outputs"]:
        """The same outputs as one node of the tape, for first derivatives with respect to the weights alone.

        Matrix products before the last layer are taken in `products`; weights, sums and outputs keep their dtype.
        """
        return _Value.apply(torch.is_grad_enabled(), products, h, *self.parameters())  # pyright: ignore[reportReturnType]

    def dual(
        self,
        h: Float[Tensor, "*m n inputs"],
        tangent: Float[Tensor, "*m n inputs"],
        products: torch.dtype,
        *,
        through_tangent: bool,
    ) -> tuple[Float[Tensor, "*m n outputs"], Float[Tensor, "*m n outputs"]]:
        r"""The outputs and their derivative along `tangent`, as one node like :meth:`for_weights`.

        .. math:: z = Wh + b, \quad \dot z = W\dot h, \quad h' = \mathrm{silu}(z), \quad
                  \dot h' = \mathrm{silu}'(z)\,\dot z

        Without `through_tangent` the derivative is a constant to the tape, and a backward pass costs no more than that
        of the values alone.
        """
        tape = torch.is_grad_enabled()
        if through_tangent:
            return _Dual.apply(tape, products, h, tangent, *self.parameters())  # pyright: ignore[reportReturnType]
        return _ValueAndTangent.apply(tape, products, h, tangent, *self.parameters())  # pyright: ignore[reportReturnType]


class _Value(torch.autograd.Function):
    """A perceptron with its backward pass written out; the inputs get no gradient."""

    @staticmethod
    def forward(ctx: Any, tape: bool, products: torch.dtype, h: Tensor, *parameters: Tensor) -> Tensor:
        rounded = [p.to(products) for p in parameters[:-1]]
        h = h.to(products)
        saved = [h]
        for weight, bias in _layers(rounded[:-1]):
            z = _affine(weight, bias, h)
            h = nn.functional.silu(z)
            saved = [*saved, z, h] if tape else saved
        _keep(ctx, tape, parameters, rounded, saved)
        weight, bias = parameters[-2:]
        return _affine(weight, bias, h.to(weight.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (None, None, None, *_backward(ctx, ctx.saved_tensors, gradient))


class _ValueAndTangent(torch.autograd.Function):
    """The same with a tangent propagated beside the values, which gets and passes on no gradient."""

    @staticmethod
    def forward(
        ctx: Any, tape: bool, products: torch.dtype, h: Tensor, tangent: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        rounded = [p.to(products) for p in parameters[:-1]]
        h, tangent = h.to(products), tangent.to(products)
        saved = [h]
        for weight, bias in _layers(rounded[:-1]):
            z = _affine(weight, bias, h)
            h = nn.functional.silu(z)
            tangent = silu_backward(tangent @ weight.mT, z)
            saved = [*saved, z, h] if tape else saved
        _keep(ctx, tape, parameters, rounded, saved)
        weight, bias = parameters[-2:]
        tangent = tangent.to(weight.dtype) @ weight.mT
        ctx.mark_non_differentiable(tangent)
        return _affine(weight, bias, h.to(weight.dtype)), tangent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (None, None, None, None, *_backward(ctx, ctx.saved_tensors, gradient))


class _Dual(torch.autograd.Function):
    """Values and tangents, both with gradients; each product takes the two batches stacked as one of 2n rows."""

    @staticmethod
    def forward(
        ctx: Any, tape: bool, products: torch.dtype, h: Tensor, tangent: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        rounded = [p.to(products) for p in parameters[:-1]]
        pair = torch.cat((h, tangent), dim=-2).to(products)
        saved = [pair]
        for weight, bias in _layers(rounded[:-1]):
            sums = pair @ weight.mT
            pair = torch.empty_like(sums)
            (z, dz), (h, dh) = _halves(sums), _halves(pair)
            z += bias[..., None, :]
            torch.ops.aten.silu.out(z, out=h)
            torch.ops.aten.silu_backward.grad_input(dz, z, grad_input=dh)
            saved = [*saved, sums, pair] if tape else saved
        _keep(ctx, tape, parameters, rounded, saved)
        weight, bias = parameters[-2:]
        value, tangent = _halves(pair.to(weight.dtype) @ weight.mT)
        return value + bias[..., None, :], tangent.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, dgradient: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        if dgradient is None:
            assert gradient is not None
            return (None, None, None, None, *_backward(ctx, [_halves(s)[0] for s in saved], gradient))
        gradient = torch.zeros_like(dgradient) if gradient is None else gradient
        pair = torch.cat((gradient, dgradient), dim=-2).to(saved[0].dtype)
        gradients: list[Tensor | None] = []
        for k in reversed(range(len(ctx.parameters) // 2)):
            gradients += _add_gradients(ctx.parameters[2 * k : 2 * k + 2], pair, _halves(pair)[0], saved[2 * k])
            if k:
                pair = _dual_silu_backward(pair @ ctx.rounded[2 * k], saved[2 * k - 1])
        return (None, None, None, None, *reversed(gradients))


def _keep(ctx: Any, tape: bool, parameters: Sequence[Tensor], rounded: Sequence[Tensor], saved: list[Tensor]) -> None:
    """What a backward pass needs; nothing without a tape."""
    ctx.set_materialize_grads(False)
    if tape:
        ctx.save_for_backward(*saved)
        ctx.parameters, ctx.rounded = parameters, rounded


def _backward(ctx: Any, saved: Sequence[Tensor], gradient: Tensor) -> list[Tensor | None]:
    """Gradients of all parameters from that of the values; saved = [h₀, z₁, h₁, z₂, h₂, …]."""
    gradient = gradient.to(saved[0].dtype)
    gradients: list[Tensor | None] = []
    for k in reversed(range(len(ctx.parameters) // 2)):
        gradients += _add_gradients(ctx.parameters[2 * k : 2 * k + 2], gradient, gradient, saved[2 * k])
        if k:
            gradient = silu_backward(gradient @ ctx.rounded[2 * k], saved[2 * k - 1])
    return gradients[::-1]


def _dual_silu_backward(gradients: Tensor, sums: Tensor) -> Tensor:
    r"""Gradients of (z, ż) from those of silu(z) and silu'(z) ż: (g silu' + γ ż silu'', γ silu')."""
    result = torch.empty_like(gradients)
    (g, dg), (z, dz), (gz, gdz) = _halves(gradients), _halves(sums), _halves(result)
    torch.ops.aten.silu_backward.grad_input(g, z, grad_input=gz)
    torch.ops.aten.silu_backward.grad_input(dg, z, grad_input=gdz)
    sigmoid = z.sigmoid()
    second = sigmoid.mul(-2).add_(1).mul_(z).add_(2).mul_(dz).mul_(dg)  # silu'' = σ(1−σ) (2 + z (1−2σ))
    gz += torch.ops.aten.sigmoid_backward(second, sigmoid)
    return result


def _add_gradients(
    layer: Sequence[Tensor], gradient: Tensor, for_bias: Tensor, h: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of bias and weight; None each where they were added into `.grad`.

    A flat optimiser's gradients are there already: autograd's own way makes a tensor for each and copies it.
    """
    weight, bias = layer
    bias_gradient, weight_gradient = for_bias.sum(-2), gradient.mT @ h
    if weight.grad is None or bias.grad is None:
        return bias_gradient.to(bias.dtype), weight_gradient.to(weight.dtype)
    bias.grad.add_(bias_gradient)
    weight.grad.add_(weight_gradient)
    return None, None


def _affine(weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    """Wh + b of a batch, or of each member's."""
    if h.ndim == 2:
        return torch.addmm(bias, h, weight.T)
    return torch.baddbmm(bias[:, None], h, weight.mT)


def _halves(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """The two batches of a stack [..., 2n, w], as views."""
    n = stacked.shape[-2] // 2
    return stacked[..., :n, :], stacked[..., n:, :]


def _layers(parameters: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """(weight, bias) of each layer in turn."""
    return zip(parameters[::2], parameters[1::2], strict=True)
