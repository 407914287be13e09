"""Best times: the search for the times with the least measured KL, in the background."""

from collections.abc import Hashable
from typing import Any

from app.background.pools import answer_workers
from app.background.task import Report, Task
from app.kl.question import SEED
from app.runs.library import Run
from app.stage.custom_times import checked_times
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction
from cmcore.samplers import SAMPLERS
from cmcore.theory import BestChain, least_kl

SEARCH_SEED = SEED + 1
"""The search's own noise. What it finds was chosen for that noise, and is measured again with the noise of the card."""
SEARCH: Task[BestChain] = Task("best times", answer_workers, resumes=False)


def search_key(run: Run, config: SamplerConfig, direction: Direction) -> Hashable:
    """What is searched for: it does not depend on the named grid, the times, or η that are on screen now."""
    free = config.model_copy(update={"times": None, "grid": "", "renoise": 0.0})
    return run.key, free.key, direction


def search_times(run: Run, config: SamplerConfig, direction: Direction, report: Report[BestChain]) -> BestChain:
    """The times with the least KL for this draw."""
    choices: dict[str, Any] = {"horizon": config.horizon, "delta": config.delta, "direction": direction}
    choices |= {"sampler": config.sampler}
    return least_kl(
        run.model,
        run.target,
        config.steps,
        seed=SEARCH_SEED,
        progress=lambda share: report(share, "Searching for the best times."),
        **choices,
    )


def times_of(best: BestChain) -> tuple[float, ...] | None:
    """t_1 > … > t_{N−1} as the page keeps times; None where two of them are the same to four figures."""
    return checked_times(best.chain.grid.steps, list(best.chain.grid.times[1:-1]))


def share_of(best: BestChain, sampler: str) -> float:
    """η/t, or η/h of the paper's sampler: one share for all jumps, where nothing shortened η."""
    of_step = SAMPLERS[sampler].share_of == "step"
    whole = [t - later if of_step else later for t, later in best.chain.grid.jumps]
    shares = [eta / size for eta, size in zip(best.chain.etas, whole, strict=True) if size > 0]
    return round(max(shares, default=0.0), 3)
