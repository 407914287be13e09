r"""The pieces that objectives are made of: a law of times, a velocity, an identity, a metric, and who makes targets.

A point of a batch is made from data and noise, x_t = cos θ_t x₀ + sin θ_t z ~ p_t, at times t > s drawn by a law. Part
of the rows lie on the diagonal s = t, where the network is taught the velocity itself; on the others an identity of the
exact flow map is enforced. Errors are measured in what the network answers, F.

=================  ==============================================================  ==========================
identity           what the exact map satisfies                                    file
=================  ==============================================================  ==========================
diagonal           F(x, t, t) ↔ dx/dθ                                              flow_matching.py
Lagrangian         ∂_s f(x, t, s) = v(f(x, t, s), s)                               lagrangian.py
Eulerian           ∂_t f + ∇f · v(x, t) = 0                                        eulerian.py
discrete Eulerian  f(x_t, t, s) = f(x_r, r, s) along the flow                      consistency.py
semigroup          f(x, t, s) = f(f(x, t, u), u, s)                                semigroup.py
distribution       f(·, t, s) and f(·, r, s) push p_t and p_r to the same law      moment_matching.py
=================  ==============================================================  ==========================
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.averaged import averaged_velocity
from cmcore.objectives.base import BatchSource, LossContext, Need, Objective, Velocity
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.metrics import Metric, distance, distance_and_slope
from cmcore.process import angle, round_angle
from cmcore.settings import OnlyWith, Share

SMALLEST_GAP = 2e-3
"""Least distance of s from t off the diagonal, in clock readings: F* divides by it."""

FIRST_GAP = 0.02
"""The largest gap at the start of the curriculum, in clock readings."""

NEEDS: dict[Velocity, Need] = {
    "conditional": "samples",
    "averaged": "samples",
    "self": "samples",
    "learned": "frozen teacher",
    "exact": "exact velocity",
}


class Points(NamedTuple):
    """A batch of training pairs for an identity, one a row.

    Attributes:
        x: states at θ_t, [*, n, d].
        theta, gap: θ_t and θ_t − θ_s, [*, n, 1]; gap is 0 on the diagonal.
        velocity: dx/dθ at (x, θ_t), [*, n, d]: of the source, or conditional, cos θ z − sin θ x₀, or its average.
        inner: an angle between θ_s and θ_t, [*, n, 1], where the identity uses one.
        earlier: the state at `inner` on the flow through x, [*, n, d], where the identity uses one.
    """

    x: Tensor
    theta: Tensor
    gap: Tensor
    velocity: Tensor
    inner: Tensor
    earlier: Tensor

    def rows(self, chosen: slice) -> "Points":
        """Some of the rows."""
        return Points(*(column[..., chosen, :] for column in self))


class Prepared(NamedTuple):
    """What a composition draws from: the source, and the clock of its times."""

    source: BatchSource
    clock: Clock


@dataclass(frozen=True)
class Composition(Objective[Points]):
    """An objective made of an identity, a velocity, a law of times, a metric, and a map for its targets."""

    velocity: Annotated[Velocity, Field(description="where dx/dθ comes from")] = "conditional"
    clock: Annotated[ClockName, Field(description="the law of times")] = "uniform_angle"
    # Beyond the bounds of the next two, times round to one another.
    log_mean: Annotated[float, Field(ge=-20, le=20, description="of log σ/α"), OnlyWith("clock", "log_normal")] = -0.4
    log_sd: Annotated[float, Field(ge=0.01, le=100, description="of log σ/α"), OnlyWith("clock", "log_normal")] = 1.0
    diagonal_share: Annotated[Share, Field(description="share of the rows that lie on the diagonal")] = 0.75
    to_data: Annotated[Share, Field(description="share of the other rows that end at δ, beside those by chance")] = 0.0
    from_noise: Annotated[Share, Field(description="share of them that start at T, beside those by chance")] = 0.0
    metric: Annotated[
        Metric,
        Field(
            description="how an error becomes a number; with velocity = “self” the diagonal takes the plain square all "
            "the same"
        ),
    ] = "l2"
    metric_scale: Annotated[
        float,
        Field(ge=1e-12, le=1e6, description="the metric's c"),  # beyond, its square is 0 or ∞ in single precision
        OnlyWith("metric", "pseudo_huber", "adaptive", "unit"),
    ] = 0.01
    weight_power: Annotated[
        float,
        Field(
            ge=-2,
            le=20,
            description="w; rows off the diagonal weigh (sin(θ_t − θ_s))^w. w = 0 weighs errors of F, w = 2 of the map",
        ),
    ] = 0.0
    gap_warmup: Annotated[
        Share,
        Field(description="share of the run over which the largest gap grows to all of [δ, T]; 0: all at once"),
    ] = 0.0
    target_average: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="decay of the average of the weights that makes the targets; 0: the current weights do",
        ),
    ] = 0.0
    teacher_budget: Annotated[
        float,
        Field(gt=0, lt=1, description="share of the run that goes to the teacher"),
        OnlyWith("velocity", "learned"),
    ] = 0.3
    teacher_steps: Annotated[
        int | None,
        Field(ge=1, description="the teacher's steps; None: from the budget"),
        OnlyWith("velocity", "learned"),
    ] = None

    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"batch": 512})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.velocity == "self" and self.diagonal_share == 0:
            raise ValueError(f"{self.label}: with velocity = 'self' only the diagonal sees data: diagonal_share > 0.")

    def check_batch(self, size: int) -> None:
        rows = self.diagonal_rows(size)
        if self.diagonal_share and not rows:
            raise ValueError(
                f"A diagonal_share of {self.diagonal_share:g} of a batch of {size:,} comes to no row, so nothing would "
                "teach the velocity: take a larger share or batch, or 0."
            )
        if rows == size and not self.velocity_only:
            raise ValueError(
                f"A diagonal_share of {self.diagonal_share:g} of a batch of {size:,} leaves no row off the diagonal, "
                "so no jump would be learned: take a smaller share, or the objective 'flow_matching'."
            )

    # ---- what an identity writes --------------------------------------------------------------------------------
    @abstractmethod
    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        """The residual of the identity on rows off the diagonal, in units of F."""

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """θ_t, θ_s and an angle in between, off the diagonal, from uniform numbers [5, n]."""
        late, early = self.pairs(chance, progress)
        theta = clock.angle(late)
        return theta, clock.angle(early), theta

    def pairs(self, chance: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Clock readings of t > s, no further apart than the curriculum allows so far."""
        late, early = self.readings(chance)
        if not self.gap_warmup:
            return late, early
        return late, torch.maximum(early, late - max(FIRST_GAP, progress / self.gap_warmup))

    def readings(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Clock readings of t > s: two uniform ones in order, but for the shares that start at T or end at δ."""
        late, early = torch.maximum(chance[0], chance[1]), torch.minimum(chance[0], chance[1])
        late = torch.where(chance[2] < self.from_noise, 1.0, late).clamp_min(SMALLEST_GAP)
        return late, torch.where(chance[3] < self.to_data, 0.0, torch.minimum(early, late - SMALLEST_GAP))

    # ---- what all share -----------------------------------------------------------------------------------------
    @property
    def needs(self) -> Need:
        return NEEDS[self.velocity]

    @property
    def teacher_share(self) -> float:
        return self.teacher_budget if self.velocity == "learned" else 0.0

    @property
    def target_decay(self) -> float | None:
        return self.target_average or None

    def prepare(self, source: BatchSource) -> Prepared:
        return Prepared(source, self._clock(source.horizon, source.delta))

    def check_times(self, horizon: float, delta: float) -> None:
        super().check_times(horizon, delta)
        self._clock(horizon, delta)

    def _clock(self, horizon: float, delta: float) -> Clock:
        first, last = angle(torch.tensor([delta, horizon], dtype=torch.float64)).tolist()
        return Clock(self.clock, first, last, mean=self.log_mean, sd=self.log_sd)

    def batches(
        self, prepared: Prepared, count: int, size: int, *, generator: torch.Generator, progress: float = 0.0
    ) -> Iterator[Points]:
        source, n = prepared.source, count * size
        target, device = source.target, source.device
        data = target.sample(n, generator=generator, dtype=torch.float32).to(device)
        noise = torch.randn(n, target.dim, generator=generator).to(device)
        chance = torch.rand(5, n, generator=generator).to(device)  # the same numbers on every device
        theta, gap, inner = (c[:, None] for c in self._angles(prepared.clock, chance, size, progress))
        x = theta.cos() * data + theta.sin() * noise
        conditional = theta.cos() * noise - theta.sin() * data
        if self.velocity == "averaged":
            velocity = averaged_velocity(x, theta, data, conditional)
        else:
            velocity = self._velocity(source, x, theta, conditional)
        earlier = self.earlier(source, Points(x, theta, gap, velocity, inner, x), data, noise)
        columns = (x, theta, gap, velocity, inner, earlier)
        yield from map(Points._make, zip(*(column.split(size) for column in columns), strict=True))

    def earlier(self, source: BatchSource, points: Points, data: Tensor, noise: Tensor) -> Tensor:
        """The states at the inner angle, where the identity uses them."""
        del source, data, noise
        return points.x

    def _angles(self, clock: Clock, chance: Tensor, size: int, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """θ_t, the gap and the inner angle of all rows, those on the diagonal first in each batch.

        They are made in float64: near π/2 single precision has a few angles for all the clock's last readings.
        """
        chance = chance.double()
        theta, end, inner = self.angles(clock, chance, progress)
        on_diagonal = torch.arange(len(theta), device=theta.device) % size < self.diagonal_rows(size)
        alone = clock.angle(chance[0])
        theta = torch.where(on_diagonal, alone, theta)
        gap, inner = torch.where(on_diagonal, 0.0, theta - end), torch.where(on_diagonal, alone, inner)
        return round_angle(theta, torch.float32), gap.float(), round_angle(inner, torch.float32)

    def _velocity(self, source: BatchSource, x: Tensor, theta: Tensor, conditional: Tensor) -> Tensor:
        if self.velocity == "exact":
            return source.exact_velocity(x, theta)
        if self.velocity == "learned":
            assert source.teacher is not None
            with torch.no_grad():
                return source.teacher(x, theta)
        return conditional

    def diagonal_rows(self, size: int) -> int:
        """How many rows of a batch of `size` lie on the diagonal; they come first."""
        return round(self.diagonal_share * size)

    @property
    def diagonal_metric(self) -> Metric:
        """The metric on the diagonal: the plain square where it alone sees pairs, since its minimiser is their mean."""
        return "l2" if self.velocity == "self" else self.metric

    def velocity_at(self, context: LossContext, points: Points) -> Tensor:
        """dx/dθ at the rows off the diagonal; "self" asks the targets' own diagonal."""
        return self.own_velocity(context, points) if self.velocity == "self" else points.velocity

    @staticmethod
    @torch.no_grad()
    def own_velocity(context: LossContext, points: Points) -> Tensor:
        """dx/dθ at the rows, from the diagonal of the map that makes the targets."""
        return context.targets.velocity_in_angle(points.x, points.theta, for_weights=True)

    def weights(self, points: Points) -> Tensor | float:
        """The weight of each row off the diagonal."""
        return points.gap.sin() ** self.weight_power if self.weight_power else 1.0

    def loss(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        n = batch.x.shape[-2]
        rows = self.diagonal_rows(n)
        total = torch.zeros((), device=batch.x.device)
        if rows < n:
            off = batch.rows(slice(rows, n))
            distances = distance(self.errors(context, off), self.metric, self.metric_scale)
            total = total + (self.weights(off) * distances).sum((-2, -1))
        if rows:
            on = batch.rows(slice(rows))
            answer = context.flow_map.direction(on.x, on.theta, on.gap, for_weights=True)
            error = answer - context.flow_map.preconditioning.direction(on.x, on.theta, on.velocity)
            total = total + distance(error, self.diagonal_metric, self.metric_scale).sum((-2, -1))
        return total / n

    # ---- the same without a tape --------------------------------------------------------------------------------
    @property
    def has_manual_gradient(self) -> bool:
        """Whether the gradient is written out in :meth:`manual_gradient`, and the loss that of this class."""
        return False

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        """The residual of :meth:`errors`, and what takes a gradient of it to the weights."""
        del context, points
        raise NotImplementedError(f"{self.label} leaves its gradient to the tape.")

    def backward(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        return self.manual_backward(context, batch) if self.has_manual_gradient else super().backward(context, batch)

    @torch.no_grad()
    def manual_backward(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        """:meth:`backward` by :meth:`manual_gradient`: first the rows off the diagonal, then those on it."""
        n = batch.x.shape[-2]
        rows = self.diagonal_rows(n)
        total = torch.zeros((), device=batch.x.device)
        if rows < n:
            off = batch.rows(slice(rows, n))
            error, pull_back = self.manual_gradient(context, off)
            distances, slopes = distance_and_slope(error, self.metric, self.metric_scale)
            weights = self.weights(off)
            pull_back(slopes * (weights / n))
            total = total + (weights * distances).sum((-2, -1))
        if rows:
            on = batch.rows(slice(rows))
            answer, pull_back = context.flow_map.pulled_direction(on.x, on.theta, on.gap)
            error = answer - context.flow_map.preconditioning.direction(on.x, on.theta, on.velocity)
            distances, slopes = distance_and_slope(error, self.diagonal_metric, self.metric_scale)
            pull_back(slopes / n)
            total = total + distances.sum((-2, -1))
        return total / n
