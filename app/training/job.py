"""A training run as a background job: events of the engine in, small frozen snapshots for the page out."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

import cmcore as cm
from app.background.jobs import Busy, Job, Workers
from app.kl.question import SEED, Question
from app.stage.in_browser import learned_in_sight
from cmcore.config import TrainingConfig
from cmcore.divergences.estimate import Estimate
from cmcore.film import FILM_JUMPS
from cmcore.measure import kl_points
from cmcore.sampling_defaults import delta_for, own_samples, sampling_defaults
from cmcore.targets import Memorisation, TableTarget
from cmcore.training import TrainingEvent

LIVE_JUMPS = FILM_JUMPS
"""N of the live picture, as of the film that stays of it."""
LIVE_SAMPLES = 1_500
PICTURE_EVERY = 0.5
PUBLISH_EVERY = 0.1
CURVE_POINTS = 300
LIVE_LANDINGS = 1 << 15
"""Landings (or, above two dimensions, points) behind a live estimate: a third of a second of one core."""
LIVE_POINTS = 2_000
FIRST_KL, NEXT_KL = 1.5, 2.0
"""Seconds of training before the first live estimate, and the least between two."""
KL_SHARE = 0.1
"""Share of the time that live estimates may take."""


@dataclass(frozen=True)
class LiveKL:
    """The KL of the weights of one moment."""

    step: int
    seconds: float
    estimate: Estimate


@dataclass(frozen=True)
class TrainingProgress:
    """A training run at one moment.

    Attributes:
        event: what the engine said last.
        curve: (step, loss) so far, thinned to a few hundred points.
        samples: live samples in `LIVE_JUMPS` jumps from the same noise each time, [n, d]; None where the browser draws.
        newest: the model of half a second ago at most, from which the browser draws; None before a first step.
        model: the trained model, at the end, the newest too; there is none when it was stopped before a first step.
        memorisation: for a table, at the end: how near samples lie to the rows that were trained on.
        stopped: whether somebody ended it early.
        kl: what was measured on the way, oldest first.
    """

    event: TrainingEvent
    curve: tuple[tuple[int, float], ...]
    samples: np.ndarray | None
    model: cm.TrainedModel | None = None
    newest: cm.TrainedModel | None = None
    memorisation: Memorisation | None = None
    stopped: bool = False
    kl: tuple[LiveKL, ...] = ()


class Stopwatch:
    """Seconds during which the run was not kept waiting."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._since: float | None = None

    def __call__(self) -> float:
        """Seconds, from an arbitrary origin."""
        return (time.perf_counter() if self._since is None else self._since) - self._waited

    def stop(self) -> None:
        """Stand still."""
        self._since = time.perf_counter()

    def go(self) -> None:
        """Go on."""
        if self._since is not None:
            self._waited += time.perf_counter() - self._since
            self._since = None


def train_live(
    target: cm.Target,
    config: TrainingConfig,
    stop: threading.Event,
    *,
    measuring: Workers | None = None,
    resume: cm.TrainedModel | None = None,
) -> Iterator[TrainingProgress]:
    """Train, yielding at most ten times a second; what the browser cannot draw is drawn here, in the worker.

    Args:
        target: the law to learn.
        config: how.
        stop: ends it, with the weights of that moment.
        measuring: who measures the KL on the way; None: nobody.
        resume: a run to go on with.
    """
    watch = Stopwatch()
    meter = None if measuring is None else _Meter(target, config, measuring)
    earlier, first = ((), 0) if resume is None else (resume.history, resume.steps)
    events = cm.training(target, config, resume=resume, clock=watch)
    for progress in _progress(events, [(step, loss) for step, loss, _ in earlier], first, stop, meter):
        watch.stop()  # time in which the run is kept waiting, paused say, is nobody's training time
        yield progress
        watch.go()


