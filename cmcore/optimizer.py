r"""The optimiser of a flow map: Muon on the hidden matrices, Adam on the rest, and an exponential average, all flat."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.config import TrainingConfig
from cmcore.model import FlowMap
from cmcore.runtime import view_as_slices
from cmcore.spikes import SpikeGuard


class BatchedMuon:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) on equal square matrices, all at once.

    The update is that of :class:`torch.optim.Muon`: Nesterov momentum, orthogonalised by five Newton–Schulz steps.
    torch takes the matrices one by one; together they cost a third, which for these networks is a fifth of a step.

    Args:
        weights: the matrices, [L, w, w], a view of the flat weights; updated in place.
        gradients: their gradients, a view of the flat gradients.
        matmul_dtype: the dtype of the Newton–Schulz steps, which tolerate bfloat16.
    """

    MOMENTUM = 0.95
    COEFFICIENTS = (3.4445, -4.7750, 2.0315)

    def __init__(self, weights: Tensor, gradients: Tensor, matmul_dtype: torch.dtype) -> None:
        self.weights, self.gradients, self.matmul_dtype = weights, gradients, matmul_dtype
        self.momentum = torch.zeros_like(weights)

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """W ← W − rate · orthogonalised(momentum), with one rate or one for each matrix, [L, 1, 1]."""
        self.momentum.lerp_(self.gradients, 1 - self.MOMENTUM)
        update = self._orthogonalised(self.gradients.lerp(self.momentum, self.MOMENTUM))
        if isinstance(rate, Tensor):
            self.weights.addcmul_(update, rate, value=-1)
        else:
            self.weights.add_(update, alpha=-rate)

    def _orthogonalised(self, update: Tensor) -> Tensor:
        """Singular values pushed towards 1: X ← aX + (bA + cA²)X with A = XXᵀ, five times."""
        a, b, c = self.COEFFICIENTS
        x = update.to(self.matmul_dtype)
        x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
        for _ in range(5):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.to(update.dtype)


class FlatAdam:
    """Adam (Kingma & Ba 2015) on one vector: the kernel of torch's optimiser, whose bookkeeping would cost more.

    Args:
        weights: updated in place.
        gradients: theirs.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8

    def __init__(self, weights: Tensor, gradients: Tensor) -> None:
        self.weights, self.gradients = weights, gradients
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        self.state = {"exp_avg": first, "exp_avg_sq": second, "step": torch.zeros((), device=weights.device)}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update at this rate."""
        first, second, count = self.state.values()
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [self.weights],
            [self.gradients],
            [first],
            [second],
            [],
            [count.add_(1)],
            lr=rate,
            beta1=self.BETA1,
            beta2=self.BETA2,
            eps=self.EPSILON,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )


USUAL = "spikes.usual"
VARIED = ("learning_rate", "matrix_learning_rate", "average")


