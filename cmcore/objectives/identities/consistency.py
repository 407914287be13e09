r"""The discrete Eulerian identity: two neighbouring points of a trajectory land at the same place."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, Velocity, VelocityField
from cmcore.objectives.clocks import Clock, ClockName
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.regressed import Regressed, direction_to
from cmcore.settings import OnlyWith

Ends = Literal["any", "data", "segment"]
Step = Literal["grid", "level", "relative"]
Growth = Literal["constant", "square_root", "doubling", "exponential"]
Solver = Literal["ddim", "heun"]
Space = Literal["network", "map"]
FOLLOWED = ("self", "learned", "exact")
"""Velocities along which x_r is reached from x_t; a pair of data and noise gives it without."""

NOISY = math.pi / 4
"""The angle above which there is more noise than data, and a pair says little of the velocity at its point."""


@OBJECTIVES.register("consistency")
@dataclass(frozen=True)
class Consistency(Regressed):
    r"""f(x_t, t, s) = sg f(x_r, r, s) with s ≤ r < t and x_r reached from x_t along the flow.

    .. math:: L = E\,w\,d\big(\mathrm{out}^{[\mathrm{map}]}\,(F(x_t,t,s) - F^*)\big),\quad
              F^* = \mathrm{sg}\,\frac{\mathrm{skip}\,x_t - f(x_r,r,s)}{\mathrm{out}}
    """

    diagonal_share: float = 0.0
    ends: Annotated[
        Ends, Field(description="where s lies: anywhere below r, at δ always, or at the end of t's segment")
    ] = "any"
    segments: Annotated[
        int, Field(ge=1, le=1_000_000, description="their number, even in the clock"), OnlyWith("ends", "segment")
    ] = 1
    step: Annotated[
        Step,
        Field(
            description="how r follows from t: the next point of a grid; a fixed difference of σ/α, its range over "
            "`intervals`; or in proportion to σ/α, by ECT's r/σ = 1 − q^{−stage} (1 + 8/(1 + e^σ)) with q = 2"
        ),
    ] = "grid"
    grid: Annotated[
        ClockName,
        Field(description="the clock in whose readings the grid's points are even"),
        OnlyWith("step", "grid"),
    ] = "uniform_angle"
    intervals: Annotated[
        int, Field(ge=1, le=1_000_000, description="N at the end of the run; for “relative” 2^{stages} at its end")
    ] = 64
    growth: Annotated[
        Growth,
        Field(
            description="constant, or how N grows from `first_intervals`: CT's square root, iCT's doubling in stages "
            "of equal length (the last of them N, a doubling or not), or geometric"
        ),
    ] = "constant"
    first_intervals: Annotated[int, Field(ge=1, le=1_000_000, description="N at the start of the run")] = 2
    most_steps: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="k, points of the grid from t to r: drawn from 1 … k in proportion to k, CTM's law",
        ),
        OnlyWith("step", "grid"),
    ] = 1
    solver: Annotated[
        Solver, Field(description="how x_r is reached: a DDIM or a Heun step"), OnlyWith("velocity", *FOLLOWED)
    ] = "heun"
    solver_steps: Annotated[
        int, Field(ge=1, le=10_000, description="solver steps from t to r"), OnlyWith("velocity", *FOLLOWED)
    ] = 1
    space: Annotated[Space, Field(description="whether d measures errors of F or of the map")] = "network"
    step_power: Annotated[float, Field(ge=0, le=2, description="p; rows weigh (σ_t/α_t − σ_r/α_r)^{−p}")] = 0.0
    mirrored: Annotated[
        bool,
        Field(
            description="whether, where σ/α > 1, the target is f(m,r,s) + [f(x_r,r,s) − f(2m − x_r,r,s)]/2 with "
            "m = cos(θ_t − r) x_t, in which the blur by a pair's spread cancels"
        ),
    ] = False

    label: ClassVar[str] = "Discrete Eulerian identity"
    known_for: ClassVar[str] = "Behind CD, CT, iCT, ECT and CTM."
    building_block: ClassVar[bool] = True
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "self", "learned", "exact")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.growth != "constant" and not 1 <= self.first_intervals <= self.intervals:
            raise ValueError("A growing grid needs 1 ≤ first_intervals ≤ intervals.")
        if self.mirrored and self.velocity != "conditional":
            raise ValueError("Only a pair's x_r has a spread to mirror: mirrored needs velocity = 'conditional'.")

    @property
    def single_time(self) -> bool:
        return self.ends == "data"

    # ---- times --------------------------------------------------------------------------------------------------
    def intervals_at(self, progress: float) -> int:
        """N when a share `progress` of the run is done."""
        first, last = self.first_intervals, self.intervals
        if self.growth == "square_root":
            return min(last, math.ceil(math.sqrt(progress * ((last + 1) ** 2 - first**2) + first**2) - 1) + 1)
        if self.growth == "doubling":
            stages = math.ceil(math.log2(last / first)) + 1  # the last one has all intervals, a doubling or not
            return min(last, first << min(stages - 1, int(progress * stages)))
        if self.growth == "exponential":
            return round(first * (last / first) ** progress)
        return last

    def angles(self, clock: Clock, chance: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        late, early = (chance[0], torch.zeros_like(chance[0])) if self.ends == "data" else self.pairs(chance, progress)
        late = torch.where(chance[2] < self.from_noise, 1.0, late)
        if self.ends == "segment":
            early = ((late * self.segments).ceil() - 1).clamp_min(0) / self.segments
        theta, end = clock.angle(late), clock.angle(early)
        number = self.intervals_at(progress)
        if self.ends == "segment":  # whose ends are points of the grid
            number = math.ceil(number / self.segments) * self.segments
        if self.step == "grid":
            return self._on_grid(Clock(self.grid, clock.first, clock.last), theta, end, chance[4], number)
        theta = theta.clamp_min(clock.first + 1e-4)
        level = theta.tan()
        if self.step == "level":
            earlier = level - (math.tan(clock.last) - math.tan(clock.first)) / number
        else:
            earlier = level * (1 - (1 + 8 * torch.sigmoid(-level)) / number)
        inner = torch.minimum(torch.maximum(earlier.clamp_min(0).atan(), end), theta - 1e-5)
        return theta, torch.minimum(end, inner), inner

    def _on_grid(
        self, grid: Clock, theta: Tensor, end: Tensor, chance: Tensor, number: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """t, s and r moved to points of the grid: t up, s down, r some steps below t."""
        at = (grid.read(theta) * number).ceil().clamp(1, number)
        most = min(self.most_steps, number)
        steps = ((chance * most * (most + 1) + 0.25).sqrt() - 0.5).ceil().clamp(1, most)  # P(k) ∝ k
        last = (grid.read(end) * number + 1e-4).floor().clamp_min(0)
        last = torch.minimum(last, at - 1)
        before = torch.maximum(at - steps, last)
        return tuple(grid.angle(i / number) for i in (at, last, before))  # pyright: ignore[reportReturnType]

    # ---- the state at r -----------------------------------------------------------------------------------------
    def earlier(self, source: BatchSource, points: Points, data: Tensor, noise: Tensor) -> Tensor:
        if self.velocity == "conditional":
            return points.inner.cos() * data + points.inner.sin() * noise
        if self.velocity == "self":
            return points.x
        field = source.exact_velocity if self.velocity == "exact" else source.teacher
        assert field is not None
        return self.solve(field, points)

    @torch.no_grad()
    def solve(self, field: VelocityField, points: Points) -> Tensor:
        """x_r from x_t by `solver_steps` steps of the solver; the first uses no velocity the batch has already."""
        x, theta = points.x, points.theta
        step = (theta - points.inner) / self.solver_steps
        for _ in range(self.solver_steps):
            velocity = field(x, theta)
            ahead = step.cos() * x - step.sin() * velocity
            if self.solver == "heun":
                ahead = x - step * (velocity + field(ahead, theta - step)) / 2
            x, theta = ahead, theta - step
        return x

    # ---- the identity -------------------------------------------------------------------------------------------
    @torch.no_grad()
    def target_landing(self, context: LossContext, points: Points) -> Tensor:
        """sg f(x_r, r, s)."""
        f, inner = context.targets, points.inner
        earlier = points.earlier
        if self.velocity == "self":
            earlier = self.solve(lambda x, theta: f.velocity_in_angle(x, theta, for_weights=True), points)
        rest = inner - (points.theta - points.gap)
        if not self.mirrored:
            return f.landing(earlier, inner, rest, f.direction(earlier, inner, rest, for_weights=True))
        middle = (points.theta - inner).cos() * points.x  # x_r − middle = −sin(θ_t − r) v is odd in the pair's velocity
        three = torch.cat((earlier, 2 * middle - earlier, middle), -2)
        inner, rest = (torch.cat((angles,) * 3, -2) for angles in (inner, rest))
        landed = f.landing(three, inner, rest, f.direction(three, inner, rest, for_weights=True))
        ahead, behind, between = landed.chunk(3, -2)
        return torch.where(points.theta > NOISY, between + (ahead - behind) / 2, ahead)

    def wanted(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        return direction_to(context, points, self.target_landing(context, points))

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        error = super().errors(context, points)
        return error * context.flow_map.preconditioning(points.theta, points.gap).out if self.space == "map" else error

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        error, pull_back = super().manual_gradient(context, points)
        if self.space == "network":
            return error, pull_back
        out = context.flow_map.preconditioning(points.theta, points.gap).out
        return error * out, lambda slope: pull_back(slope * out)

    def weights(self, points: Points) -> Tensor | float:
        weights = super().weights(points)
        if self.step_power:
            late, early = points.theta.tan(), points.inner.tan()
            one_rounding = torch.finfo(late.dtype).eps * (1 + late**2)  # near π/2 both may be one number
            weights = weights * torch.maximum(late - early, one_rounding) ** -self.step_power
        return weights

    @property
    def _plain(self) -> bool:
        """Whether rows on and off the diagonal are weighed alike, and can share one evaluation."""
        return self.space == "network" and self.step_power == 0

    def loss(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        return super().loss(context, batch) if self._plain else super(Regressed, self).loss(context, batch)

    def manual_backward(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        """:meth:`backward` as :meth:`loss` takes the rows."""
        if self._plain:
            return super().manual_backward(context, batch)
        return super(Regressed, self).manual_backward(context, batch)
