"""The stage of Explore: what it shows of a run, and what a person does on the stage itself."""

from dataclasses import replace
from typing import Any

import streamlit as st

from app import state
from app.cards import short
from app.components.particle_stage import Scene, particle_stage
from app.controls.sampler import REDRAWN, SAMPLERS
from app.layers import background_layers, still_layering
from app.measurements import Measured
from app.runs import Run
from app.scene import STEPS, grids_of, make_scene
from app.start import OwnPaths, Start, checked_start, own_paths, with_start
from app.times import Moved, checked_times, fitting, write_times
from cmcore.config import SamplerConfig

__all__ = ["restore_times", "stage"]

KEY = "particles"
POLL = 0.8
"""Seconds between looks at layers under way."""


def stage(run: Run, config: SamplerConfig, known: Measured) -> None:
    """The run's particles, exact paths and layers, for every N; `known` says what stands beside the small multiples."""
    moved = fitting(state.value("moved times"), config)
    key, how = _question(run, config, moved)
    layers = background_layers(key, run, how)
    if layers.pending:
        st.fragment(_when_layered, run_every=POLL)(key)
    scene = replace(_scene(key, run, how), layers=layers.known, pending=layers.pending, moved=tuple(moved))
    start: Start | None = state.value("start")
    if start is not None and run.target.dim == 2:
        scene = with_start(scene, _own(key, start, state.value("release", 0), run, how))
    particle_stage(
        scene,
        steps=config.steps,
        labels={n: short(known.estimates.get(n)) or "moved" * (n in moved) for n in scene.multiples},
        key=KEY,
        on_steps=_take_steps,
        on_start=_take_start,
        on_times=_take_times,
        on_sampler=_take_sampler,
    )


def _question(run: Run, config: SamplerConfig, moved: Moved) -> tuple[str, dict[str, Any]]:
    """What the scene is made from, and the key of all of it: the scene holds every N, so N is no part of either.

    The scene's own key leaves the moved times out, since the noise stays: the stage goes on where it is.
    """
    seed, particles = int(state.value("seed")), int(state.value("particle count"))
    how = {"config": config, "grids": grids_of(config, moved), "seed": seed, "particles": particles}
    key = f"{run.key}/{config.model_copy(update={'steps': 1, 'times': None}).key}/{seed}/{particles}"
    return f"{key}/{write_times(moved)}", how


@st.cache_data(max_entries=64, show_spinner=False)
def _scene(key: str, _run: Run, _how: dict[str, Any]) -> Scene:
    return make_scene(_run.model, _run.target, key=key.rpartition("/")[0], **_how)


@st.cache_data(max_entries=64, show_spinner=False)
def _own(key: str, start: Start, release: int, _run: Run, _how: dict[str, Any]) -> OwnPaths:
    how = {name: value for name, value in _how.items() if name != "particles"}
    return own_paths(_run.model, _run.target, start=start, release=release, **how)


def _when_layered(key: str) -> None:
    """The stage is told once its layers are there; the picture does not wait for them."""
    if not still_layering(key):
        st.rerun()


# ---- what is done on the stage itself ---------------------------------------------------------------------------
def _told(name: str) -> Any:
    return state.value(KEY, {}).get(name)


def _take_steps() -> None:
    """N was chosen: the slider follows."""
    if _told("steps") in STEPS:
        state.choose("steps", _told("steps"))


def _take_sampler() -> None:
    """The other sampler was asked for by its key."""
    wanted = (_told("sampler") or {}).get("to")
    if wanted in SAMPLERS:
        state.choose("sampler", wanted)


def _take_start() -> None:
    """A start was put there, moved, or removed; each release draws fresh noise again where that was asked for."""
    state.choose("start", checked_start((_told("start") or {}).get("at")))
    if state.value("own_noise") == REDRAWN:
        state.choose("release", state.value("release", 0) + 1)


def _take_times() -> None:
    """Times were moved, or given back to the named grid."""
    told = _told("times") or {}
    times = checked_times(told.get("steps"), told.get("times"))
    if times is None:
        restore_times(told.get("steps"))
    else:
        state.choose("moved times", {**(state.value("moved times") or {}), told["steps"]: times})


def restore_times(steps: object) -> None:
    """N jumps take the named grid again."""
    left = {n: times for n, times in (state.value("moved times") or {}).items() if n != steps}
    state.choose("moved times", left or None)
