"""What an objective is: one training signal, from a batch to a scalar loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from reprlib import repr as shortened
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.flow import VelocityField, velocity_in_angle
from cmcore.model import FlowMap
from cmcore.process import angle
from cmcore.registry import Registry
from cmcore.settings import settings_of
from cmcore.targets import Described, Target

Need = Literal["samples", "exact velocity", "frozen teacher", "exact trajectories"]
"""What an objective asks of the world. "samples" alone means: data, and nothing known about its density. A frozen
teacher is a velocity learned from samples first."""

Velocity = Literal["conditional", "averaged", "self", "learned", "exact"]
"""Where a velocity dx/dθ comes from: the pair (x₀, z) that made the point, whose mean it is; all pairs that the data of
the batch may have made it of; the model's own diagonal; a network taught by flow matching and then frozen; or the
target's exact score."""

Batch = TypeVar("Batch")

LEAST_SPAN = 1e-3
"""Least difference of θ_T and θ_δ; single precision tells apart angles of 1e-7, and pools cut the span into levels."""


@dataclass(frozen=True)
class BatchSource:
    """What an objective makes its batches from: the target, the span of time, and random numbers.

    Attributes:
        target: the law to learn.
        horizon: T.
        delta: δ, the earliest time learned.
        device: where batches live.
        generator: the stream for what is drawn once, before training (pools, fixed samples).
        teacher: the learned velocity, (x [n, d], θ [n, 1]) → dx/dθ, where the objective asked for one.
    """

    target: Target
    horizon: float
    delta: float
    device: torch.device
    generator: torch.Generator
    teacher: VelocityField | None = None

    def exact_velocity(self, x: Tensor, theta: Tensor) -> Tensor:
        """dx/dθ of the target's exact flow, any leading dimensions; in float64, since −tan θ (x + score) cancels."""
        flat = x.reshape(-1, x.shape[-1]).double()
        angles = theta.expand(*x.shape[:-1], 1).reshape(-1).double()
        return velocity_in_angle(self.target, flat, angles).view_as(x).to(x.dtype)


@dataclass(frozen=True)
class Preparation:
    """How far the preparation of training data is, and what it has made so far.

    Attributes:
        message: what is being done and how far it is, for people.
        enough: whether a run that is short of time may begin with what there is so far.
        objective: the objective with as much in its fields as there is so far, so that it can be repeated.
        prepared: call it for what there is so far.
    """

    message: str
    enough: bool
    objective: "Objective"
    prepared: Callable[[], Any]


@dataclass(frozen=True)
class LossContext:
    """What a loss reads beside its batch: the map, the map of its targets, velocities, and how far the run is.

    Attributes:
        flow_map: the map being trained.
        targets: the map that makes its targets: the same one, or a slower average of its weights. No gradient flows
            into its weights.
        velocities: the exact and the learned velocity, as far as they are there.
        earliest: θ_δ.
        progress: share of the run that is done, 0 during the warm-up.
    """

    flow_map: FlowMap
    targets: FlowMap
    velocities: Mapping[Velocity, VelocityField]
    earliest: float = 0.0
    progress: float = 0.0


class Paper(NamedTuple):
    """Where an objective was published: the year, and its number on arXiv."""

    year: int
    arxiv: str


