"""The stage: what it shows of one map, or of several side by side, and what a person does on the stage itself.

Explore has one and lessons have one; what was done on each is kept apart by `place`, with which the names of its values
begin.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as fields
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from torch import Tensor

from app import state
from app.components.flow_map import bundle, flow_map
from app.components.particle_stage import Mover, SamplerSettings, Scene, particle_stage
from app.components.values import StagedChoice, StagedLayers, StagedStart, StagedTimes, sent
from app.stage.custom_times import ChosenTimes, checked_times, fitting, write_times
from app.stage.in_browser import bundle_of, drawing_of, first_drawing
from app.stage.layers import Layered, background_layers, still_layering
from app.stage.own_start import OwnPaths, Start, checked_start, own_paths, with_start
from app.stage.projections import column_names
from app.stage.sampler import REDRAWN, SAMPLERS
from app.stage.scene import FOLLOWED, PARTICLES, STEPS, Mapped, density_image, exact_paths, grids_of, make_scene
from app.ui.cards import short
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Estimate
from cmcore.sampling_defaults import delta_for

KEY = "particles"
LIVE = "training"
"""The name under which the weights of a training travel, so that the newest take the place of those before."""
MAP_LAYERS = frozenset({"mesh", "folds", "model", "ratio"})
"""Layers that are made only once somebody wants to see them: they cost more than all the rest."""
POLL = 0.8
"""Seconds between looks at layers under way."""


@dataclass(frozen=True)
class StagedMap:
    """A map as the stage shows it.

    Attributes:
        run: the map and its target.
        estimates: of its KL by N, which stand beside the small multiples.
        mover: what jumps.
        title: what it is called where another one stands beside it.
    """

    run: Mapped
    estimates: Mapping[int, Estimate] = fields(default_factory=dict)
    mover: Mover = "model"
    title: str = ""


def stage(
    maps: Sequence[StagedMap], config: SamplerConfig, *, place: str = "", visible: Sequence[str] | None = None
) -> None:
    """Particles, exact paths and layers for every N, of one map or of several of one target from the same noise.

    Args:
        maps: which.
        config: how all of them are drawn.
        place: whose start, moved times, seed and number of particles; "" is Explore.
        visible: the layers shown at first; None leaves the stage's own.
    """
    moved = fitting(state.value(f"{place}moved times"), config)
    asked = [(each, *_question(each.run, config, moved, place)) for each in maps]
    wanted = state.value(f"{place}map layers", False) or bool(set(visible or ()) & MAP_LAYERS)
    layers = background_layers([(key, each.run, how) for each, key, how in asked]) if wanted else Layered()
    if layers.pending:
        st.fragment(_when_layered, run_every=POLL)(layers.key)
    learned = max(getattr(each.run.model, "delta", 0.0) for each in maps)
    scenes = []
    for number, (each, key, how) in enumerate(asked):
        if (weights := bundle_of(each.run.key, each.run)) is not None:
            flow_map(weights, number)
        scene = _with_start_of(place, _scene(key, weights is not None, each.run, maps[0].run, how), key, each.run, how)
        scene = replace(scene, layers=layers.of(number), pending=layers.pending, title=each.title, mover=each.mover)
        scene = replace(
            scene, drawing=drawing_of(each.run, config, place, learned), moved=tuple(moved), visible=visible
        )
        labels = {n: short(each.estimates.get(n)) or "moved" * (n in moved) for n in scene.multiples}
        scenes.append(replace(scene, labels=labels))
    particle_stage(
        *scenes,
        steps=config.steps,
        key=f"{place}{KEY}",
        on_choice=partial(_take_choice, place),
        on_start=partial(_take_start, place),
        on_times=partial(_take_times, place),
        on_layers=partial(_take_layers, place),
    )


def live_weights(model: object) -> None:
    """Hand the newest weights of a training to :func:`live_stage`."""
    if (weights := bundle(model, LIVE)) is not None:
        flow_map(weights)


def live_stage(run: Mapped, config: SamplerConfig, *, learned: bool) -> None:
    """The stage of a map that is being learned, drawn by the browser from whichever weights came last.

    `learned`: whether the map is the one that the training ends with; its picture is the one that Explore shows first.
    """
    how = {"config": config, "grids": grids_of(config), "seed": 0, "particles": PARTICLES}
    scene = _scene(_key(run, how) + "/" + write_times({}), True, run, run, how, learned=learned)
    learned_from = getattr(run.model, "delta", 0.0)
    drawing = first_drawing(
        run,
        config,
        LIVE,
        place=f"{LIVE} ",
        seed=how["seed"],
        particles=how["particles"],
        settings={
            name: SamplerSettings(label, config.renoise, delta_for(name, learned_from))
            for name, label in SAMPLERS.items()
        },
        live=True,
    )
    particle_stage(replace(scene, drawing=drawing), steps=config.steps, key=f"{LIVE} {KEY}")


def draw_on_stage(config: SamplerConfig, place: str = "") -> dict[str, Any]:
    """The `grids`, the `seed` and the number of `particles` of what is drawn on the stage of that place."""
    return {
        "grids": grids_of(config, fitting(state.value(f"{place}moved times"), config)),
        "seed": int(state.value(f"{place}seed")),
        "particles": int(state.value(f"{place}particle count")),
    }


def _question(run: Mapped, config: SamplerConfig, moved: ChosenTimes, place: str) -> tuple[str, dict[str, Any]]:
    """What the scene is made from, and the key of all of it: the scene holds every N, so N is no part of either.

    The scene's own key leaves the moved times out, since the noise stays: the stage goes on where it is.
    """
    how = {"config": config, **draw_on_stage(config, place)}
    return f"{_key(run, how)}/{write_times(moved)}", how


def _key(run: Mapped, how: Mapping[str, Any]) -> str:
    config = how["config"].model_copy(update={"steps": 1, "times": None})
    return f"{run.key}/{config.key}/{how['seed']}/{how['particles']}"


def _with_start_of(place: str, scene: Scene, key: str, run: Mapped, how: dict[str, Any]) -> Scene:
    """The scene with the start that somebody chose there, if there is one."""
    start: Start | None = state.value(f"{place}own start")
    if start is None or run.target.dim != 2:
        return scene
    return with_start(scene, _own(key, start, state.value(f"{place}release", 0), run, how))


@st.cache_data(max_entries=64, show_spinner=False)
def _scene(
    key: str, in_browser: bool, _run: Mapped, _first: Mapped, _how: dict[str, Any], *, learned: bool = True
) -> Scene:
    """The scene of a map; what it is compared with is that of the `first` on the stage, which has the same target."""
    config: SamplerConfig = _how["config"]
    exact = None
    if config.sampler == "deterministic":
        ends = (config.horizon, config.delta, _how["seed"], min(_how["particles"], FOLLOWED))
        exact = _exact(f"{_first.key}/{ends}", _first, config, _how["seed"], _how["particles"])
    known: dict[str, Any] = {"density": _density(_first.key, config.delta, _first), "exact": exact}
    known |= {"in_browser": in_browser, "learned": learned}
    scene = make_scene(_run.model, _run.target, key=key.rpartition("/")[0], **known, **_how)
    return replace(scene, axes=column_names(_run.target))


@st.cache_data(max_entries=64, show_spinner=False)
def _exact(key: str, _run: Mapped, _config: SamplerConfig, _seed: int, _particles: int) -> Tensor:
    """The same for every N, grid and moved time."""
    return exact_paths(_run.model, _run.target, _config, seed=_seed, particles=_particles)


@st.cache_data(max_entries=64, show_spinner=False)
def _density(run_key: str, delta: float, _run: Mapped) -> np.ndarray:
    """The same for every sampler, grid and seed."""
    return density_image(_run.target, delta)


@st.cache_data(max_entries=64, show_spinner=False)
def _own(key: str, start: Start, release: int, _run: Mapped, _how: dict[str, Any]) -> OwnPaths:
    how = {name: value for name, value in _how.items() if name != "particles"}
    return own_paths(_run.model, _run.target, start=start, release=release, **how)


def _when_layered(key: Hashable) -> None:
    """The stage is told once its layers are there; the picture does not wait for them."""
    if not still_layering(key):
        st.rerun()


# ---- what is done on the stage itself ---------------------------------------------------------------------------
def _sent(place: str, name: str, shape: Any) -> Any:
    return sent(state.value(f"{place}{KEY}"), name, shape)


def _take_choice(place: str) -> None:
    """N or the sampler was chosen on the stage: the controls follow.

    Both are taken: a control that has not followed an earlier choice yet reports what it showed before.
    """
    choice: StagedChoice | None = _sent(place, "choice", StagedChoice)
    if choice is None:
        return
    if choice.steps in STEPS:
        state.set_until_rendered(f"{place}steps", choice.steps)
    if choice.sampler in SAMPLERS:
        state.set_until_rendered(f"{place}sampler", choice.sampler)


def _take_start(place: str) -> None:
    """A start was put there, moved, or removed; each release draws fresh noise again where that was asked for."""
    start: StagedStart | None = _sent(place, "start", StagedStart)
    if start is None:
        return
    state.set_value(f"{place}own start", checked_start(start.at))
    if state.value("own_noise") == REDRAWN:
        state.set_value(f"{place}release", state.value(f"{place}release", 0) + 1)


def _take_times(place: str) -> None:
    """Times were moved, or given back to the named grid."""
    moved: StagedTimes | None = _sent(place, "times", StagedTimes)
    if moved is None:
        return
    times = checked_times(moved.steps, moved.times)
    if times is None:
        restore_times(moved.steps, place)
    else:
        key = f"{place}moved times"
        state.set_value(key, {**(state.value(key) or {}), moved.steps: times})


def _take_layers(place: str) -> None:
    """Somebody wants to see what the map does to space."""
    if _sent(place, "layers", StagedLayers) is not None:
        state.set_value(f"{place}map layers", True)


def restore_times(steps: int, place: str = "") -> None:
    """N jumps take the named grid again."""
    key = f"{place}moved times"
    left = {n: times for n, times in (state.value(key) or {}).items() if n != steps}
    state.set_value(key, left or None)
