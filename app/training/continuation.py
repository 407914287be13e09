"""Continuing a run with a new budget: what may be continued, with which settings, and what the longer run is called.

The run that is continued stays as it is; what comes of it is a run of its own.
"""

import re

from app.hosting.limits import limits
from app.runs.library import LONGEST_NAME, Run
from app.training.choice import Choice
from cmcore.config import TrainingConfig
from cmcore.model import TrainedModel
from cmcore.training import continuation

_CONTINUED = re.compile(r", continued to [\d,]+ steps$")


def can_continue(run: Run) -> bool:
    """Whether it holds what going on needs: the optimiser's state, and the target."""
    return bool(run.model.resume_state) and run.model.target is not None


def unfinished(model: TrainedModel) -> bool:
    """Whether it was stopped before the end that was planned, to which it goes on without a new budget."""
    return model.status == "stopped" and (model.config.steps is None or model.steps < model.config.steps)


def what_is_left(model: TrainedModel) -> str:
    """What an unfinished run still has to do, in words."""
    steps = model.config.steps
    return "To the end of its budget." if steps is None else f"{steps - model.steps:,} steps are left of its budget."


def continued_config(run: Run, *, steps: int | None = None, seconds: float | None = None) -> TrainingConfig:
    """The settings of a run with so many steps, or seconds, more; raises OverLimit where this server does less."""
    more = run.model.config.model_copy(update={"steps": steps, "seconds": seconds})
    limits().check(more, run.target)
    return continuation(run.model, steps=steps, seconds=None if steps else seconds)


def continued_name(label: str, steps: int) -> str:
    """Two moons, continued to 6,400 steps."""
    ending = f", continued to {steps:,} steps"
    return _CONTINUED.sub("", label)[: LONGEST_NAME - len(ending)] + ending


def choice_of(run: Run) -> Choice:
    """The target of a run as Train would have it chosen."""
    config = run.target.config
    return Choice(config.key if config else f"run:{run.key}", run.name, _CONTINUED.sub("", run.label), run.target)
