"""What Inside asks of a run, what of it is known, and the measuring of the rest in the background."""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from app import state
from app.background.jobs import JobView
from app.background.pools import inside_workers
from app.kl.question import Once
from app.pages.inside import compute
from app.pages.inside.flow_1d import flow_scene
from app.runs.library import Run
from app.stage.scene import STEPS

KEPT = 160
"""Answers in memory; a map over the plane takes a quarter of a megabyte."""


@dataclass(frozen=True)
class Look:
    """What is looked at: jumps of a run from t to s, and its samples in N jumps."""

    run: Run
    t: float
    s: float
    steps: int


@dataclass(frozen=True)
class Part:
    """One thing to measure: under which key it is kept, in words, and how it is made."""

    name: str
    key: Hashable
    words: str
    make: Callable[[], Any]


@dataclass(frozen=True)
class Going:
    """How far the measuring is."""

    done: int
    total: int
    words: str
    problems: Mapping[Hashable, str]


_answers: Once[Any] = Once(KEPT)


def parts(look: Look) -> list[Part]:
    """Everything that this look shows, what is seen first before the rest."""
    run, d = look.run, look.run.target.dim
    found = []
    if d == 1:
        found.append(Part("flow", (run.key,), "the whole flow", partial(flow_scene, run)))
        found.append(Part("line", (run.key, look.s), "maps over x and t", partial(compute.time_maps, run, look.s)))
    if d == 2:
        make = partial(compute.plane_maps, run, look.t, look.s)
        found.append(Part("plane", (run.key, look.t, look.s), "maps over the plane", make))
    found.append(Part("times", (run.key, look.s), "errors over time", partial(compute.over_times, run, look.s)))
    found += [
        Part(f"masses {n}", (run.key, n), f"the modes at N = {n}", partial(compute.masses_of, run, n))
        for n in sorted(STEPS, key=lambda n: n != look.steps)
    ]
    found.append(Part("bends", (run.key,), "how the paths bend", partial(compute.bends_of, run)))
    return found


def known(look: Look) -> dict[str, Any]:
    """What has been measured, by name of the part."""
    told = {part.name: _answers.peek((part.name, part.key)) for part in parts(look)}
    return {name: answer for name, answer in told.items() if answer is not None}


def problem_of(look: Look, name: str) -> str:
    """Why a part could not be measured; empty where it could, or was not tried."""
    return next((_problems().get((part.name, part.key), "") for part in parts(look) if part.name == name), "")


def forget() -> None:
    """Forget everything that was measured."""
    _answers.clear()


def _problems() -> dict[Hashable, str]:
    return state.session_dict("inside problems")


# ---- measuring --------------------------------------------------------------------------------------------------
def looking(look: Look) -> JobView[Going] | None:
    """The measuring of what is not known, begun now if need be; None once all is there. May raise Busy."""
    name = f"inside:{look.run.key}:{look.t:g}:{look.s:g}"
    job = state.job(name)
    if job is not None:
        told = inside_workers().view(job)
        _problems().update(told.latest.problems if told.latest else {})
        if told.status != "stopped":
            return told if not told.over or told.problem else None
    if not _missing(look, _problems()):
        return None
    state.drop_jobs("inside:")
    job = inside_workers().submit(partial(_measure, look, dict(_problems())))
    state.keep_job(name, job)
    return inside_workers().view(job)


def _missing(look: Look, failed: Mapping[Hashable, str]) -> list[Part]:
    keys = [((part.name, part.key), part) for part in parts(look)]
    return [part for key, part in keys if key not in failed and _answers.peek(key) is None]


def _measure(look: Look, failed: dict[Hashable, str], stop: threading.Event) -> Iterator[Going]:
    """Part by part; one that cannot be had is a sentence, and the others go on."""
    missing = _missing(look, failed)
    for done, part in enumerate(missing):
        if stop.is_set():
            return
        yield Going(done, len(missing), part.words, dict(failed))
        try:
            _answers.get((part.name, part.key), part.make)
        except ValueError as problem:
            failed[part.name, part.key] = str(problem)
    yield Going(len(missing), len(missing), "", dict(failed))
