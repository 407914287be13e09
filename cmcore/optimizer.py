r"""The optimiser of a flow map: Muon on the hidden matrices, Adam on the rest, and an exponential average, all flat."""

import math

import torch
from torch import Tensor

from cmcore.config import TrainingConfig
from cmcore.model import FlowMap
from cmcore.runtime import view_as_slices

__all__ = ["FlatOptimizer", "rate_factor"]


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero at `steps`. During warm-up it does not depend on `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


class FlatOptimizer:
    """All weights, gradients and averages of a flow map as three vectors, and the update of them.

    Hidden matrices (width × width) take Muon's orthogonalised updates (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/), everything else fused Adam, as one parameter. With optimizer = "adam"
    Adam takes all. The average is the weight that is kept: its decay starts small, so that it is useful early.
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
        matrices = [named[n] for n in hidden]
        self.muon = torch.optim.Muon(matrices, lr=config.matrix_learning_rate, weight_decay=0.0) if matrices else None

    def step(self, step: int, steps: int) -> None:
        """One update from the gradients in place, the step-th of `steps`; the gradients are zeroed afterwards."""
        factor = rate_factor(step, steps, self.config.warmup)
        self.adam.param_groups[0]["lr"] = self.config.learning_rate * factor
        self.adam.step()
        if self.muon is not None:
            self.muon.param_groups[0]["lr"] = self.config.matrix_learning_rate * factor
            self.muon.step()
        self.average.lerp_(self.weights, 1 - min(self.config.average, (1 + step) / (10 + step)))
        self.gradients.zero_()

    # ---- weights by name ----------------------------------------------------------------------------------------
    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """A flat vector cut into the parameters' names and shapes (copies)."""
        sizes = [self.shapes[n].numel() for n in self.names]
        return {n: v.clone().view(self.shapes[n]) for n, v in zip(self.names, vector.split(sizes), strict=True)}

    # ---- resuming -----------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Tensor]:
        """Everything an exact continuation needs."""
        state = {"weights": self.weights.clone(), "average": self.average.clone()}
        for key, value in self._slots():
            state[key] = value.detach().clone()
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from `state`; raises ValueError when it does not fit this network and optimiser."""
        self._create_slots()
        slots = {"weights": self.weights, "average": self.average, **dict(self._slots())}
        if set(slots) != set(state) or any(slots[k].shape != state[k].shape for k in slots):
            raise ValueError("The saved training state does not fit this network and optimiser; train from the start.")
        for key, slot in slots.items():
            slot.detach().copy_(state[key])

    def _slots(self) -> list[tuple[str, Tensor]]:
        optimizers = [("adam", self.adam), *([("muon", self.muon)] if self.muon else [])]
        return [
            (f"{name}.{i}.{key}", value)
            for name, optimizer in optimizers
            for i, p in enumerate(optimizer.param_groups[0]["params"])
            for key, value in sorted(optimizer.state[p].items())
            if isinstance(value, Tensor)
        ]

    def _create_slots(self) -> None:
        """torch makes an optimiser's state at its first step: take one with no gradient and a rate of zero."""
        for optimizer in (self.adam, *([self.muon] if self.muon else [])):
            optimizer.param_groups[0]["lr"] = 0.0
            optimizer.step()
