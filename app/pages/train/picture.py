"""The picture of Train: the sheet while something is drawn; else the target, and what the run makes of noise by now.

The browser draws that on the stage of Explore, from the newest weights. What it has no code for, and what lies outside
the plane, is a cloud of samples drawn beside the training.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

import cmcore as cm
from app import state
from app.components.sample_cloud import cloud_message, sample_cloud
from app.pages.train.projection import projection_controls
from app.pages.train.sketch import drawing_pad
from app.stage.in_browser import learned_in_sight
from app.stage.projections import Projection
from app.stage.scene import density_image, extent_around, extent_of, histogram_image, shown_samples
from app.stage.stage import live_stage, live_weights
from app.training.choice import SOURCES, Choice
from app.training.job import LIVE_JUMPS
from app.training.registry import Training
from cmcore.config import SamplerConfig, TrainingConfig
from cmcore.sampling_defaults import delta_for, sampling_defaults
from cmcore.streams import stream

DOTS = 1_500


@dataclass(frozen=True)
class _Learner:
    """A training as a stage shows it: `key` is that of the run it becomes, `model` has the newest weights."""

    key: str
    model: cm.TrainedModel
    target: cm.Target


def shown_in_picture(
    choice: Choice | None, about: Training | None, *, going: bool
) -> tuple[Choice | None, Projection | None]:
    """The target on show and from where it is seen, with the control for that; the sheet where there is none."""
    drawing = state.value("source") == SOURCES[1] and not going
    if drawing and (choice is None or not _learns(about, choice) or state.value("redrawing") == choice.key):
        return None, None
    shown = about.choice if about is not None else choice
    return shown, None if shown is None else projection_controls(shown.target)


def training_picture(
    shown: Choice | None, projection: Projection | None, about: Training | None, *, poll: float | None
) -> None:
    """The picture, looked at again every `poll` seconds while a run is under way."""
    if shown is not None and projection is not None:
        about = about if _learns(about, shown) else None
        if (newest := _newest(about)) is not None and about is not None:
            st.fragment(_weights, run_every=poll)(about)
            learner = _Learner(about.run_key, newest, shown.target)
            live_stage(learner, _first_draw(newest), learned=about.over)
        else:
            st.fragment(_cloud, run_every=poll)(shown, projection, about)
    elif state.value("source") == SOURCES[1]:
        drawing_pad()


def _learns(about: Training | None, choice: Choice) -> bool:
    return about is not None and choice.key == about.choice.key


def _newest(about: Training | None) -> cm.TrainedModel | None:
    """The newest weights of a training, once it has some and if the browser draws from them."""
    latest = about.view().latest if about else None
    newest = latest.newest if latest else None
    return newest if newest is not None and learned_in_sight(newest) else None


def _weights(about: Training) -> None:
    if (newest := _newest(about)) is not None:
        live_weights(newest)


def _first_draw(model: cm.TrainedModel) -> SamplerConfig:
    """How Explore draws the run first."""
    own = sampling_defaults(model.config)
    return SamplerConfig(
        sampler=own.sampler,
        steps=LIVE_JUMPS,
        horizon=model.horizon,
        delta=delta_for(own.sampler, model.delta),
        renoise=own.renoise,
    )


def _cloud(choice: Choice, projection: Projection, about: Training | None) -> None:
    if _newest(about) is not None:
        st.rerun()  # the stage takes its place
    progress = about.view().latest if about else None
    name = f"{choice.key}|{projection.view}"
    background = _background(name, choice.target, projection)
    samples = projection.apply(progress.samples) if progress and progress.samples is not None else None
    words = f"model, {LIVE_JUMPS} {_jumps(about.config if about else None)}"
    message = cloud_message(name=name, samples=samples, words=words, axes=projection.axes, **background)
    sample_cloud(message, key="cloud")


def _jumps(config: TrainingConfig | None) -> str:
    """The jumps of the live samples in words."""
    own = sampling_defaults(config) if config else None
    if own and own.single_time:
        return "jumps, renoised"
    return "DDIM steps" if own and own.velocity_only else "jumps"


@st.cache_data(max_entries=64, show_spinner=False)
def _background(key: str, _target: cm.Target, _projection: Projection) -> dict[str, Any]:
    if not _projection.view:
        delta = 0.0 if _target.smooth else 0.01
        extent, density = extent_of(_target), density_image(_target, delta)
        return {"extent": extent, "density": density, "data": shown_samples(_target, DOTS)}
    points = _projection.apply(_target.sample(50_000, generator=stream(0, "pictures")).numpy())
    extent = extent_around(points[:4_000])
    density = histogram_image(points, extent) if points.shape[1] == 2 else None
    return {"extent": extent, "density": density, "data": points[:DOTS]}
