r"""Training: a generator of frozen events that a page, the command line and a test each iterate.

.. code-block:: python

    for event in training(target, TrainingConfig(seconds=20)):
        print(event.step, event.loss, event.quality)
    model = event.model()
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cmcore.config import TrainingConfig
from cmcore.flow import ExactFlow
from cmcore.model import Ending, FlowMap, Status, TrainedModel
from cmcore.objectives import Objective, Source, make_objective
from cmcore.optimizer import FlatOptimizer, rate_factor
from cmcore.runtime import choose_device, choose_threads, describe_device, products_dtype, tune
from cmcore.streams import stream
from cmcore.targets import Target

__all__ = ["TrainingEvent", "train", "training"]

REPORT = 50
"""Steps between events, and between checks that the run is sound."""
BLOCK = 64
"""Steps whose batches are drawn together. Each block has its own random stream, so resuming needs only the step."""
PREPARATION = 0.25
"""Share of a budget in seconds that may go into what is made once, before the first step."""
CHECKED = 256
"""Fixed points on which the quality number is measured."""
EXPLODED = 1e4
"""A loss this many times the best one so far means the run has diverged."""


@dataclass(frozen=True)
class TrainingEvent:
    """What a training run says of itself.

    Attributes:
        step: optimiser steps done.
        steps: steps planned; None while a budget in seconds has not been turned into steps yet.
        loss: the objective on the last batch.
        seconds: wall time since the start, pools included.
        seconds_left: estimate of the time to the end, from the pace so far; None before there is one.
        learning_rate: Adam's rate at this step.
        gradient_norm: Euclidean norm of the last gradient.
        quality: root mean square error of one jump T → δ by the averaged weights on fixed points, in the data's units.
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
    if steps is None and seconds is None:
        steps = 8_000
    config = TrainingConfig(objective=objective, steps=steps, seconds=seconds, seed=seed, **choices)
    event = None
    for event in training(target, config):
        if on_event is not None:
            on_event(event)
    assert event is not None
    if event.status == "diverged":
        warnings.warn(event.message, RuntimeWarning, stacklevel=2)
    return event.model()


def training(target: Target, config: TrainingConfig, *, resume: TrainedModel | None = None) -> Iterator[TrainingEvent]:
    """Train, yielding events; stop by no longer iterating. `resume` continues a stopped run exactly where it was."""
    if resume is not None and config.steps is None:
        config = resume.config  # the budget was turned into steps, and what else it decided, by the run that goes on
    config = _resolved(config, target)
    started = time.perf_counter()
    tune()
    run = _Run(target, config, started, resume)
    yield run.event("preparing", "computing what the objective learns from")
    run.prepare()
    yield run.event("training")
    while not run.done:
        run.advance()
        if run.step % REPORT == 0 or run.done:
            if run.diverged():
                yield run.event("diverged", run.restore())
                return
            yield run.event("finished" if run.done else "training")


def _resolved(config: TrainingConfig, target: Target) -> TrainingConfig:
    """The config with δ filled in; refuses a δ at which the target has no density."""
    if config.delta is None:
        config = TrainingConfig(**{**config.model_dump(), "delta": target.default_delta})
    if config.delta == 0 and not target.smooth:
        raise ValueError(
            f"{target.name} is not smooth: its exact flow cannot be followed to time 0. "
            f"Stop early, at some δ > 0 such as {target.default_delta:g}."
        )
    return config


