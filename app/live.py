"""A training run as a background job: events of the engine in, small frozen snapshots for the page out."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import streamlit as st

import cmcore as cm
from app.jobs import Workers, default_workers, freeze_imports
from app.scene import plane
from cmcore.config import TrainingConfig
from cmcore.objectives.about import own_drawing
from cmcore.targets.tables import Memorisation, TableTarget
from cmcore.training import TrainingEvent

__all__ = ["LIVE_JUMPS", "Progress", "train_live", "training_workers"]

LIVE_JUMPS = 4
"""N of the live samples."""
LIVE_SAMPLES = 1_500
SAMPLES_EVERY = 0.4
PUBLISH_EVERY = 0.1
CURVE_POINTS = 300


@dataclass(frozen=True)
class Progress:
    """A training run at one moment.

    Attributes:
        event: what the engine said last.
        curve: (step, loss) so far, thinned to a few hundred points.
        samples: live samples in `LIVE_JUMPS` jumps from the same noise each time, first two coordinates, [n, 2].
        model: the trained model, at the end.
        memorisation: for a table, at the end: how near samples lie to the rows that were trained on.
        stopped: whether somebody ended it early; before the first step there are no weights to keep, and no model.
    """

    event: TrainingEvent
    curve: tuple[tuple[int, float], ...]
    samples: np.ndarray | None
    model: cm.TrainedModel | None = None
    memorisation: Memorisation | None = None
    stopped: bool = False


@st.cache_resource(show_spinner=False)
def training_workers() -> Workers:
    """The threads that train, for everybody."""
    freeze_imports()
    return Workers("training", workers=default_workers())


def train_live(target: cm.Target, config: TrainingConfig, stop: threading.Event) -> Iterator[Progress]:
    """Train, yielding at most ten times a second; live samples are drawn here, in the worker."""
    curve: list[tuple[int, float]] = []
    samples = None
    drawn = published = 0.0
    for event in cm.training(target, config):
        if event.step and np.isfinite(event.loss):
            curve.append((event.step, event.loss))
        over = event.status in ("finished", "diverged") or stop.is_set()
        now = time.monotonic()
        if event.step and (over or now - drawn > SAMPLES_EVERY):
            samples, drawn = _samples(event), now
        if over and not event.step:
            yield Progress(event, (), None, stopped=stop.is_set())
            return
        if over:
            model = event.model()
            yield Progress(event, _thinned(curve), samples, model, _memorisation(model), stopped=stop.is_set())
            return
        if now - published > PUBLISH_EVERY:
            published = now
            yield Progress(event, _thinned(curve), samples)


def _samples(event: TrainingEvent) -> np.ndarray:
    return plane(_drawn(event.model(), seed=0).points)


def _drawn(model: cm.TrainedModel, *, seed: int) -> cm.Trajectory:
    """Samples as this map is meant to be drawn; at δ = 0 no time is left to add noise in after the last jump."""
    own = own_drawing(model.config)
    return cm.sample(
        model,
        LIVE_SAMPLES,
        LIVE_JUMPS,
        seed=seed,
        sampler=own.sampler,
        renoise=own.renoise,
        noiseless_end=model.delta == 0,
    )


def _memorisation(model: cm.TrainedModel) -> Memorisation | None:
    if not isinstance(model.target, TableTarget):
        return None
    points = _drawn(model, seed=1).points
    return model.target.memorisation(points.double(), seed=0)


def _thinned(curve: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    stride = max(1, -(-len(curve) // CURVE_POINTS))
    return tuple(curve[::stride])
