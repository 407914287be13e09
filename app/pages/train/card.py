"""The state of a training in words: one card for every moment, from before it starts to how it ended."""

import math
from collections.abc import Sequence

from app import state
from app.background.jobs import JobView
from app.pages.train.objective import needs_in_words
from app.training.choice import Choice
from app.training.job import TrainingProgress, live_question
from app.training.previous import settings_in_words
from app.ui.cards import card, direction_title, number
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.sampling_defaults import sampling_defaults
from cmcore.targets import Memorisation
from cmcore.training import FEW_STEPS, TrainingEvent

NOTHING = "Stopped before the first step: there are no weights to keep."
FEW = "So few steps give no samples worth looking at: continue training."
UNCOUNTED = "The budget counts from the first step."


def first_card(choice: Choice | None, config: TrainingConfig | None) -> str:
    """Before anything was trained: what starting would do; for a link, what it holds and what it does not."""
    if choice is None or config is None:
        return card("Nothing is training yet", "", [], aside="Loss, KL and samples appear here while a map is learned.")
    settings = dict(settings_in_words(config))
    rows = [(name, settings[name]) for name in ("Objective", "Budget", "Network", "Seed")]
    if question := live_question(choice.target, config):
        rows.append(("Measured during training", direction_title(question.direction, question.grid.delta)))
    if state.value("train link offers"):
        words = "A link carries how a map is trained and not the map. Start training to have it here."
        return card(f"From a link: {choice.label}", "", rows, aside=words)
    return card(f"{choice.label}, not trained yet", "", rows, aside=_before_it_starts(config))


def _before_it_starts(config: TrainingConfig) -> str:
    """What starting would do."""
    kind = OBJECTIVES[config.objective]
    needs = needs_in_words(kind, config.objective_parameters)
    own = sampling_defaults(config)
    if own.velocity_only:
        learned = "the velocity of the flow; a jump is then a DDIM step with a learned score"
    elif own.single_time:
        learned = "f(x, t, δ), which takes a point from any time t to the end; samples jump there and are renoised"
    else:
        learned = "f(x, t, s), which takes a point from time t to any earlier time s"
    return f"A small network learns {learned}. It learns from {needs}."


def status_card(view: JobView[TrainingProgress], facts: Sequence[tuple[str, str]] = ()) -> str:
    """The state of a training as a card: what is happening, how long it takes, on what; `facts` are further rows."""
    facts = list(facts)
    if view.status == "queued":
        return card("Queued", f"Place {view.place}", facts, aside=_until_it_starts(view.wait))
    if view.status == "failed":
        return card("Training could not go on", "", facts, aside=view.problem)
    if view.latest is None:
        words = f"Stopped before it began. {view.ended}".strip() if view.over else "Starting."
        return card("Stopped" if view.over else "Training", "", facts, aside=words)
    event = view.latest.event
    rows = [*facts, *_rows(event)]
    if view.over:
        return _end_card(view, view.latest, rows)
    if view.status == "paused":
        left = "" if event.seconds_left is None else _time_left(event.seconds_left)
        words = "Paused; the time left stands still. It goes on exactly where it was."
        return card("Paused", f"step {event.step:,}", rows, beside=left, aside=words)
    if event.status == "preparing":
        words = f"{event.message[:1].upper()}{event.message[1:]}."
        if event.seconds_left is not None:  # a teacher's steps are a share of the budget
            return card("Preparing", _time_left(event.seconds_left), rows, aside=words)
        return card("Preparing training data", f"{view.seconds:.0f} s", rows, aside=f"{words} {UNCOUNTED}")
    beside = f"step {event.step:,}" + (f" of {event.steps:,}" if event.steps else "")
    return card("Training", _time_left(event.seconds_left), rows, beside=beside)


def _end_card(view: JobView[TrainingProgress], latest: TrainingProgress, rows: list[tuple[str, str]]) -> str:
    event = latest.event
    if latest.model is None:
        return card("Stopped", "", rows, aside=f"{view.ended} {NOTHING}".strip())
    title = {"diverged": "Diverged", "finished": "Finished"}.get(event.status, "Stopped")
    words = [event.message] if event.status in ("diverged", "finished") and event.message else []
    if title == "Stopped":
        words.append(f"{view.ended or 'Stopped early.'} The weights of step {event.step:,} are kept.")
        words += [FEW] if event.step < FEW_STEPS else []
    if latest.memorisation is not None:
        words.append(_memory(latest.memorisation))
    return card(title, f"{event.seconds:.0f} s", rows, beside=f"{event.step:,} steps", aside=" ".join(words))


def _until_it_starts(wait: float | None) -> str:
    """What a place in the queue means in time, where that can be told."""
    if wait is None or wait < 1:
        return "Training starts as soon as a worker is free."
    return f"Training starts in about {wait:.0f} s." if wait < 100 else f"Training starts in about {wait / 60:.0f} min."


def _memory(memory: Memorisation) -> str:
    interval = f"({number(memory.low, 2)} … {number(memory.high, 2)})"
    return (
        f"Memorisation check: {number(memory.ratio)} {interval}, the distance of samples to the rows trained on "
        "÷ that of unseen rows. About 1: none; well below 1: copies training rows. "
        f"Samples of the reference itself have {number(memory.of_the_truth)}."
    )


def _rows(event: TrainingEvent) -> list[tuple[str, str]]:
    rows = [("Device", event.device)]
    if event.preparation >= 0.5 and event.status != "preparing":
        rows.append(("Preparation", f"{event.preparation:.0f} s"))
    if math.isfinite(event.loss):
        rows.append(("Loss", number(event.loss)))
    if math.isfinite(event.quality):
        rows.append(("One-jump error (RMS)", number(event.quality, 2)))
    return rows


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "…"
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"