class _Run:
    """The moving state of one training run."""

    def __init__(self, target: Target, config: TrainingConfig, started: float, resume: TrainedModel | None) -> None:
        self.target, self.config, self.started = target, config, started
        self.device = choose_device(config.device)
        self.device_name = describe_device(self.device, config.threads or 1)
        self.objective: Objective = make_objective(config.objective, **config.objective_parameters)
        flow_map = FlowMap(target.dim, config.network, generator=stream(config.seed, "weights"))
        self.flow_map = flow_map.to(self.device)
        self.flow_map.products = products_dtype(config.products, self.device)
        name = str(self.flow_map.products).removeprefix("torch.")
        config = self.config = config.model_copy(update={"products": name})
        self.optimizer = FlatOptimizer(self.flow_map, config)
        self.step, self.steps = 0, config.steps
        self.earlier_seconds = 0.0
        self.history: list[tuple[int, float, float]] = []
        self.loss = self.gradient_norm = self.quality = math.nan
        self.best_loss = math.inf
        if resume is not None:
            self._continue(resume)
        self.good = (self.optimizer.state(), self.step)
        self.marks: list[tuple[int, float]] = []

    def _continue(self, resume: TrainedModel) -> None:
        if not resume.resume_state:
            raise ValueError("This run was saved without its training state, so it cannot be continued.")
        self.optimizer.load(resume.resume_state)
        self.step, self.earlier_seconds = resume.steps, resume.seconds
        self.history = list(resume.history)

    # ---- life of a run ------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Everything made once: what the objective needs, the points of the quality number, the threads."""
        config = self.config
        delta = config.delta or 0.0
        if self.steps is None:
            self.objective = self.objective.within(self._source("trial"), PREPARATION * (config.seconds or 0.0))
            # A run is repeated from its config: what the budget decided belongs there.
            parameters = asdict(self.objective)
            config = self.config = config.model_copy(update={"objective_parameters": parameters})
        self.prepared = self.objective.prepare(self._source("objective"))
        noise = torch.randn(CHECKED, self.target.dim, generator=stream(config.seed, "quality"), dtype=torch.float64)
        exact = ExactFlow(self.target, tolerance=1e-6)(noise, config.horizon, delta)
        self.noise, self.exact = noise.to(self.device, torch.float32), exact.to(self.device, torch.float32)
        self._choose_threads()
        self.batches = self._stream_of_batches()
        self.marks = [(self.step, time.perf_counter())]

    def _source(self, purpose: str) -> Source:
        config = self.config
        return Source(self.target, config.horizon, config.delta or 0.0, self.device, stream(config.seed, purpose))

    def _choose_threads(self) -> None:
        if self.device.type != "cpu":
            return
        batch = next(self.objective.batches(self.prepared, 1, self.config.batch, generator=stream(0, "probe")))
        threads = self.config.threads or choose_threads(lambda: self._backward(batch), torch.get_num_threads())
        torch.set_num_threads(threads)
        self.config = self.config.model_copy(update={"threads": threads})
        self.optimizer.gradients.zero_()
        self.device_name = describe_device(self.device, threads)

    def _stream_of_batches(self) -> Iterator[Any]:
        block = self.step // BLOCK
        skip = self.step % BLOCK
        while True:
            generator = stream(self.config.seed, f"batches {block}")
            batches = self.objective.batches(self.prepared, BLOCK, self.config.batch, generator=generator)
            for i, batch in enumerate(batches):
                if i >= skip:
                    yield batch
            block, skip = block + 1, 0

    def _backward(self, batch: Any) -> Tensor:
        loss = self.objective.loss(self.flow_map, batch)
        loss.backward()
        return loss.detach()

    def advance(self) -> None:
        """One optimiser step; on reporting steps also the numbers an event carries."""
        loss = self._backward(next(self.batches))
        if (self.step + 1) % REPORT == 0 or self.step + 1 == self.steps:
            self.loss, self.gradient_norm = float(loss), float(self.optimizer.gradients.norm())
        # Until a budget in seconds is turned into steps, the rate is still warming up and does not depend on them.
        self.optimizer.step(self.step, self.steps or self.config.warmup + 1)
        self.step += 1
        if self.step % REPORT == 0 or self.done:
            self.marks = [*self.marks[-20:], (self.step, time.perf_counter())]
        if self.steps is None:
            self._plan()

    def _plan(self) -> None:
        """Turn a budget in seconds into steps, from the pace of the second half of the warm-up."""
        left = (self.config.seconds or 0.0) - self.seconds
        if left > 0 and self.step < max(self.config.warmup, 2 * REPORT):
            return
        middle = self.marks[len(self.marks) // 2]
        pace = (self.step - middle[0]) / max(1e-9, time.perf_counter() - middle[1])
        self.steps = self.step + max(1, int(0.97 * left * pace))

    @property
    def done(self) -> bool:
        return self.steps is not None and self.step >= self.steps

    # ---- soundness ----------------------------------------------------------------------------------------------
    def diverged(self) -> bool:
        """Check the run at a report; when it is sound, remember it as the last good state."""
        self.best_loss = min(self.best_loss, self.loss) if math.isfinite(self.loss) else self.best_loss
        sound = math.isfinite(self.loss) and math.isfinite(self.gradient_norm) and self.loss < EXPLODED * self.best_loss
        if sound and bool(torch.isfinite(self.optimizer.average).all()):
            self.good = (self.optimizer.state(), self.step)
            return False
        return True

    def restore(self) -> str:
        """Go back to the last good weights; what happened, in a sentence."""
        state, step = self.good
        at, loss, norm = self.step, self.loss, self.gradient_norm
        self.optimizer.load(state)
        self.step = step
        return (
            f"The run diverged by step {at} (loss {loss:.3g}, gradient norm {norm:.3g}). "
            f"The weights of step {step} are kept. A smaller learning rate or a larger δ helps."
        )

    # ---- what it says -------------------------------------------------------------------------------------------
    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started

    def event(self, status: Status, message: str = "") -> TrainingEvent:
        if status != "preparing":
            self.quality = self._measure_quality()
        if status in {"training", "finished"} and self.step and math.isfinite(self.loss):
            self.history.append((self.step, self.loss, self.quality))
        seconds = self.seconds
        factor = rate_factor(max(0, self.step - 1), self.steps or self.config.warmup + 1, self.config.warmup)
        return TrainingEvent(
            step=self.step,
            steps=self.steps,
            loss=self.loss,
            seconds=seconds,
            seconds_left=self._seconds_left(),
            learning_rate=self.config.learning_rate * factor,
            gradient_norm=self.gradient_norm,
            quality=self.quality,
            status=status,
            message=message,
            device=self.device_name,
            model=lambda: self._model("stopped" if status in ("preparing", "training") else status, seconds),
        )

    def _measure_quality(self) -> float:
        weights = self.optimizer.weights
        with torch.no_grad():
            kept = weights.clone()
            weights.copy_(self.optimizer.average)
            landed = self.flow_map(self.noise, self.config.horizon, self.config.delta or 0.0)
            weights.copy_(kept)
        return float((landed - self.exact).square().sum(1).mean().sqrt())

    def _seconds_left(self) -> float | None:
        if self.steps is None:
            return max(0.0, (self.config.seconds or 0.0) - self.seconds)
        if len(self.marks) < 2:
            return None
        (first, then), (last, now) = self.marks[0], self.marks[-1]
        return (self.steps - self.step) * (now - then) / max(1, last - first)

    def _model(self, status: Ending, seconds: float) -> TrainedModel:
        flow_map = FlowMap(self.target.dim, self.config.network, generator=torch.Generator())
        flow_map.load_state_dict({k: v.cpu() for k, v in self.optimizer.named(self.optimizer.average).items()})
        flow_map.requires_grad_(requires_grad=False)
        config = self.config.model_copy(update={"steps": self.steps})
        return TrainedModel(
            flow_map=flow_map,
            target=self.target,
            config=config,
            steps=self.step,
            seconds=seconds,
            status=status,
            device=self.device_name,
            history=tuple(self.history),
            resume_state={k: v.cpu() for k, v in self.optimizer.state().items()},
        )
