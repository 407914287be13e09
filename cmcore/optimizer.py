r"""The optimiser of a flow map: Muon on the hidden matrices, Adam on the rest, and an exponential average, all flat."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from cmcore.config import TrainingConfig
from cmcore.model import FlowMap
from cmcore.runtime import view_as_slices

__all__ = ["BatchedMuon", "FlatOptimizer", "rate_factor"]


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero at `steps`. During warm-up it does not depend on `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


class BatchedMuon:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) on equal square matrices, all at once.

    The update is that of :class:`torch.optim.Muon`: Nesterov momentum, orthogonalised by five Newton–Schulz steps.
    torch takes the matrices one by one; together they cost a third, which for these networks is a fifth of a step.

    Args:
        weights: the matrices, [L, w, w], a view of the flat weights; updated in place.
        gradients: their gradients, a view of the flat gradients.
        products: the dtype of the Newton–Schulz steps, which tolerate bfloat16.
    """

    MOMENTUM = 0.95
    COEFFICIENTS = (3.4445, -4.7750, 2.0315)

    def __init__(self, weights: Tensor, gradients: Tensor, products: torch.dtype) -> None:
        self.weights, self.gradients, self.products = weights, gradients, products
        self.momentum = torch.zeros_like(weights)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """W ← W − rate · orthogonalised(momentum)."""
        self.momentum.lerp_(self.gradients, 1 - self.MOMENTUM)
        self.weights.add_(self._orthogonalised(self.gradients.lerp(self.momentum, self.MOMENTUM)), alpha=-rate)

    def _orthogonalised(self, update: Tensor) -> Tensor:
        """Singular values pushed towards 1: X ← aX + (bA + cA²)X with A = XXᵀ, five times."""
        a, b, c = self.COEFFICIENTS
        x = update.to(self.products)
        x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
        for _ in range(5):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.to(update.dtype)


class FlatOptimizer:
    """All weights, gradients and averages of a flow map as three vectors, and the update of them.

    Hidden matrices (width × width) take Muon's orthogonalised updates, everything else fused Adam, as one parameter.
    With optimizer = "adam" Adam takes all. The average is the weight that is kept: its decay starts small, so that it
    is useful early.
    """

    def __init__(self, flow_map: FlowMap, config: TrainingConfig) -> None:
        self.config = config
        named = dict(flow_map.named_parameters())
        square = (config.network.width, config.network.width)
        hidden = [n for n, p in named.items() if config.optimizer == "muon" and tuple(p.shape) == square]
        self.names = [n for n in named if n not in hidden] + hidden
        self.shapes = {n: named[n].shape for n in self.names}
        parameters = [named[n] for n in self.names]
        self.weights = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradients = torch.zeros_like(self.weights)
        self.average = self.weights.clone()
        view_as_slices(parameters, self.weights, self.gradients)
        rest = sum(named[n].numel() for n in self.names[: len(named) - len(hidden)])
        flat = torch.nn.Parameter(self.weights[:rest])
        flat.grad = self.gradients[:rest]
        self.adam = torch.optim.Adam([flat], lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
        self._create_adam_state(flat)
        matrices, slopes = (vector[rest:].view(-1, *square) for vector in (self.weights, self.gradients))
        self.muon = BatchedMuon(matrices, slopes, flow_map.products) if hidden else None

    def step(self, step: int, steps: int) -> None:
        """One update from the gradients in place, the step-th of `steps`; the gradients are zeroed afterwards."""
        factor = rate_factor(step, steps, self.config.warmup)
        self.adam.param_groups[0]["lr"] = self.config.learning_rate * factor
        self.adam.step()
        if self.muon is not None:
            self.muon.step(self.config.matrix_learning_rate * factor)
        self.average.lerp_(self.weights, 1 - min(self.config.average, (1 + step) / (10 + step)))
        self.gradients.zero_()

    # ---- weights by name ----------------------------------------------------------------------------------------
    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """A flat vector cut into the parameters' names and shapes (copies)."""
        sizes = [self.shapes[n].numel() for n in self.names]
        return {n: v.clone().view(self.shapes[n]) for n, v in zip(self.names, vector.split(sizes), strict=True)}

    # ---- resuming -----------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Tensor]:
        """Everything an exact continuation needs, copied."""
        return {name: value.detach().clone() for name, value in self._slots().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`; raises ValueError when it does not fit this network and optimiser."""
        slots = self._slots()
        if any(name not in state or slots[name].shape != state[name].shape for name in slots):
            raise ValueError("The saved training state does not fit this network and optimiser; train from the start.")
        for name, slot in slots.items():
            slot.detach().copy_(state[name])

    def _create_adam_state(self, flat: Tensor) -> None:
        """torch makes an optimiser's state at its first step: take one at a rate of zero, and forget it was taken."""
        self.adam.param_groups[0]["lr"] = 0.0
        self.adam.step()
        self.adam.state[flat]["step"].zero_()

    def _slots(self) -> dict[str, Tensor]:
        (flat,) = self.adam.param_groups[0]["params"]
        slots = {"weights": self.weights, "average": self.average}
        slots |= {f"adam.{key}": value for key, value in sorted(self.adam.state[flat].items())}
        return slots if self.muon is None else {**slots, "muon.momentum": self.muon.momentum}
