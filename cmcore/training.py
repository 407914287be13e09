r"""Training: a generator of frozen events that a page, the command line and a test each iterate.

.. code-block:: python

    for event in training(target, TrainingConfig(seconds=20)):
        print(event.step, event.loss, event.quality)
    model = event.model()
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmcore.config import TrainingConfig
from cmcore.model import Status, TrainedModel
from cmcore.runtime import tune
from cmcore.targets import Target
from cmcore.training_run import RATES, REPORT, Clock, Run, resolved

__all__ = ["TrainingEvent", "train", "train_members", "training"]


@dataclass(frozen=True)
class TrainingEvent:
    """What a training run says of itself. Of several members, loss, gradient norm and quality are means.

    Attributes:
        step: optimiser steps done.
        steps: steps planned; None while a budget in seconds has not been turned into steps yet.
        loss: the objective on the last batch.
        seconds: wall time since the start, pools and teacher included.
        seconds_left: estimate of the time to the end, from the pace so far; None before there is one.
        learning_rate: Adam's rate at this step.
        gradient_norm: Euclidean norm of the last gradient.
        quality: root mean square error of one jump T → δ by the averaged weights on fixed points, in the data's units;
            NaN where the target is known by samples alone.
        status: "preparing", "training", and at the end "finished" or "diverged".
        message: what happened, in one sentence, when there is something to say.
        device: where it runs, in words.
        model: call it for a :class:`TrainedModel` of this moment. It copies the weights as they are at the call, so
            call it before the next event is asked for.
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


def train(
    target: Target,
    *,
    objective: str = "trajectory_regression",
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    on_event: Callable[[TrainingEvent], object] | None = None,
    **choices: Any,
) -> TrainedModel:
    """Train a flow map on a target and return it.

    Args:
        target: the law to learn.
        objective: a name from `cm.objectives()`.
        steps: optimiser steps; 8,000 when neither steps nor seconds are given.
        seconds: budget of wall time instead.
        seed: with the config, it determines the result.
        on_event: called with every :class:`TrainingEvent`.
        **choices: further fields of :class:`~cmcore.config.TrainingConfig`.

    A diverged run returns its last good weights with status "diverged" and a warning.
    """
    config = _config(objective, steps, seconds, {"seed": seed, **choices})
    event = _last(training(target, config), on_event)
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
    tune()
    run = Run(target, config, seeds=seeds, varied=vary)
    event = _last(_events(run), on_event)
    return run.models("diverged" if event.status == "diverged" else "finished", event.seconds)


def training(
    target: Target,
    config: TrainingConfig,
    *,
    resume: TrainedModel | None = None,
    clock: Clock = time.perf_counter,
) -> Iterator[TrainingEvent]:
    """Train, yielding events; stop by no longer iterating. `resume` continues a stopped run exactly where it was.

    Between two events a run may wait as long as it likes, and go on in another thread. `clock` is what a budget in
    seconds is counted by; one that stands still while the run waits keeps its budget, and the time left, honest.
    """
    if resume is not None and config.steps is None:
        config = resume.config  # the budget was turned into steps, and what else it decided, by the run that goes on
    config = resolved(config, target)
    tune()
    yield from _events(Run(target, config, resume=resume, clock=clock))


def _events(run: Run) -> Iterator[TrainingEvent]:
    for message in run.prepare():
        yield _event(run, "preparing", message)
    run.report()
    yield _event(run, "training")
    while not run.done:
        run.advance()
        if run.step % REPORT == 0 or run.done:
            run.check()
            if run.diverged:
                message = run.restore()
                run.report()
                yield _event(run, "diverged", message)
                return
            run.report()
            yield _event(run, "finished" if run.done else "training")
            run.settle()


def _event(run: Run, status: Status, message: str = "") -> TrainingEvent:
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
        model=lambda: run.models(ending, seconds)[0],
    )


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
