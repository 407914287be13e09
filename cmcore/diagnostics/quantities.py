"""What can be mapped over the plane and over time: the error of a jump, and the residuals of the identities.

Each is a number at least 0 for every point x at time t, for jumps to s, and zero at the exact map.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.diagnostics.map_error import ExactPairs, landing_error
from cmcore.diagnostics.residuals import eulerian_residual, lagrangian_residual, semigroup_residual
from cmcore.flow import ExactFlow
from cmcore.registry import Registry
from cmcore.targets.base import Target
from cmcore.theory.interval import Interval, mean


class OverLaw(NamedTuple):
    """The size of a quantity over the true law: its root mean square and two quantiles.

    Attributes:
        root_mean_square: with its 95 % interval. Where a map errs most near the borders between basins, a few points
            decide it, and the interval is wide.
        median, most: half of the law lies below the first, 95 % below the second.
    """

    root_mean_square: Interval
    median: float
    most: float


@dataclass(frozen=True)
class Quantity:
    """One number for every (x, t, s).

    Attributes:
        label: for people.
        formula: what it is, in symbols.
        unit: "x" for lengths in the target's coordinates, "x/rad" for lengths per radian of θ.
        needs_truth: whether Φ_{t→s}(x) must be known.
        between: whether it asks the map for jumps to times other than s.
        along_end: whether it asks how the landing moves with s.
        measure: (f, target, x, t, s, Φ_{t→s}(x)) → numbers; of f the last two residuals ask that it be a FlowMap.
    """

    label: str
    formula: str
    unit: str
    measure: Callable[[Any, Target, Tensor, float, float, Tensor], Tensor]
    needs_truth: bool = False
    between: bool = False
    along_end: bool = False

    def at(
        self,
        f: JumpMap,
        target: Target,
        x: Float[Tensor, "n d"],
        t: float,
        s: float,
        *,
        truth: Float[Tensor, "n d"] | None = None,
        tolerance: float = 1e-7,
    ) -> Float[Tensor, " n"]:
        """The numbers at chosen points; `truth` is Φ_{t→s}(x) where it is known already."""
        if truth is None:
            truth = ExactFlow(target, tolerance=tolerance)(x, t, s) if self.needs_truth else x
        return self.measure(f, target, x, t, s, truth)

    def over_times(self, f: JumpMap, target: Target, pairs: ExactPairs) -> Iterator[OverLaw]:
        """What the quantity is over p_t, at each time of the pairs in order.

        All times share their paths, so that the curve is smooth and its intervals move together.
        """
        for x, t in zip(pairs.states, pairs.times, strict=True):
            values = self.measure(f, target, x, t, pairs.s, pairs.ends)
            yield OverLaw(mean(values.square()).root(), float(values.quantile(0.5)), float(values.quantile(0.95)))


QUANTITIES: Registry[Quantity] = Registry("quantity")
"""Everything that the maps over x and t show, by name."""

QUANTITIES.register("map_error")(
    Quantity(
        "Error",
        "|f(x, t, s) − Φ(x, t, s)|",
        "x",
        lambda f, target, x, t, s, truth: landing_error(f, x, t, s, truth=truth),
        needs_truth=True,
    )
)
QUANTITIES.register("semigroup")(
    Quantity(
        "Semigroup",
        "|f(f(x, t, u), u, s) − f(x, t, s)|",
        "x",
        lambda f, target, x, t, s, truth: semigroup_residual(f, x, t, s),
        between=True,
    )
)
QUANTITIES.register("lagrangian")(
    Quantity(
        "Lagrangian",
        "|∂f/∂θₛ − v(f, s)|",
        "x/rad",
        lambda f, target, x, t, s, truth: lagrangian_residual(f, target, x, t, s),
        along_end=True,
    )
)
QUANTITIES.register("eulerian")(
    Quantity(
        "Eulerian",
        "|∂f/∂θₜ + ∇f · v(x, t)|",
        "x/rad",
        lambda f, target, x, t, s, truth: eulerian_residual(f, target, x, t, s),
    )
)
