r"""How the rates rise and fall over a training, and how far its curricula have come, from its config and the step.

The rates rise over the warm-up, stay until the length of the run is settled, and fall along half a cosine to zero at
its end. A plan may change on the way: because the pace of the machine did, and then the rates fall on from where they
are; or because the run was continued with a new budget, and then they rise anew (SGDR, Loshchilov & Hutter 2017,
arXiv:1608.03983), to `CONTINUED_PEAK` of the peak. Earlier plans stand in the config, so that it repeats the run.
"""

import math
from dataclasses import dataclass

from cmcore.config import TrainingConfig

CONTINUED_PEAK = 0.2
"""Peak of the rates of a continued run, as a share of their first peak."""


@dataclass(frozen=True)
class Moment:
    """Where the schedule of a training is at one step.

    Attributes:
        age: steps since the start, or since the run was last continued.
        factor: what the peak rates are multiplied by, 0 to 1.
        progress: share of the run that is done, for curricula; 0 until its length is settled, and what has grown stays.
    """

    age: int
    factor: float
    progress: float


def moment(config: TrainingConfig, step: int, steps: int | None) -> Moment:
    """The schedule at `step` of a run that is now planned to end at `steps`; None: not settled yet."""
    start = since = 0
    fallen = progress = 0.0
    peak = 1.0
    for plan in config.earlier:
        if step < plan.until:
            steps, hold = plan.steps, plan.hold
            break
        first = max(since, start + config.warmup, plan.hold)
        fallen, progress = (_advanced(share, plan.until, first, plan.steps) for share in (fallen, progress))
        since = plan.until
        if plan.continued:
            start, fallen, peak = plan.until, 0.0, CONTINUED_PEAK
    else:
        hold = config.hold
    first = max(since, start + config.warmup, hold)
    fallen, progress = (_advanced(share, step, first, steps) for share in (fallen, progress))
    age = step - start
    rising = min(1.0, (age + 1) / config.warmup) if config.warmup else 1.0
    return Moment(age, peak * (rising if age < config.warmup else (1 + math.cos(math.pi * fallen)) / 2), progress)


def _advanced(share: float, step: int, first: int, steps: int | None) -> float:
    """A share that was reached before step `first`, and is 1 at `steps`."""
    if steps is None:
        return share
    return share + (1 - share) * min(1.0, max(0, step - first) / max(1, steps - first))


def stage_start(config: TrainingConfig) -> int:
    """The step at which the run was last continued; 0 where it never was."""
    return max((plan.until for plan in config.earlier if plan.continued), default=0)


def restarts(config: TrainingConfig) -> frozenset[int]:
    """The steps at which the run was continued."""
    return frozenset(plan.until for plan in config.earlier if plan.continued)
