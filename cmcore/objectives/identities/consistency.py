r"""The discrete Eulerian identity: two neighbouring points of a trajectory land at the same place."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, VelocityField
from cmcore.objectives.clocks import CLOCKS, Clock, ClockName
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.regressed import Regressed, direction_to

__all__ = ["Consistency", "Ends", "Growth", "Solver", "Step"]

Ends = Literal["any", "data", "segment"]
Step = Literal["grid", "level", "relative"]
Growth = Literal["constant", "square_root", "doubling", "exponential"]
Solver = Literal["ddim", "heun"]

NOISY = math.pi / 4
"""The angle above which there is more noise than data, and a pair says little of the velocity at its point."""


@OBJECTIVES.register("consistency")
@dataclass(frozen=True)
class Consistency(Regressed):
    r"""f(x_t, t, s) = sg f(x_r, r, s) with s ≤ r < t and x_r reached from x_t along the flow.

    .. math:: L = E\,w\,d\big(\mathrm{out}^{[\mathrm{map}]}\,(F(x_t,t,s) - F^*)\big),\quad
              F^* = \mathrm{sg}\,\frac{\mathrm{skip}\,x_t - f(x_r,r,s)}{\mathrm{out}}

    Args:
        ends: where s lies: anywhere below r, at δ always, or at the end of t's segment.
        segments: their number, even in the clock, for ends = "segment".
        step: how r follows from t: the next point of a grid; a fixed difference of σ/α, its range over `intervals`;
            or in proportion to σ/α, by ECT's r/σ = 1 − q^{−stage} (1 + 8/(1 + e^σ)) with q = 2.
        grid: the clock in whose readings the grid's points are even.
        intervals: N at the end of the run; for "relative" 2^{stages} at its end.
        growth: "constant", or how N grows from `first_intervals`: CT's square root, iCT's doubling in stages of equal
            length (the last of them N, a doubling or not), or geometric.
        first_intervals: N at the start of the run.
        most_steps: k, points of the grid from t to r: drawn from 1 … k in proportion to k, CTM's law.
        solver: how x_r is reached with a velocity that is not "conditional": a DDIM or a Heun step.
        solver_steps: solver steps from t to r.
        space: whether d measures errors of F or of the map.
        step_power: p; rows weigh (σ_t/α_t − σ_r/α_r)^{−p}.
        mirrored: whether, where σ/α > 1, the target is f(m,r,s) + [f(x_r,r,s) − f(2m − x_r,r,s)]/2 with
            m = cos(θ_t − r) x_t. A pair's x_r has the right mean and a spread, and f's curvature turns the spread into
            a blur at every step; over the two mirror images it cancels. At lower noise the mean of x_r lies further
            from m than its spread, and the plain target is the better one.
    """

    diagonal_share: float = 0.0
    ends: Ends = "any"
    segments: int = 1
    step: Step = "grid"
    grid: ClockName = "uniform_angle"
    intervals: int = 64
    growth: Growth = "constant"
    first_intervals: int = 2
    most_steps: int = 1
    solver: Solver = "heun"
    solver_steps: int = 1
    space: Literal["network", "map"] = "network"
    step_power: float = 0.0
    mirrored: bool = False

    label: ClassVar[str] = "Discrete Eulerian identity"
    building_block: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = {"ends": Ends, "step": Step, "growth": Growth, "solver": Solver, "space": Literal["network", "map"]}
        for name, kind in kinds.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is one of {', '.join(get_args(kind))}; got {getattr(self, name)!r}.")
        if self.grid not in CLOCKS:
            raise ValueError(f"grid is one of {', '.join(CLOCKS)}; got {self.grid!r}.")
        if not 1 <= self.intervals <= 1_000_000:
            raise ValueError(f"intervals is from 1 to 1,000,000; got {self.intervals}.")
        if self.growth != "constant" and not 1 <= self.first_intervals <= self.intervals:
            raise ValueError("A growing grid needs 1 ≤ first_intervals ≤ intervals.")
        if min(self.segments, self.most_steps, self.solver_steps) < 1:
            raise ValueError("segments, most_steps and solver_steps are at least 1.")
        if not 0 <= self.step_power <= 2:
            raise ValueError(f"step_power lies between 0 and 2; got {self.step_power:g}.")
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
