r"""The network inside a flow map: a multilayer perceptron on features of (x, θ_t, θ_s).

Derivatives along a direction, as the objectives need them, are propagated explicitly beside the values: that is exact,
and several times faster than forward-mode automatic differentiation under a backward pass.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from cmcore.config import NetworkConfig
from cmcore.runtime import exact_float32, linear

PullBack = Callable[..., None]
"""Takes gradients of a network's outputs to its weights, adding them to `.grad`: once, and for the last outputs."""


class Features(nn.Module):
    r"""Input features: x, sin and cos of multiples of x, and of multiples of θ_t and of θ_t − θ_s.

    Smooth periodic features of the angles let one small network serve every pair of times; those of x let it place
    the sharp boundaries between the basins of far-away modes.
    """

    source: Tensor
    multiple: Tensor
    quarter: Tensor
    partner: Tensor
    sign: Tensor

    def __init__(self, dim: int, config: NetworkConfig) -> None:
        super().__init__()
        space = [(i, f) for i in range(dim) for f in config.space_frequencies]
        time = [(i, f) for i in (dim, dim + 1) for f in config.time_frequencies]
        waves = [(*wave, quarter) for waves in (space, time) for quarter in (0.0, 1.0) for wave in waves]
        source, multiple, quarter = zip(*waves, strict=True) if waves else ((), (), ())
        self.register_buffer("source", torch.tensor(source, dtype=torch.long), persistent=False)
        self.register_buffer("multiple", torch.tensor(multiple), persistent=False)
        self.register_buffer("quarter", torch.tensor(quarter), persistent=False)
        # The cosine of a phase is among the sines: of its partner a quarter of a turn away, with a sign.
        which = {wave: i for i, wave in enumerate(waves)}
        partner = [which[i, f, 1.0 - q] for i, f, q in waves]
        self.register_buffer("partner", torch.tensor(partner, dtype=torch.long), persistent=False)
        self.register_buffer("sign", 1 - 2 * self.quarter, persistent=False)
        self.width = dim + len(waves)

    def forward(
        self, x: Float[Tensor, "*m n d"], theta: Float[Tensor, "*m n 1"], gap: Float[Tensor, "*m n 1"]
    ) -> Float[Tensor, "*m n width"]:
        """Features of x, θ = θ_t and gap = θ_t − θ_s."""
        return torch.cat((x, self._phases(x, theta, gap).sin()), dim=-1)

    def with_tangent(  # noqa: PLR0917 - a point and a direction of three parts each
        self,
        x: Float[Tensor, "*m n d"],
        theta: Float[Tensor, "*m n 1"],
        gap: Float[Tensor, "*m n 1"],
        dx: Float[Tensor, "*k n d"] | None,
        dtheta: Tensor | float,
        dgap: Tensor | float,
    ) -> tuple[Float[Tensor, "*m n width"], Float[Tensor, "*k n width"]]:
        """The features and their derivative along (dx, dtheta, dgap), or along several; dx None is zero."""
        dx = torch.zeros_like(x) if dx is None else dx
        dtheta, dgap = (
            d.expand_as(theta) if isinstance(d, Tensor) else torch.full_like(dx[..., :1], d) for d in (dtheta, dgap)
        )
        sines = self._phases(x, theta, gap).sin()
        tangent = self._multiples(dx, dtheta, dgap) * sines.index_select(-1, self.partner) * self.sign
        return torch.cat((x, sines), dim=-1), torch.cat((dx, tangent), dim=-1)

    def _multiples(self, x: Tensor, theta: Tensor, gap: Tensor) -> Tensor:
        return torch.cat((x, theta, gap), dim=-1).index_select(-1, self.source) * self.multiple

    def _phases(self, x: Tensor, theta: Tensor, gap: Tensor) -> Tensor:
        """What to take the sine of: a cosine is the sine a quarter of a turn on."""
        return torch.add(self._multiples(x, theta, gap), self.quarter, alpha=math.pi / 2)


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
        """Wh + b, member by member when there are any; exact to the dtype of h, however torch is set to multiply."""
        if h.dtype == torch.float32 and not exact_float32(h.device):
            return _affine(self.weight.double(), self.bias.double(), h.double()).to(h)
        if _derivatives_may_be_taken():
            return _affine(self.weight, self.bias, h)
        return linear(h, self.weight, self.bias)


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

    def for_weights(self, h: Float[Tensor, "*m n inputs"], matmul_dtype: torch.dtype) -> Float[Tensor, "*m n outputs"]:
        """The same outputs as one node of the tape, for first derivatives with respect to the weights alone.

        Matrix products before the last layer are taken in `matmul_dtype`; weights, sums and outputs keep their dtype.
        """
        layers = _Layers(self.layers, matmul_dtype)
        if not layers.tape:
            return _value(layers, h, None)[0]
        return _Value.apply(layers, h, None, *layers.tracked)[0]

    def dual(
        self,
        h: Float[Tensor, "*m n inputs"],
        tangent: Float[Tensor, "*k n inputs"],
        matmul_dtype: torch.dtype,
        *,
        through_tangent: bool,
    ) -> tuple[Float[Tensor, "*m n outputs"], Float[Tensor, "*k n outputs"]]:
        r"""The outputs and their derivative along `tangent`, or along several, as one node like :meth:`for_weights`.

        .. math:: z = Wh + b, \quad \dot z = W\dot h, \quad h' = \mathrm{silu}(z), \quad
                  \dot h' = \mathrm{silu}'(z)\,\dot z

        Without `through_tangent` the derivative is a constant to the tape, and a backward pass costs no more than that
        of the values alone.
        """
        layers = _Layers(self.layers, matmul_dtype)
        return (_Dual if through_tangent else _Value).apply(layers, h, tangent, *layers.tracked)

    @torch.no_grad()
    def pulled(
        self,
        h: Float[Tensor, "*m n inputs"],
        tangent: Float[Tensor, "*m n inputs"] | None,
        matmul_dtype: torch.dtype,
        *,
        through_tangent: bool = False,
    ) -> tuple[Tensor, Tensor | None, PullBack]:
        """What :meth:`for_weights` and :meth:`dual` answer, and how gradients of it reach the weights, without a tape.

        The pull-back takes a gradient of the outputs, and with `through_tangent` one of their derivative. Where the
        loss is known in closed form this saves the tape, at small batches a tenth of a step.
        """
        layers = _Layers(self.layers, matmul_dtype, tape=True)
        if through_tangent:
            assert tangent is not None
            backward, (value, along, saved) = _dual_backward, _dual(layers, h, tangent)
        else:
            backward, (value, along, saved) = _backward, _value(layers, h, tangent)

        @torch.no_grad()
        def pull_back(*gradients: Tensor) -> None:
            sums = backward(layers, saved, *gradients)
            if not layers.in_place:
                for p, gradient in zip(layers.parameters, sums, strict=True):
                    p.grad = gradient

        return value, along, pull_back


