"""The layers of a scene that take longer than its picture: made in the background, kept for a while."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app import state
from app.background.jobs import Busy
from app.background.pools import measuring_workers
from app.components.particle_stage import MapLayers
from app.stage.scene import Mapped, map_layers

KEPT = 8
"""Scenes whose layers a session remembers."""
JOB = "layers"


@dataclass(frozen=True)
class Layered:
    """What is known of a scene's layers, and whether they are still being made."""

    known: MapLayers | None = None
    pending: bool = False


def background_layers(key: str, run: Mapped, how: Mapping[str, Any]) -> Layered:
    """The layers of the scene of that key, made as `map_layers` is told to; the first question starts the work."""
    kept = state.session_dict("layers")
    if key in kept:
        return Layered(kept[key])
    if how["config"].sampler != "deterministic" or run.target.dim != 2:
        return Layered()
    if state.value("layers of") != key:
        try:
            work = measuring_workers().submit(lambda stop: _made(run, how, stop))
        except Busy:
            return Layered()
        state.keep_job(JOB, work)
        state.set_value("layers of", key)
    return Layered(kept[key]) if _take(key) else Layered(pending=True)


def still_layering(key: str) -> bool:
    """Whether the layers of that scene are being made; looking keeps the work alive."""
    return state.value("layers of") == key and not _take(key)


def _take(key: str) -> bool:
    """Whether the work is over; what it made is kept."""
    job = state.job(JOB)
    view = measuring_workers().view(job)
    if view.status == "stopped":  # nobody looked for a while: begin again
        state.set_value("layers of", None)
    if not view.over or view.status == "stopped":
        return False
    kept = state.session_dict("layers")
    kept[key] = view.latest
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return True


def _made(run: Mapped, how: Mapping[str, Any], stop: threading.Event) -> Iterator[MapLayers | None]:
    if not stop.is_set():
        yield map_layers(run.model, run.target, **how)
