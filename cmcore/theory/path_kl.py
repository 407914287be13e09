r"""Where the KL of a renoised sampler comes from, part by part.

The KL between the whole paths of the sampler and of the same chain run with the exact flow from p_T is, exactly,

.. math:: KL(\text{paths}) = KL(p_T\|\gamma) + \sum_k \frac{\varepsilon_k^2}{2\,(e^{2\eta_{k+1}} - 1)}

(derived in :mod:`cmcore.theory.bound_a`). Of it the last states show KL(p_δ‖q), which is no more; the slack between
the two is what renoising has forgotten of the errors made on the way.
"""

import math
from dataclasses import dataclass
from typing import Any

from cmcore.chain import JumpSampler
from cmcore.divergences import DATA_MODEL, Estimate, kl
from cmcore.grids import TimeGrid
from cmcore.targets.base import Target
from cmcore.theory.bound_a import BoundA, bound_a
from cmcore.theory.interval import Interval


@dataclass(frozen=True)
class Decomposition:
    """The KL of the paths, its parts, and how much of it the last states show; in nats.

    Attributes:
        path: KL(paths), the sum of the parts, which is Bound A.
        initialisation: KL(p_T‖γ).
        jumps: ε_k²/(2(e^{2η_{k+1}} − 1)) of every jump.
        measured: KL(p_δ‖q), with its own interval and floor.
        slack: path − measured. Never negative in truth; its interval is not cut at 0, so that noise can be seen.
    """

    path: Interval
    initialisation: Interval
    jumps: tuple[Interval, ...]
    measured: Estimate
    slack: Interval

    @classmethod
    def of(cls, bound: BoundA, measured: Estimate) -> "Decomposition":
        """Bound A of a draw beside the estimate of KL(p_δ‖q) of the same draw; another direction is a ValueError."""
        if measured.direction != DATA_MODEL:
            raise ValueError(f"Bound A bounds {DATA_MODEL}; the estimate is of {measured.direction}.")
        return cls(bound.total, bound.initialisation, bound.jumps, measured, _difference(bound.total, measured))

    @property
    def floor(self) -> float:
        """The smallest KL the estimator can tell from zero: part of neither the parts nor the slack."""
        return self.measured.floor


def decomposition(
    model: Any,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    sampler: JumpSampler = "renoise",
    renoise: float | None = None,
    n: int = 16_384,
    landings: int | None = None,
) -> Decomposition:
    """The KL of renoised sampling taken apart.

    Args:
        model: a trained model or any map (x, t, s) → x_s.
        target: the truth.
        grid: the times; δ > 0, so that every stage adds noise.
        seed: of the points and the noise behind every number.
        sampler, renoise: as of :func:`cmcore.theory.bound_a`.
        n: points for the map error of each jump.
        landings: behind the measured KL, where its estimator draws any; by default as many as `cmcore.kl` takes.
    """
    parts = bound_a(model, target, grid, seed=seed, sampler=sampler, renoise=renoise, n=n)
    measured = kl(model, target, grid, seed=seed, sampler=sampler, renoise=renoise, n=landings, direction=DATA_MODEL)
    return Decomposition.of(parts, measured)


def _difference(path: Interval, measured: Estimate) -> Interval:
    """path − measured. The two come from independent draws, so the squares of their errors add."""
    value = path.value - measured.value
    below = math.hypot(path.value - path.low, measured.high - measured.value)
    above = math.hypot(path.high - path.value, measured.value - measured.low)
    if math.isnan(value):  # no estimator knows the law, so all that is left is that neither KL is negative
        return Interval(value, 0.0, path.high)
    return Interval(value, value - below, value + above)