class FlatOptimizer:
    """All weights, gradients and averages of a flow map as three vectors, and the update of them.

    Hidden matrices (width × width) take Muon's orthogonalised updates, everything else fused Adam, as one parameter.
    With optimizer = "adam" Adam takes all. The average is the weight that is kept: its decay starts small, so that it
    is useful early.

    The members of a flow map that has S of them are trained side by side, and none touches another.

    Args:
        flow_map: its parameters become views of the vectors.
        config: the rates and the decay, as numbers.
        varied: for "learning_rate", "matrix_learning_rate" or "average", S numbers instead of the config's one.
    """

    def __init__(
        self, flow_map: FlowMap, config: TrainingConfig, varied: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.config, self.members = config, flow_map.network.members
        named = dict(flow_map.named_parameters())
        square = (config.network.width, config.network.width)
        matrix = square if self.members is None else (self.members, *square)
        hidden = [n for n, p in named.items() if config.optimizer == "muon" and tuple(p.shape) == matrix]
        self.names = [n for n in named if n not in hidden] + hidden
        self.shapes = {n: named[n].shape for n in self.names}
        parameters = [named[n] for n in self.names]
        self.weights = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradients = torch.zeros_like(self.weights)
        self.average = self.weights.clone()
        view_as_slices(parameters, self.weights, self.gradients)
        rest = sum(named[n].numel() for n in self.names[: len(named) - len(hidden)])
        self.adam = FlatAdam(self.weights[:rest], self.gradients[:rest])
        matrices, slopes = (vector[rest:].view(-1, *square) for vector in (self.weights, self.gradients))
        self.muon = BatchedMuon(matrices, slopes, flow_map.matmul_dtype) if hidden else None
        self._set_rates(varied or {}, rest, len(hidden))
        self.guard = SpikeGuard(self.members or 1, self.weights)

    def step(self, factor: float, age: int) -> None:
        """One update from the gradients in place, spikes scaled down; the gradients are zeroed afterwards.

        Args:
            factor: what the peak rates are multiplied by; see :func:`cmcore.schedule.moment`.
            age: updates before this one, since the start or since :meth:`restart`.
        """
        scales = self.guard.scales(self._lengths(), age)
        if scales is not None:
            self.gradients.mul_(scales if self.members is None else self._for_each_weight(scales))
        self._adam_step(factor)
        if self.muon is not None:
            self.muon.step(self.matrix_rate * factor)
        most = (1 + age) / (10 + age)
        decay = self.decay.clamp(max=most) if isinstance(self.decay, Tensor) else min(self.decay, most)
        self.average.lerp_(self.weights, 1 - decay)
        self.gradients.zero_()
        if (spiked := self.guard.settle(age)) is not None:
            self._forget(spiked)

    def restart(self) -> None:
        """Go on from the averaged weights, with nothing remembered of the gradients before."""
        self.weights.copy_(self.average)
        for name, slot in self._slots().items():
            if name not in ("weights", "average"):
                slot.detach().zero_()
        self.guard.restart()

    def _forget(self, which: Tensor) -> None:
        """Of some members, [S], nothing is remembered of the gradients so far."""
        keep = (~which).to(self.weights)
        of_each = keep if self.members is None else self._for_each_weight(keep)[: len(self.adam.weights)]
        for name in ("exp_avg", "exp_avg_sq"):
            self.adam.state[name].mul_(of_each)
        if self.muon is not None:
            self.muon.momentum.mul_(keep.repeat(len(self.muon.momentum) // len(keep))[:, None, None])

    def gradient_norms(self) -> Float[Tensor, "*s"]:
        """The Euclidean norm of the gradient, of each member when there are any."""
        if self.members is None:
            return self.gradients.norm()
        return torch.stack([part.flatten(1).norm(dim=1) for part in self._parts(self.gradients)]).norm(dim=0)

    def _lengths(self) -> list[float] | Float[Tensor, " s"]:
        """The norms of the gradients: numbers on the CPU, where each call of torch is a part of a small step."""
        if self.gradients.device.type != "cpu":
            return self.gradient_norms().reshape(-1)
        if self.members is None:
            return [math.sqrt(torch.dot(self.gradients, self.gradients).item())]
        return self.gradient_norms().tolist()

    def _adam_step(self, factor: float) -> None:
        """Adam's step. The fused one knows one rate, the largest; each member then goes its share of the way."""
        if self.shares is None:
            self.adam.step(self.rate * factor)
            return
        before = self.adam.weights.clone()
        self.adam.step(self.rate * factor)
        torch.lerp(before, self.adam.weights, self.shares, out=self.adam.weights)

    def _set_rates(self, varied: Mapping[str, Sequence[float]], rest: int, hidden: int) -> None:
        """The rates and the decay: numbers, or tensors shaped as the weights that they scale where members differ."""
        for name, numbers in varied.items():
            if name not in VARIED:
                raise ValueError(f"{name} cannot differ between members. Choose from {', '.join(VARIED)}.")
            if len(numbers) != self.members:
                raise ValueError(f"{name} needs as many numbers as there are members, {self.members}.")
        config = self.config
        assert config.learning_rate is not None
        assert config.matrix_learning_rate is not None
        assert config.average is not None
        self.rate, self.shares = config.learning_rate, None
        self.matrix_rate: float | Tensor = config.matrix_learning_rate
        self.decay: float | Tensor = config.average
        if rates := varied.get("learning_rate"):
            self.rate = max(rates)
            self.shares = self._for_each_weight(rates)[:rest] / self.rate
        if rates := varied.get("matrix_learning_rate"):
            self.matrix_rate = self.weights.new_tensor(rates).repeat(hidden)[:, None, None]
        if decays := varied.get("average"):
            self.decay = self._for_each_weight(decays)

    # ---- weights by name ----------------------------------------------------------------------------------------
    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """A flat vector cut into the parameters' names and shapes (copies)."""
        return {n: part.clone() for n, part in zip(self.names, self._parts(vector), strict=True)}

    def of_member(self, vector: Tensor, i: int) -> dict[str, Tensor]:
        """Those of member i alone, or of a single map, as views."""
        parts = zip(self.names, self._parts(vector), strict=False)  # Adam's vectors end early
        return {n: part if self.members is None else part[i] for n, part in parts}

    def _parts(self, vector: Tensor) -> Iterator[Tensor]:
        """The parameters in a flat vector, as views; one that ends early, as Adam's do, has those before its end."""
        start = 0
        for shape in self.shapes.values():
            if start == len(vector):
                return
            yield vector[start : start + shape.numel()].view(shape)
            start += shape.numel()

    def _for_each_weight(self, numbers: Sequence[float] | Tensor) -> Tensor:
        """The members' numbers as a flat vector that repeats each for all weights of its member."""
        values = torch.as_tensor(numbers, dtype=self.weights.dtype, device=self.weights.device)
        sizes = [shape.numel() // len(values) for shape in self.shapes.values()]
        return torch.cat([values.repeat_interleave(size) for size in sizes])

    # ---- resuming -----------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Tensor]:
        """Everything an exact continuation needs, copied."""
        return {name: value.detach().clone() for name, value in {**self._slots(), USUAL: self.guard.usual}.items()}

    def member_state(self, i: int) -> dict[str, Tensor]:
        """What :meth:`state` would be had member i been trained alone; nothing of the others is copied."""
        if self.members is None:
            return self.state()
        state = {}
        for name, value in self._slots().items():
            if value.ndim == 1:
                state[name] = torch.cat([part.reshape(-1) for part in self.of_member(value, i).values()])
            else:  # the matrices of a layer follow one another; a count is everybody's
                state[name] = (value[i :: self.members] if value.ndim == 3 else value).detach().clone()
        return {**state, USUAL: self.guard.usual[i : i + 1].clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`; raises ValueError when it does not fit this network and optimiser."""
        slots = self._slots()
        if any(name not in state or slots[name].shape != state[name].shape for name in slots):
            raise ValueError("The saved training state does not fit this network and optimiser; train from the start.")
        for name, slot in slots.items():
            slot.detach().copy_(state[name])
        usual = state.get(USUAL)  # runs of earlier versions have none
        self.guard.load(torch.zeros_like(self.guard.usual) if usual is None else usual)

    def _slots(self) -> dict[str, Tensor]:
        slots = {"weights": self.weights, "average": self.average}
        slots |= {f"adam.{key}": value for key, value in self.adam.state.items()}
        return slots if self.muon is None else {**slots, "muon.momentum": self.muon.momentum}