class _Layers:
    """The parameters of a perceptron as one node of the tape takes them.

    Gradients are added straight into `.grad` where all parameters have one, as a flat optimiser's views do: autograd's
    own way makes a tensor for each and copies it. The node then names only one parameter, to be on the tape at all.

    Attributes:
        tape: whether there will be a backward pass.
        parameters: weight and bias of each layer in turn.
        rounded: the same in the dtype of matrix products.
        in_place: whether gradients are added into `.grad`.
        tracked: the parameters that the node names.
    """

    def __init__(self, layers: Iterable[Any], matmul_dtype: torch.dtype, *, tape: bool | None = None) -> None:
        self.tape = torch.is_grad_enabled() if tape is None else tape
        self.parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
        self.matmul_dtype, self.dtype = matmul_dtype, self.parameters[0].dtype
        self.rounded = self.parameters if matmul_dtype == self.dtype else [p.to(matmul_dtype) for p in self.parameters]
        self.gradients = [p.grad for p in self.parameters]
        self.in_place = all(g is not None for g in self.gradients)
        self.tracked = self.parameters[:1] if self.in_place else self.parameters

    def hidden(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(weight, bias) of all layers but the last, rounded."""
        return zip(self.rounded[:-2:2], self.rounded[1:-2:2], strict=True)

    def last(self, h: Tensor) -> Tensor:
        """The last weights times h, unrounded; W hᵀ, whose rows are long, is twice as fast as h Wᵀ."""
        return (self.parameters[-2] @ h.to(self.dtype).mT).mT

    def plus_last_bias(self, sums: Tensor) -> Tensor:
        return sums + self.parameters[-1].unsqueeze(-2)

    def sums(self) -> list[Any]:
        """Where the gradients of the parameters are added up."""
        if not self.in_place:
            return [torch.zeros_like(p) for p in self.parameters]
        if self.parameters[0].grad is None:  # they were dropped since the forward pass
            for p, gradient in zip(self.parameters, self.gradients, strict=True):
                p.grad = gradient.zero_()
        return self.gradients


class _Value(torch.autograd.Function):
    """Values with a backward pass written out, and tangents, if any, as constants; the inputs get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, layers: _Layers, h: Tensor, tangent: Tensor | None, *_: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        value, tangent, saved = _value(layers, h, tangent)
        _keep(ctx, layers, saved)
        if tangent is not None:
            ctx.mark_non_differentiable(tangent)
        return value, tangent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _for_tape(ctx.layers, _backward(ctx.layers, ctx.saved_tensors, gradient))


class _Dual(torch.autograd.Function):
    """Values and tangents, both with gradients; the inputs get none."""

    @staticmethod
    def forward(ctx: Any, layers: _Layers, h: Tensor, tangent: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        value, tangent, saved = _dual(layers, h, tangent)
        _keep(ctx, layers, saved)
        return value, tangent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, dgradient: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        layers, saved = ctx.layers, ctx.saved_tensors
        if dgradient is None:
            assert gradient is not None
            of_values = [_halves(s)[0] if i % 3 == 0 else s for i, s in enumerate(saved) if i % 3 < 2]
            return _for_tape(layers, _backward(layers, of_values, gradient))
        gradient = torch.zeros_like(dgradient) if gradient is None else gradient
        return _for_tape(layers, _dual_backward(layers, saved, gradient, dgradient))


def _keep(ctx: Any, layers: _Layers, saved: list[Tensor]) -> None:
    """What a backward pass needs; nothing without a tape."""
    ctx.set_materialize_grads(False)
    if layers.tape:
        ctx.save_for_backward(*saved)
        ctx.layers = layers


def _for_tape(layers: _Layers, sums: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """What a node's backward pass returns: nothing for its inputs, nor for weights whose gradients are in place."""
    return (None, None, None, *([None] if layers.in_place else sums))


def _value(layers: _Layers, h: Tensor, tangent: Tensor | None) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Values, tangents and what a backward pass needs, h₀, silu'(z₁), h₁, silu'(z₂), h₂ and so on.

    With σ = sigmoid(z), silu' = h' + σ(1 − h').
    """
    h = h.to(layers.matmul_dtype)
    tangent = None if tangent is None else tangent.to(layers.matmul_dtype)
    saved, unit = [h], h.new_ones(())
    for weight, bias in layers.hidden():
        z = linear(h, weight, bias)
        if tangent is None and not layers.tape:
            h = nn.functional.silu(z, inplace=True)
            continue
        sigmoid = z.sigmoid()
        h = z.mul_(sigmoid)
        slope = torch.lerp(h, unit, sigmoid, out=sigmoid)
        if tangent is not None:
            tangent = linear(tangent, weight).mul_(slope)
        saved += [slope, h] if layers.tape else []
    return layers.plus_last_bias(layers.last(h)), None if tangent is None else layers.last(tangent), saved


def _backward(layers: _Layers, saved: Sequence[Tensor], gradient: Tensor) -> Sequence[Tensor]:
    """Add the weights' gradients, for one of the values, to their sums."""
    gradient = gradient.to(layers.matmul_dtype)
    sums = layers.sums()
    for k in range(len(sums) // 2 - 1, -1, -1):
        _add_gradients(sums[2 * k : 2 * k + 2], gradient, gradient, saved[2 * k])
        if k:
            gradient = linear(gradient, layers.rounded[2 * k].mT).mul_(saved[2 * k - 1])
    return sums


def _dual(layers: _Layers, h: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Values, tangents and what a backward pass needs; each product takes the two batches as one of 2n rows.

    With σ = sigmoid(z), silu'' ż = (1 − σ)(2ḣ' − h' ż).
    """
    pair = torch.cat((h, tangent), dim=-2).to(layers.matmul_dtype)
    saved, unit = [pair], pair.new_ones(())
    for weight, bias in layers.hidden():
        sums = linear(pair, weight)
        pair = torch.empty_like(sums)
        (z, dz), (h, dh) = _halves(sums), _halves(pair)
        sigmoid = z.add_(bias.unsqueeze(-2)).sigmoid()
        torch.mul(z, sigmoid, out=h)
        slope = torch.lerp(h, unit, sigmoid, out=z)
        torch.mul(dz, slope, out=dh)
        if layers.tape:
            half_curve = torch.addcmul(dh, h, dz, value=-0.5, out=dz)
            half_curve.addcmul_(half_curve, sigmoid, value=-1)
            saved += [slope, half_curve, pair]
    value, tangent = _halves(layers.last(pair))
    return layers.plus_last_bias(value), tangent.clone(), saved


def _dual_backward(layers: _Layers, saved: Sequence[Tensor], gradient: Tensor, dgradient: Tensor) -> Sequence[Tensor]:
    """Add the weights' gradients, for those of the values and of the tangents, to their sums."""
    pair = torch.cat((gradient, dgradient), dim=-2).to(layers.matmul_dtype)
    sums = layers.sums()
    for k in range(len(sums) // 2 - 1, -1, -1):
        _add_gradients(sums[2 * k : 2 * k + 2], pair, _halves(pair)[0], saved[3 * k])
        if k:
            pair = linear(pair, layers.rounded[2 * k].mT)
            g, dg = _halves(pair)
            slope, half_curve = saved[3 * k - 2 : 3 * k]
            g.mul_(slope).addcmul_(dg, half_curve, value=2)
            dg.mul_(slope)
    return sums


def _add_gradients(sums: Sequence[Tensor], gradient: Tensor, of_values: Tensor, h: Tensor) -> None:
    """Add a layer's gradients to those of its weight and bias."""
    weight, bias = sums
    bias.add_(of_values.sum(-2))
    if h.shape[-1] < gradient.shape[-1]:  # either order of the product will do, and longer rows are faster
        weight.add_(linear(h.mT, gradient.mT).mT)
    else:
        weight.add_(linear(gradient.mT, h.mT))


def _affine(weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    """Wh + b of a batch, or of each member's."""
    if weight.ndim == 2:
        return nn.functional.linear(h, weight, bias)
    return torch.baddbmm(bias[:, None], h, weight.mT)


def _derivatives_may_be_taken() -> bool:
    """Whether a tape is kept, a transform of functions is at work, or tangents may go along."""
    return torch.is_grad_enabled() or peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _halves(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """The two batches of a stack [..., 2n, w], as views."""
    n = stacked.shape[-2] // 2
    return stacked[..., :n, :], stacked[..., n:, :]