@dataclass(frozen=True)
class Objective(ABC, Generic[Batch]):
    """One way to learn f(x, t, s).

    A subclass is a frozen dataclass of its hyper-parameters, each described by a `pydantic.Field` in its annotation.
    It is prepared once with a :class:`BatchSource`, and then gives batches and their loss. Batches are drawn for many
    steps at once: for small networks, drawing is what costs.

    Attributes:
        label: for people.
        paper: where it was published; None for an identity to compose from.
        known_for: what the field knows it for, in one sentence.
        building_block: whether it is a general identity to compose from, rather than a published family.
        velocity_only: whether it learns the diagonal alone: its map is a DDIM step.
        settings: fields of the training config with which it trains well, where they are not everybody's.
        preconditioning: the form of the map with which it trains well.
        experts: the number of experts with which it trains well; see :mod:`cmcore.experts`.
        velocities: where its velocity may come from.
    """

    label: ClassVar[str]
    paper: ClassVar[Paper | None] = None
    known_for: ClassVar[str] = ""
    building_block: ClassVar[bool] = False
    velocity_only: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({})
    preconditioning: ClassVar[Literal["trig", "linear"]] = "trig"
    experts: ClassVar[int] = 1
    velocities: ClassVar[tuple[Velocity, ...]] = get_args(Velocity)

    def __post_init__(self) -> None:
        for setting in settings_of(type(self)):
            value = getattr(self, setting.name)
            if setting.name == "velocity" and value not in self.velocities:
                raise ValueError(f"{self.label}: velocity is one of {', '.join(self.velocities)}; got {value!r}.")
            setting.checked(value)

    @property
    @abstractmethod
    def needs(self) -> Need:
        """What it asks of the world, given its hyper-parameters."""

    @property
    def single_time(self) -> bool:
        """Whether it learns jumps to δ alone; samples are then drawn by jumping there and renoising."""
        return False

    @property
    def teacher_share(self) -> float:
        """The share of a budget that goes to learning a velocity from samples first; 0 without a learned teacher."""
        return 0.0

    @property
    def precise(self) -> bool:
        """Whether its maps come so near to the truth that the rounding of bfloat16 products is seen in their KL."""
        return False

    @property
    def target_decay(self) -> float | None:
        """Decay of the average that makes the targets; None: the current weights do."""
        return None

    def check(self, target: Described, delta: float) -> None:
        """Refuse, in a sentence that says what to change, a target this cannot learn."""
        del delta
        if not target.has_score and self.needs in ("exact velocity", "exact trajectories"):
            raise ValueError(
                f"{self.label} follows the exact score, and {target.name} is known by its samples alone. "
                "Choose velocity = 'learned', or an objective that needs samples only, such as 'lsd'."
            )

    def check_times(self, horizon: float, delta: float) -> None:
        """Refuse a span of time in which single precision has too few angles for jumps to have a length."""
        first, last = angle(torch.tensor([delta, horizon], dtype=torch.float64)).tolist()
        if last - first < LEAST_SPAN:
            raise ValueError(
                f"Between δ = {delta:g} and T = {horizon:g} there is hardly any noise to learn from: move them apart."
            )

    def check_batch(self, size: int) -> None:
        """Refuse a batch in which a share of this comes to no row, or to none but its own, where it needs others."""
        del size

    @abstractmethod
    def prepare(self, source: BatchSource) -> Any:
        """Whatever training needs that is made once: a pool of trajectories, a teacher, samples."""

    def preparing(self, source: BatchSource) -> Iterator["Preparation"]:
        """What :meth:`prepare` makes, in pieces: whoever is out of time takes what there is after any of them."""
        yield Preparation("", True, self, partial(self.prepare, source))

    @abstractmethod
    def batches(
        self, prepared: Any, count: int, size: int, *, generator: torch.Generator, progress: float = 0.0
    ) -> Iterator[Batch]:
        """`count` batches of `size` training pairs, all random choices drawn from the generator.

        Args:
            prepared: what :meth:`prepare` returned.
            count, size: how many batches, and rows in each.
            generator: the stream of this block of batches.
            progress: share of the run that is done, for curricula.
        """

    @abstractmethod
    def loss(self, context: LossContext, batch: Batch) -> Float[Tensor, "*s"]:
        """The scalar to minimise, one a member; zero where theory says the exact map has none."""

    def backward(self, context: LossContext, batch: Batch) -> Float[Tensor, "*s"]:
        """The loss, a constant, once its gradient is added to the weights': by the tape, or without it in a subclass.

        What a subclass does must be what the tape does; for a small network the tape costs a tenth of a step.
        """
        losses = self.loss(context, batch)
        losses.sum().backward()
        return losses.detach()

    def parameters(self) -> dict[str, Any]:
        """The hyper-parameters, as `make_objective` takes them."""
        return asdict(self)


OBJECTIVES: Registry[type[Objective]] = Registry("objective")


def make_objective(name: str, **parameters: Any) -> Objective:
    """The registered objective `name` with its hyper-parameters.

    Raises ValueError in a sentence on an unknown name or parameter, and on a value of the wrong kind.
    """
    kind = OBJECTIVES[name]
    own = {field.name: field for field in fields(kind)}
    unknown = sorted(set(parameters) - set(own))
    if unknown:
        has = ", ".join(own) or "none"
        raise ValueError(
            f"The objective {name!r} has no parameter {', '.join(map(shortened, unknown[:4]))}. It has: {has}."
        )
    settings = {setting.name: setting for setting in settings_of(kind)}
    return kind(**{name: settings[name].checked(value) for name, value in parameters.items()})
