"""Best times: the search for the times with the least measured KL, in the background."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app import state
from app.background.jobs import JobView
from app.background.pools import answer_workers
from app.kl.curve import SEED
from app.runs.library import Run
from app.stage.custom_times import checked_times
from cmcore.chain import JumpSampler
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction
from cmcore.theory import BestChain, least_kl

JOB = "best times"
SEARCH_SEED = SEED + 1
"""The search's own noise. What it finds was chosen for that noise, and is measured again with the noise of the card."""


@dataclass
class Search:
    """A search under way: the share of its trials done and, at the end, what it found."""

    share: float = 0.0
    found: BestChain | None = None


class _Cancelled(Exception):
    """Nobody waits for this search any more."""


def search_times(run: Run, config: SamplerConfig, direction: Direction) -> None:
    """Start to search for this draw; an older search of this session is given up. May raise Busy."""
    job = answer_workers().submit(lambda stop: _search(run, config, direction, stop))
    state.keep_job(JOB, job)
    state.set_value("searched", _question(run, config, direction))


def searching(run: Run, config: SamplerConfig, direction: Direction) -> JobView[Search] | None:
    """The search for this draw, if there is one; for another draw it is left alone."""
    job = state.job(JOB)
    if job is None or state.value("searched") != _question(run, config, direction):
        return None
    return answer_workers().view(job)


def cancel_search() -> None:
    """Give the search up, or forget it."""
    state.drop_jobs(JOB)


def found_times(found: BestChain) -> tuple[float, ...] | None:
    """t_1 > … > t_{N−1} as the page keeps times; None where two of them are the same to four figures."""
    return checked_times(found.chain.grid.steps, list(found.chain.grid.times[1:-1]))


def found_share(found: BestChain) -> float:
    """η/t of renoised draws: one share for all times, unless it reached before the time the map was trained to."""
    times = found.chain.grid.times[1:]
    return round(max((eta / t for eta, t in zip(found.chain.etas, times, strict=True) if t > 0), default=0.0), 3)


def _question(run: Run, config: SamplerConfig, direction: Direction) -> tuple[str, str, str]:
    """What is searched for does not depend on the named grid, the times, or η that are on screen now."""
    free = config.model_copy(update={"times": None, "grid": "", "renoise": 0.0})
    return run.key, free.key, direction


def _search(run: Run, config: SamplerConfig, direction: Direction, stop: threading.Event) -> Iterator[Search]:
    search = Search()
    yield search

    def progress(share: float) -> None:
        if stop.is_set():
            raise _Cancelled
        search.share = share

    sampler: JumpSampler = "renoise" if config.sampler == "renoise" else "deterministic"
    choices: dict[str, Any] = {"horizon": config.horizon, "delta": config.delta, "direction": direction}
    try:
        search.found = least_kl(
            run.model,
            run.target,
            config.steps,
            seed=SEARCH_SEED,
            sampler=sampler,
            progress=progress,
            **choices,
        )
    except _Cancelled:
        return
    yield search