def _progress(
    events: Iterator[TrainingEvent],
    curve: list[tuple[int, float]],
    first: int,
    stop: threading.Event,
    meter: "_Meter | None",
) -> Iterator[TrainingProgress]:
    """What a page sees of these events; `first` counts the steps that were done before them."""
    newest = samples = None
    drawn = published = 0.0
    for event in events:
        if event.step and np.isfinite(event.loss):
            curve.append((event.step, event.loss))
        over = event.status in ("finished", "diverged") or stop.is_set()
        now = time.monotonic()
        if event.step and not over and now - drawn > PICTURE_EVERY:
            newest, drawn = event.model(), now
            samples = _samples(newest)
        if meter is not None:
            meter.look(event, over=over)
        measured = () if meter is None else tuple(meter.points)
        if over and event.step <= first:
            yield TrainingProgress(replace(event, model=_no_weights), (), None, stopped=stop.is_set())
            return
        if over:
            yield final_progress(event, _thinned(curve), measured, stopped=stop.is_set())
            return
        if now - published > PUBLISH_EVERY:
            published = now
            yield TrainingProgress(event, _thinned(curve), samples, newest=newest, kl=measured)


def final_progress(
    event: TrainingEvent, curve: tuple[tuple[int, float], ...], kl: tuple[LiveKL, ...], *, stopped: bool
) -> TrainingProgress:
    """What stays of a run: its model, samples of that, and no longer what it learned from, which the event held."""
    model = event.model()
    event = replace(event, model=lambda: model)
    return TrainingProgress(event, curve, _samples(model), model, model, _memorisation(model), stopped, kl)


def _no_weights() -> cm.TrainedModel:
    raise ValueError("The training was stopped before its first step, so that there are no weights.")


# ---- the KL on the way ------------------------------------------------------------------------------------------
def live_question(target: cm.Target, config: TrainingConfig) -> Question | None:
    """What the live KL measures: what Explore, KL and Runs ask of the run first. None where there is no truth."""
    if not target.has_score:
        return None
    own = sampling_defaults(config)
    learned = target.default_delta if config.delta is None else config.delta
    delta = delta_for(own.sampler, learned)
    return Question.on_grid(own.sampler, LIVE_JUMPS, own.direction, delta, horizon=config.horizon, renoise=own.renoise)


def measure_live(model: cm.TrainedModel, question: Question, stop: threading.Event) -> Iterator[LiveKL]:
    """The answer for these weights, from fewer points than elsewhere: it may not hold up the training."""
    assert model.target is not None
    if stop.is_set():
        return
    n = LIVE_LANDINGS if question.sampler == "renoise" and model.dim <= 2 else LIVE_POINTS
    points = kl_points(
        model,
        model.target,
        [question.calls],
        seed=SEED,
        sampler=question.sampler,
        grid=question.grid,
        renoise=question.renoise,
        n=n,
        direction=question.direction,
    )
    yield LiveKL(model.steps, model.seconds, next(points).estimate)


class _Meter:
    """Measures the KL of a run at a few moments, in the thread that measures for everybody, and rarely enough."""

    def __init__(self, target: cm.Target, config: TrainingConfig, workers: Workers) -> None:
        self.points: list[LiveKL] = []
        self._question, self._workers = live_question(target, config), workers
        self._job: Job[LiveKL] | None = None
        self._next = FIRST_KL

    def look(self, event: TrainingEvent, *, over: bool) -> None:
        """Take an answer in; ask again when it is time."""
        if self._job is not None:
            view = self._job.view()
            if view.over or over:
                self._job.cancel()
                self._job = None
                self._next = event.seconds + max(NEXT_KL, view.seconds / KL_SHARE)
            if view.over and view.latest is not None and view.latest.estimate.trusted:
                self.points.append(view.latest)
        if self._question is None or self._job or over or not event.step or event.seconds < self._next:
            return
        try:
            self._job = self._workers.submit(partial(measure_live, event.model(), self._question))
        except Busy:
            self._next = event.seconds + NEXT_KL


# ---- samples ----------------------------------------------------------------------------------------------------
def _samples(model: cm.TrainedModel) -> np.ndarray | None:
    if learned_in_sight(model):
        return None
    return own_samples(model, LIVE_SAMPLES, LIVE_JUMPS, seed=0).points.detach().cpu().numpy()


def _memorisation(model: cm.TrainedModel) -> Memorisation | None:
    if not isinstance(model.target, TableTarget):
        return None
    points = own_samples(model, LIVE_SAMPLES, LIVE_JUMPS, seed=1).points
    return model.target.memorisation(points.double(), seed=0)


def _thinned(curve: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    stride = max(1, -(-len(curve) // CURVE_POINTS))
    return tuple(curve[::stride])
