r"""Training: a generator of frozen events that a page, the command line and a test each iterate.

.. code-block:: python

    for event in training(target, TrainingConfig(seconds=20)):
        print(event.step, event.loss, event.quality)
    model = event.model()

A budget in seconds buys training: it counts from the first optimiser step, those of a learned teacher included. What
is made before (a pool of trajectories, say) is preparation; its events have the status "preparing" and a message, and
its cost is in `event.preparation` and `TrainedModel.preparation`. A run that came to fewer than `FEW_STEPS` steps says
so in its last message.

A run that was stopped goes on exactly where it was; any run goes on with a new budget, counted from where it is:

.. code-block:: python

    for event in training(target, resume=stopped): ...               # to the end that was planned
    for event in training(target, resume=finished, seconds=20): ...  # twenty seconds more; or steps=2_000
    config = continuation(finished, seconds=20)                      # what the latter trains by
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from cmcore.config import EarlierPlan, TrainingConfig
from cmcore.film import FILM_JUMPS, FILM_SEED, Film, dots_of
from cmcore.model import FlowMap, Status, TrainedModel
from cmcore.optimizer import FlatOptimizer
from cmcore.sampling_defaults import own_samples
from cmcore.targets import Target
from cmcore.training_budget import REPORT, SecondsNow
from cmcore.training_defaults import RATES, resolved
from cmcore.training_run import TrainingRun

FEW_STEPS = 300
"""Below this many steps a map of the default settings is not worth looking at yet."""


@dataclass(frozen=True)
class TrainingEvent:
    """The state of a training run at one step. Of several members, loss, gradient norm and quality are means.

    Attributes:
        step: optimiser steps done.
        steps: steps planned; None while a budget in seconds has not been turned into steps yet.
        loss: the objective on the last batch.
        seconds: wall time of the training, from its first step on; a learned teacher's steps count, pools do not.
        seconds_left: estimate of the time to the end, from the pace so far; None before there is one, and while
            something is prepared.
        learning_rate: Adam's rate at this step.
        gradient_norm: Euclidean norm of the last gradient.
        quality: root mean square error of one jump T → δ by the averaged weights on fixed points, in the data's units;
            NaN where the target is known by samples alone.
        status: "preparing", "training", and at the end "finished" or "diverged".
        message: what happened, in one sentence, when there is something to say.
        device: where it runs, in words.
        model: call it for a :class:`TrainedModel` of this moment. It copies the weights as they are at the call, so
            call it before the next event is asked for.
        preparation: wall time spent on what is made before the first step; of a resumed run, also in earlier sessions.
        spikes: steps at which a gradient many times too large was met, and scaled down; between two events the last.
    """

    step: int
    steps: int | None
    loss: float
    seconds: float
    seconds_left: float | None
    learning_rate: float
    gradient_norm: float
    quality: float
    status: Status
    message: str
    device: str
    model: Callable[[], TrainedModel]
    preparation: float = 0.0
    spikes: tuple[int, ...] = ()


def train(
    target: Target,
    *,
    objective: str = "trajectory_regression",
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    resume: TrainedModel | None = None,
    on_event: Callable[[TrainingEvent], object] | None = None,
    **choices: Any,
) -> TrainedModel:
    """Train a flow map on a target and return it.

    Args:
        target: the law to learn.
        objective: a name from `cm.objectives()`.
        steps: optimiser steps; 8,000 when neither steps nor seconds are given.
        seconds: budget of training time instead, from the first step on.
        seed: with the config, it determines the result.
        resume: a run to go on with, by its own settings: to its planned end, or for `steps` or `seconds` more.
        on_event: called with every :class:`TrainingEvent`.
        **choices: further fields of :class:`~cmcore.config.TrainingConfig`.

    A diverged run returns its last good weights with status "diverged" and a warning.
    """
    if resume is not None:
        _require_own_settings(resume.config, {"objective": objective, "seed": seed, **choices})
        events = training(target, resume=resume, steps=steps, seconds=seconds)
    else:
        events = training(target, _config(objective, steps, seconds, {"seed": seed, **choices}))
    event = _last(events, on_event)
    if event.status == "diverged":
        warnings.warn(event.message, RuntimeWarning, stacklevel=2)
    return event.model()


def train_members(
    target: Target,
    *,
    seeds: Sequence[int],
    vary: Mapping[str, Sequence[float]] | None = None,
    objective: str = "trajectory_regression",
    steps: int | None = None,
    seconds: float | None = None,
    on_event: Callable[[TrainingEvent], object] | None = None,
    **choices: Any,
) -> tuple[TrainedModel, ...]:
    """Train S maps as one batched computation: seeds at once, or one setting at several values.

    For small networks S maps cost much less than S runs. Each member ends where `train` with its seed and its rates
    would have ended, but for rounding. A member that diverges keeps its last good weights and does not disturb others.

    Args:
        target: the law to learn.
        seeds: one for each member; repeat a seed to see a rate alone.
        vary: for "learning_rate", "matrix_learning_rate" or "average", a value for each member.
        objective, steps, seconds, on_event, choices: as for :func:`train`; a budget is for all members together.
    """
    if not seeds:
        raise ValueError("Give at least one seed.")
    for seed in seeds:  # the config's own bounds
        TrainingConfig.model_validate({"steps": 1, "seed": seed})
    for name, values in (vary or {}).items():
        if name not in RATES:
            raise ValueError(f"Members may differ in their seed, {', '.join(RATES)}; not in {name!r}.")
        if len(values) != len(seeds):
            raise ValueError(f"{name} needs a value for each of the {len(seeds)} members; got {len(values)}.")
        for value in values:
            if not isinstance(value, int | float):
                raise ValueError(f"{name} needs a number for each member; got {value!r}.")
            TrainingConfig.model_validate({"steps": 1, name: value})
    config = resolved(_config(objective, steps, seconds, {"seed": seeds[0], **choices}), target)
    run = TrainingRun(target, config, seeds=seeds, varied=vary)
    event = _last(_events(run), on_event)
    return run.models("diverged" if event.status == "diverged" else "finished", event.seconds)


def training(
    target: Target,
    config: TrainingConfig | None = None,
    *,
    resume: TrainedModel | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    clock: SecondsNow = time.perf_counter,
) -> Iterator[TrainingEvent]:
    """Train, yielding events; stop by no longer iterating.

    Between two events a run may wait as long as it likes, and go on in another thread.

    Args:
        target: the law to learn.
        config: how; of a run that is resumed, its own where nothing is said.
        resume: a run to go on with. Without a new budget a stopped one continues exactly where it was.
        steps, seconds: a new budget for it, counted from where it is; see :func:`continuation`.
        clock: what a budget in seconds is counted by; one that stands still while the run waits keeps its budget, and
            the time left, honest.
    """
    if resume is None:
        if config is None or steps is not None or seconds is not None:
            raise ValueError("Give a config, which holds the budget; steps and seconds beside it are for resume.")
    elif steps is not None or seconds is not None:
        if config is not None:
            raise ValueError("A new budget comes with the run's own settings: leave the config out.")
        config = continuation(resume, steps=steps, seconds=seconds)
    elif config is None or (config.steps is None and len(config.earlier) <= len(resume.config.earlier)):
        config = resume.config  # the budget was turned into steps, and what else it decided, by the run that goes on
        if config.steps is not None and resume.steps >= config.steps:
            raise ValueError("This run has come to its end: give it more steps or seconds to go on.")
    assert config is not None
    config = resolved(config, target)
    yield from _events(TrainingRun(target, config, resume=resume, clock=clock))


def continuation(model: TrainedModel, *, steps: int | None = None, seconds: float | None = None) -> TrainingConfig:
    """The settings with which a run goes on for `steps` or `seconds` more, counted from where it is.

    It goes on from the averaged weights. The rates rise anew, to a share of their peak, and fall to zero at the new
    end; curricula stay where they had come to. Steps and seconds of the settings are those of the whole run, and
    `earlier` says what held before, so that they repeat all of it.
    """
    if (steps is None) == (seconds is None):
        raise ValueError("Give the run either more steps or more seconds.")
    if (steps is not None and steps < 1) or (seconds is not None and not 0 < seconds < math.inf):
        raise ValueError("A run goes on for at least one step, or for a time above zero.")
    if not model.steps:
        raise ValueError("This run has not made a step: there is nothing to go on from, so train it anew.")
    config = model.config
    until = EarlierPlan(until=model.steps, steps=config.steps, hold=config.hold, continued=True)
    changed = {
        "earlier": (*config.earlier, until),
        "steps": None if steps is None else model.steps + steps,
        "seconds": None if seconds is None else model.seconds + seconds,
        "hold": 0,
    }
    return TrainingConfig.model_validate({**config.model_dump(), **changed})


def with_raw_weights(model: TrainedModel) -> TrainedModel:
    """The run with its raw weights, those of its last step, in place of their exponential average.

    It is what training with `average=0` gives, save for runs that were continued, or learned a velocity first: those
    went on from averages, and still have. Quality and film were of the average, so the history's quality is NaN and the
    film is empty. Raises ValueError for a run whose training state was not saved, or is that of another network.
    """
    if not model.resume_state:
        raise ValueError("This run was saved without its training state, which alone has its raw weights.")
    trained, raw = (FlowMap(model.dim, model.config.network, generator=torch.Generator()) for _ in range(2))
    rates = {**RATES, **model.config.model_dump(include=set(RATES), exclude_none=True)}
    FlatOptimizer(trained, model.config.model_copy(update=rates)).load(model.resume_state)
    raw.load_state_dict(trained.state_dict())
    return replace(
        model,
        flow_map=raw.requires_grad_(requires_grad=False),
        config=model.config.model_copy(update={"average": 0.0}),
        history=tuple((step, loss, math.nan) for step, loss, _ in model.history),
        resume_state={**model.resume_state, "average": model.resume_state["weights"]},
        film=Film(),
    )


def _require_own_settings(config: TrainingConfig, choices: Mapping[str, Any]) -> None:
    """Refuse what would change a run that goes on; what was left at its default says nothing."""
    defaults = {"objective": "trajectory_regression", "seed": 0}
    other = [k for k, v in choices.items() if v != getattr(config, k, None) and (k not in defaults or v != defaults[k])]
    if other:
        raise ValueError(f"A run goes on by its own settings: beside resume, leave out {', '.join(other)}.")


def _events(run: TrainingRun) -> Iterator[TrainingEvent]:
    for message in run.prepare():
        yield _event(run, "preparing", message)
    run.measure()
    run.report()
    _take_frame(run)
    yield _event(run, "training")
    while not run.done:
        run.advance()
        run.measure()
        run.check()
        if run.diverged:
            message = run.restore()
            run.measure()
            run.report()
            yield _event(run, "diverged", message)
            return
        run.report()
        _take_frame(run)
        yield _event(run, "finished", _last_words(run)) if run.done else _event(run, "training", _spike_now(run))


def _take_frame(run: TrainingRun) -> None:
    """A frame of the film, where one is due, and of the end; maps that are trained side by side have none."""
    if run.seeds is None and (run.done or run.film.due(run.step)):
        model = run.model(0, "stopped", run.seconds)
        dots = own_samples(model, dots_of(model.dim), FILM_JUMPS, seed=FILM_SEED).points
        if bool(dots.isfinite().all()):
            run.film = run.film.with_frame(run.step, dots)


def _event(run: TrainingRun, status: Status, message: str = "") -> TrainingEvent:
    seconds = run.seconds
    ending = "stopped" if status in ("preparing", "training") else status
    return TrainingEvent(
        step=run.step,
        steps=run.steps,
        loss=_mean(run.loss.tolist()),
        seconds=seconds,
        seconds_left=run.seconds_left,
        learning_rate=run.learning_rate,
        gradient_norm=_mean(run.gradient_norm.tolist()),
        quality=_mean(run.quality.tolist()),
        status=status,
        message=message,
        device=run.device_name,
        model=lambda: run.model(0, ending, seconds),
        preparation=run.preparation,
        spikes=tuple(_spikes(run)),
    )


def _last_words(run: TrainingRun) -> str:
    """What the reader of a finished run should know."""
    words = []
    if run.step < FEW_STEPS:
        words.append(f"Only {run.step:,} steps: too few for samples worth looking at. Continue training.")
    if met := _spikes(run):
        steps = ", ".join(f"{step:,}" for step in met[:5]) + (" and later" if len(met) > 5 else "")
        words.append(f"A spike, a gradient many times too large, was met at step {steps} and scaled down.")
    return " ".join(words)


def _spike_now(run: TrainingRun) -> str:
    """What was met since the last report."""
    new = [step for step in _spikes(run) if step > run.step - REPORT]
    return f"A gradient many times too large was met at step {new[-1]:,} and scaled down." if new else ""


def _spikes(run: TrainingRun) -> list[int]:
    """The steps at which a member met a spike."""
    return sorted({step for steps in run.spikes for step in steps})


def _mean(values: list[float]) -> float:
    """Over the members that are finite; of a single one, itself."""
    finite = [value for value in values if math.isfinite(value)] or values
    return sum(finite) / len(finite)


def _config(objective: str, steps: int | None, seconds: float | None, choices: dict[str, Any]) -> TrainingConfig:
    if steps is None and seconds is None:
        steps = 8_000
    return TrainingConfig(objective=objective, steps=steps, seconds=seconds, **choices)


def _last(events: Iterator[TrainingEvent], on_event: Callable[[TrainingEvent], object] | None) -> TrainingEvent:
    event = None
    for event in events:
        if on_event is not None:
            on_event(event)
    assert event is not None
    return event
