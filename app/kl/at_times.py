"""The KL of a draw whose times were moved, measured in the background beside the curve of the named grid."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cmcore as cm
from app import state
from app.background.jobs import Busy
from app.background.pools import measuring_workers
from app.kl.curve import LEASE, Measured, known_now, leave_off_others, measured
from app.kl.question import LANDINGS, SEED
from app.runs.library import Run
from app.stage.custom_times import Moved, fitting, with_times
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.measure import kl_points

JOB = "moved"
KEPT = 64
"""Estimates a session remembers."""


@dataclass(frozen=True)
class MovedKL:
    """The estimate at moved times, or in a sentence why there is none yet."""

    estimate: Estimate | None = None
    waiting: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Known:
    """What the page knows of a run.

    Attributes:
        curve: with the named grid.
        shown: with the moved times in its place, at every N that has some.
        moved: the estimates at moved times, by N.
    """

    curve: Measured
    shown: Measured
    moved: Mapping[int, Estimate]


def known_already(run: Run, config: SamplerConfig, direction: Direction) -> Known:
    """What is known now. Nothing begins, and what goes on for another question ends: the picture needs the cores."""
    leave_off_others(run, config, direction)
    moved = state.value("moved times")
    found = {n: _kept(run, _moved_to(config, n, moved), direction) for n in fitting(moved, config)}
    return _together(known_now(run, config, direction), found)


def known(run: Run, config: SamplerConfig, direction: Direction) -> Known:
    """What is known now; starts measuring what is not, the moved times on screen first."""
    moved = state.value("moved times")
    found = {}
    for n in fitting(moved, config):
        at = _moved_to(config, n, moved)
        found[n] = _moved_kl(run, at, direction) if n == config.steps else _kept(run, at, direction)
    return _together(measured(run, config, direction), found)


def _moved_to(config: SamplerConfig, n: int, moved: Moved) -> SamplerConfig:
    return with_times(config.model_copy(update={"steps": n}), moved)


def _together(curve: Measured, found: Mapping[int, MovedKL]) -> Known:
    shown = curve
    for n, kl in found.items():
        shown = _in_its_place(shown, n, kl)
    return Known(curve, shown, {n: kl.estimate for n, kl in found.items() if kl.estimate is not None})


def _key(run: Run, config: SamplerConfig, direction: Direction) -> str:
    return f"{run.key}/{config.key}/{direction}"


def _kept(run: Run, config: SamplerConfig, direction: Direction) -> MovedKL:
    return state.session_dict("moved kl").get(_key(run, config, direction), MovedKL())


def _moved_kl(run: Run, config: SamplerConfig, direction: Direction) -> MovedKL:
    """The KL with the times of `config`; the first question starts measuring it, ahead of the rest of the curve."""
    key = _key(run, config, direction)
    kept = state.session_dict("moved kl")
    if key in kept:
        return kept[key]
    if state.value("moved kl of") != key or state.job(JOB).status == "stopped":
        state.drop_jobs("kl:", unfinished=True)  # which goes on afterwards, where it was
        try:
            job = measuring_workers().submit(lambda stop: _measure(run, config, direction, stop), lease=LEASE)
        except Busy as busy:
            return MovedKL(problem=str(busy))
        state.keep_job(JOB, job)
        state.set_value("moved kl of", key)
    view = measuring_workers().view(state.job(JOB))
    if not view.over:
        words = f"Waiting for a worker, place {view.place} in the queue." if view.place else "Measuring."
        return MovedKL(waiting=words)
    kept[key] = MovedKL(view.latest, problem=view.problem)
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return kept[key]


def _measure(run: Run, config: SamplerConfig, direction: Direction, stop: threading.Event) -> Iterator[Estimate]:
    if stop.is_set() or config.times is None:
        return
    points = kl_points(
        run.model,
        run.target,
        [config.steps],
        seed=SEED,
        sampler=config.sampler,
        grid=cm.TimeGrid(config.times),
        renoise=config.renoise,
        n=LANDINGS if config.sampler == "renoise" else None,
        direction=direction,
    )
    yield next(points).estimate


def _in_its_place(known: Measured, steps: int, moved: MovedKL) -> Measured:
    """What is known, with the moved times in the place of the named grid at N = steps."""
    estimates = {n: estimate for n, estimate in known.estimates.items() if n != steps}
    if moved.estimate is not None:
        estimates[steps] = moved.estimate
    bound = {n: value for n, value in known.bound.items() if n != steps}
    waiting = moved.waiting or known.waiting
    return replace(known, estimates=estimates, bound=bound, first=None, waiting=waiting, problem=moved.problem)
