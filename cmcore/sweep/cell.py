"""A cell of a sweep: one config in, a trained map measured at every N out."""

import hashlib
import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import joblib
from pydantic import BaseModel, ConfigDict, Field, field_validator
from threadpoolctl import threadpool_limits

from cmcore.config import USUAL_GRID, Config, Seed, TargetConfig, TrainingConfig
from cmcore.divergences import DATA_MODEL, MODEL_DATA, Direction, Estimate
from cmcore.measure import Curve, kl_versus_steps
from cmcore.model import TrainedModel
from cmcore.targets import Target, make_target
from cmcore.threads import team
from cmcore.training import training

DIRECTIONS: dict[str, Direction] = {"model-data": MODEL_DATA, "data-model": DATA_MODEL}
LONGEST_TRACE = 4000

Steps = Annotated[int, Field(ge=1, le=4096)]


class MeasureConfig(Config):
    """How each trained map is measured: the choices of :func:`~cmcore.measure.kl_versus_steps`."""

    steps: tuple[Steps, ...] = Field((1, 2, 4, 8, 16), min_length=1, max_length=64, description="the N to try")
    sampler: str | None = Field(None, max_length=64, description="None: the one that the objective trains for")
    grid: str = Field(default=USUAL_GRID, max_length=64)
    renoise: float | None = Field(None, ge=0, le=1, description="η as a share of t; None: the objective's own")
    delta: float | None = Field(None, ge=0, lt=20, description="δ of the comparison; None: the training's own")
    direction: Literal["model-data", "data-model"] | None = Field(None, description="None: the sampler's own")
    n: int | None = Field(None, ge=256, le=1 << 24, description="samples behind each estimate")
    seed: Seed = Field(0, description="of all noise of the measurement")

    @field_validator("steps")
    @classmethod
    def _different(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(steps)) < len(steps):
            raise ValueError("Give each N once.")
        return steps


class Cell(Config):
    """What is trained and how it is measured, every choice filled in."""

    target: TargetConfig
    training: TrainingConfig
    measure: MeasureConfig

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the hash of the config: the name of this cell's folder and its key in the table."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class CellResult(BaseModel):
    """The result of a cell: its curve, or why there is none.

    Attributes:
        status: "finished", "diverged" (nothing was measured), or "failed" with an error.
        message: what went wrong, in a sentence.
        seconds: wall time of training and measuring.
        training_steps: optimiser steps done.
        device: where it was trained, in words.
        curve: the curve as its own JSON has it; None unless finished.
        trace: where an error came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    cell: Cell
    status: Literal["finished", "diverged", "failed"]
    message: str = ""
    seconds: float
    training_steps: int = 0
    device: str = ""
    curve: dict[str, Any] | None = None
    trace: str = ""

    @property
    def estimates(self) -> tuple[Estimate | None, ...]:
        """The estimate at each N asked for; None where there is none."""
        by_steps: dict[float, Estimate] = {}
        if self.curve is not None:
            curve = Curve.from_json(json.dumps(self.curve))
            by_steps = dict(zip(curve.values, curve.estimates, strict=True))
        return tuple(by_steps.get(steps) for steps in self.cell.measure.steps)


def run_cell(cell: Cell, *, keep_model: bool = False) -> tuple[CellResult, TrainedModel | None]:
    """Train and measure on one thread. Whatever goes wrong is the result; nothing is raised.

    Args:
        cell: the config.
        keep_model: whether to return the trained map, without the state of the optimiser, beside the result.
    """
    started = time.perf_counter()
    outcome: dict[str, Any]
    event = model = None
    try:
        with _one_thread():
            target = make_target(cell.target.name, **cell.target.parameters)
            *_, event = training(target, cell.training)
            outcome = {"status": event.status, "message": event.message, "device": event.device}
            model = event.model()
            if event.status == "finished":
                outcome["curve"] = json.loads(_measured(model, target, cell.measure).to_json())
    except Exception as error:  # noqa: BLE001  one cell's error, of whatever kind, must not end the others
        sentence = next(iter(str(error).strip().splitlines()), "")
        trace = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
        outcome = {"status": "failed", "message": sentence or type(error).__name__, "trace": trace}
    seconds, steps = time.perf_counter() - started, 0 if event is None else event.step
    result = CellResult(cell=cell, seconds=round(seconds, 3), training_steps=steps, **outcome)
    return result, replace(model, resume_state={}) if keep_model and model is not None else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: the other cores have cells of their own."""
    # joblib is at work in scikit-learn too: there it would wait on the cluster for a worker that waits for it.
    with team(1), threadpool_limits(limits=1), joblib.parallel_config(backend="sequential"):
        yield


def _measured(model: TrainedModel, target: Target, measure: MeasureConfig) -> Curve:
    choices = measure.model_dump(exclude={"direction", "steps"})
    direction = None if measure.direction is None else DIRECTIONS[measure.direction]
    return kl_versus_steps(model, target, measure.steps, direction=direction, **choices)
