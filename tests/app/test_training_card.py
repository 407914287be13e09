"""Every state of a training run has its words."""

import math

import pytest

from app.jobs import JobView
from app.live import Progress
from app.views.train import told
from cmcore.training import TrainingEvent


def event(status="training", **changes):
    fields = {
        "step": 1_250, "steps": 8_000, "loss": 0.0123, "seconds": 12.0, "seconds_left": 41.6, "learning_rate": 1e-3,
        "gradient_norm": 0.1, "quality": 0.21, "status": status, "message": "",
        "device": "CPU, 2 threads", "model": dict,
    }  # fmt: skip
    return TrainingEvent(**{**fields, **changes})


def view(status, progress=None, **changes):
    return JobView(status, progress, **{"place": 0, "seconds": 1.0, **changes})


RUNNING = Progress(event(), ((50, 0.1),), None)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view("queued", place=2), ["Queued", "Place 2"]),
        (view("running"), ["Starting"]),
        (view("running", Progress(event("preparing", message="computing", loss=math.nan), (), None)), ["Preparing"]),
        (view("running", Progress(event("preparing", message="learning δ, step 9 of 40", loss=math.nan), (), None)),
         ["42 s left", "Learning δ, step 9 of 40."]),
        (view("stopped", Progress(event("preparing", step=0, loss=math.nan), (), None, stopped=True)),
         ["Stopped", "no weights to keep"]),
        (view("running", Progress(event(quality=math.nan), (), None)), ["0.0123"]),
        (view("running", RUNNING), ["42 s left", "step 1,250 of 8,000", "0.0123", "CPU, 2 threads", "0.21"]),
        (view("running", Progress(event(steps=None, seconds_left=None), (), None)), ["step 1,250</span>", "…"]),
        (view("running", Progress(event(seconds_left=400.0), (), None)), ["7 min left"]),
        (view("finished", Progress(event("finished"), (), None)), ["Finished", "12 s", "1,250 steps"]),
        (view("stopped", Progress(event(), (), None, stopped=True)), ["Stopped", "weights of step 1,250 are kept"]),
        (view("stopped"), ["Stopped before it began"]),
        (view("paused", RUNNING), ["Paused", "step 1,250", "42 s left", "stands still"]),
        (view("stopped", RUNNING), ["Stopped", "weights of step 1,250 are kept"]),
        (view("finished", Progress(event("diverged", message="The run diverged by step 9."), (), None)),
         ["Diverged", "The run diverged by step 9."]),
        (view("failed", problem="δ must be > 0."), ["could not go on", "δ must be &gt; 0."]),
    ],
)  # fmt: skip
def test_words_for_every_state(seen, words):
    card = told(seen)
    for part in words:
        assert part in card
    assert "nan" not in card
