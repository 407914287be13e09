"""A KL to be estimated, and which estimators there are for it: each registers the cases it fits, in its own file."""

from collections.abc import Callable
from dataclasses import dataclass

from cmcore.chain import Chain, JumpMap
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.targets.base import Target


@dataclass(frozen=True)
class Problem:
    """The KL between the law of the last state of a chain and p_δ.

    Attributes:
        f: the map of the stages; float64 goes in and comes out.
        target: the truth.
        chain: the stages, ending at δ.
        direction: which KL.
        seed: of all noise.
        n: samples behind the estimate; None: as many as the estimator takes by default.
    """

    f: JumpMap
    target: Target
    chain: Chain
    direction: Direction
    seed: int
    n: int | None = None

    @property
    def noisy_end(self) -> bool:
        """Whether the last stage adds noise, so that the law has a density that is a mean over landings."""
        return self.chain.stages[-1].spread > 0


Attempt = Callable[[Problem], Estimate | None]
"""An estimate, or None where the estimator does not fit the problem."""

FITTING: list[tuple[int, Attempt]] = []
"""All attempts with their ranks: the first that gives an estimate is taken."""


def fits(rank: int) -> Callable[[Attempt], Attempt]:
    """Register what an estimator says of a problem; exact ones have low ranks, general ones high."""

    def register(attempt: Attempt) -> Attempt:
        FITTING.append((rank, attempt))
        FITTING.sort(key=lambda ranked: ranked[0])
        return attempt

    return register
