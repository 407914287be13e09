"""What the browser draws a stage from: the run's weights, and how it is drawn."""

from typing import Any

import streamlit as st

from app import state
from app.components.flow_map import bundle, evaluated, hash_of
from app.components.particle_stage import Drawing, SamplerSettings
from app.stage.sampler import REDRAWN, SAMPLERS, kept_delta
from app.stage.scene import Mapped, label_of
from cmcore.config import SamplerConfig
from cmcore.grids import GRIDS


def learned_in_sight(model: object) -> bool:
    """Whether the browser can draw the stage of a map that is being learned: it has code for it, in the plane."""
    f = evaluated(model)
    return f is not None and f.dim == 2


@st.cache_data(max_entries=32, show_spinner=False)
def bundle_of(run_key: str, _run: Mapped) -> bytes | None:
    """The weights of a run as they travel; None where the browser has no code for its map."""
    return bundle(_run.model)


def drawing_of(run: Mapped, config: SamplerConfig, place: str, learned: float) -> Drawing | None:
    """What the browser draws from on the stage of that place; None where the server must draw.

    `learned` is the earliest time that all maps on the stage learned.
    """
    weights = bundle_of(run.key, run)
    if weights is None:
        return None
    return first_drawing(
        run,
        config,
        hash_of(weights),
        place=place,
        seed=int(state.value(f"{place}seed")),
        particles=int(state.value(f"{place}particle count")),
        settings={} if place else {name: _settings(name, label, config, learned) for name, label in SAMPLERS.items()},
        release=state.value(f"{place}release", 0),
        redrawn=state.value("own_noise") == REDRAWN,
    )


def first_drawing(run: Mapped, config: SamplerConfig, weights: str, **how: Any) -> Drawing:
    """What the browser draws at first: as a config says, by the map whose weights have that name.

    `how` are the fields of `Drawing` that neither the run nor the config has.
    """
    return Drawing(
        run=run.key,
        map=weights,
        label=label_of(run.target),
        sampler=config.sampler,
        share=config.renoise,
        grid=config.grid,
        horizon=config.horizon,
        delta=config.delta,
        grids=tuple(GRIDS),
        **how,
    )


def _settings(name: str, label: str, config: SamplerConfig, learned: float) -> SamplerSettings:
    delta = kept_delta(config.delta, name, learned)
    return SamplerSettings(label, state.value("renoise", config.renoise), delta)
