"""Every state of a training run has its words."""

import math
from dataclasses import replace

import pytest

from app.background.jobs import JobView
from app.pages.train.card import status_card
from app.training.job import TrainingProgress
from cmcore.training import TrainingEvent
from tests.app.conftest import untrained


def event(status="training", **changes):
    fields = {
        "step": 1_250, "steps": 8_000, "loss": 0.0123, "seconds": 12.0, "seconds_left": 41.6, "learning_rate": 1e-3,
        "gradient_norm": 0.1, "quality": 0.21, "status": status, "message": "",
        "device": "CPU, 2 threads", "model": dict,
    }  # fmt: skip
    return TrainingEvent(**{**fields, **changes})


def view(status, progress=None, **changes):
    return JobView(status, progress, **{"place": 0, "seconds": 1.0, **changes})


RUNNING = TrainingProgress(event(), ((50, 0.1),), None)
ENDED = replace(RUNNING, model=untrained())


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view("queued", place=2), ["Queued", "Place 2"]),
        (view("running"), ["Starting"]),
        (view("running", TrainingProgress(event("preparing", message="computing", seconds_left=None), (), None)),
         ["Preparing training data", "1 s", "Computing.", "counts from the first step"]),
        (view("running",
              TrainingProgress(event("preparing", message="learning δ, step 9 of 40", loss=math.nan), (), None)),
         ["42 s left", "Learning δ, step 9 of 40."]),
        (view("finished", replace(ENDED, event=event("finished", step=2, message="Only 2 steps."))),
         ["Finished", "2 steps", "Only 2 steps."]),
        (view("stopped", TrainingProgress(event("preparing", step=0, loss=math.nan), (), None, stopped=True)),
         ["Stopped", "no weights to keep"]),
        (view("running", TrainingProgress(event(quality=math.nan), (), None)), ["0.0123"]),
        (view("running", RUNNING), ["42 s left", "step 1,250 of 8,000", "0.0123", "CPU, 2 threads", "0.21"]),
        (view("running", TrainingProgress(event(steps=None, seconds_left=None), (), None)), ["step 1,250</span>", "…"]),
        (view("running", TrainingProgress(event(seconds_left=400.0), (), None)), ["7 min left"]),
        (view("finished", replace(ENDED, event=event("finished"))), ["Finished", "12 s", "1,250 steps"]),
        (view("stopped", replace(ENDED, stopped=True)), ["Stopped", "weights of step 1,250 are kept"]),
        (view("stopped", replace(ENDED, event=event(step=50))), ["weights of step 50 are kept", "So few steps"]),
        (view("stopped"), ["Stopped before it began"]),
        (view("paused", RUNNING), ["Paused", "step 1,250", "42 s left", "stands still"]),
        (view("finished", replace(ENDED, event=event("diverged", message="The run diverged by step 9."))),
         ["Diverged", "The run diverged by step 9."]),
        (view("failed", problem="δ must be > 0."), ["could not go on", "δ must be &gt; 0."]),
    ],
)  # fmt: skip
def test_words_for_every_state(seen, words):
    card = status_card(seen)
    for part in words:
        assert part in card
    assert "nan" not in card
