"""What an objective is: one training signal, from a batch to a scalar loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.model import FlowMap
from cmcore.registry import Registry
from cmcore.targets import Target

__all__ = ["OBJECTIVES", "Need", "Objective", "Source", "make_objective"]

Need = Literal["samples", "exact velocity", "frozen teacher", "exact trajectories"]
"""What an objective asks of the world. "samples" alone means: data, and nothing known about its density."""

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Source:
    """Where an objective's batches come from.

    Attributes:
        target: the law to learn.
        horizon: T.
        delta: δ, the earliest time learned.
        device: where batches live.
        generator: the stream for what is drawn once, before training (pools, fixed samples).
    """

    target: Target
    horizon: float
    delta: float
    device: torch.device
    generator: torch.Generator


@dataclass(frozen=True)
class Objective(ABC, Generic[Batch]):
    """One way to learn f(x, t, s).

    A subclass is a frozen dataclass of its hyper-parameters. It is prepared once with a :class:`Source`, and then gives
    batches and their loss. Batches are drawn for many steps at once: for small networks, drawing is what costs.
    """

    label: ClassVar[str]
    needs: ClassVar[Need]

    @abstractmethod
    def prepare(self, source: Source) -> Any:
        """Whatever training needs that is made once: a pool of trajectories, a teacher, samples."""

    def within(self, source: Source, seconds: float) -> "Objective":
        """This objective, its preparation cut to fit a budget; what was cut is in its fields, so it can be repeated."""
        del source, seconds
        return self

    @abstractmethod
    def batches(self, prepared: Any, count: int, size: int, *, generator: torch.Generator) -> Iterator[Batch]:
        """`count` batches of `size` training pairs, all random choices drawn from the generator."""

    @abstractmethod
    def loss(self, flow_map: FlowMap, batch: Batch) -> Float[Tensor, ""]:
        """The scalar to minimise; zero where theory says the exact map has none."""


OBJECTIVES: Registry = Registry("objective")


def make_objective(name: str, **parameters: Any) -> Objective:
    """The registered objective `name` with its hyper-parameters; unknown ones raise a sentence that lists the known."""
    kind = OBJECTIVES[name]
    known = kind.__dataclass_fields__
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        has = ", ".join(known) or "none"
        raise ValueError(f"The objective {name!r} has no parameter {', '.join(unknown)}. It has: {has}.")
    return kind(**parameters)
