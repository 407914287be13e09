"""A training goes on while its owner looks at another page: a few words there say how far it is and lead back to it."""

import streamlit as st

from app import state
from app.background.jobs import JobView
from app.quoting import plain
from app.training.job import TrainingProgress
from app.training.session import ended_run, join_runs, look_at_trained, training_view, unseen_end

POLL = 3.0
"""Seconds between looks; each renews the lease of the training."""


def training_badge() -> None:
    """Above every page but Train. Where nothing trains, nothing is shown and nothing polls."""
    view = training_view()
    if view is None:
        return
    if not view.over:
        st.fragment(_badge, run_every=POLL)()
    elif unseen_end():
        join_runs()
        _end(view)


def _badge() -> None:
    """How far it is; the page runs again once it has ended, and polling ends with that."""
    view = training_view()
    if view is None or view.over:
        st.rerun()
    st.page_link(state.page("train"), label=plain(badge_words(view)))


def _end(view: JobView[TrainingProgress]) -> None:
    if ended_run() is not None and _good(view):
        # Not in a callback: what it changes would be drawn before the page is switched, and this button no more.
        if st.button("Trained · look at it", type="tertiary", key="look_at_trained"):
            look_at_trained()
            state.open_page("explore")
    else:
        st.page_link(state.page("train"), label=plain(badge_words(view)))


def _good(view: JobView[TrainingProgress]) -> bool:
    return view.status == "finished" and view.latest is not None and view.latest.event.status != "diverged"


def badge_words(view: JobView[TrainingProgress]) -> str:
    """The state of a training in one line."""
    if view.status == "queued":
        return f"Training · waits, place {view.place}" if view.place else "Training · waits"
    if view.status == "failed":
        return "Training failed · see why"
    if view.status == "stopped":
        return "Training stopped · see why"
    if view.over:
        return "Trained · look at it" if _good(view) else "Training diverged · see why"
    if view.latest is None:
        return "Training · starting"
    event = view.latest.event
    if event.status == "preparing":
        return "Training · paused" if view.status == "paused" else "Training · preparing data"
    parts = ["Training", "paused"] if view.status == "paused" else ["Training"]
    if event.step:
        parts.append(f"step {event.step:,}" + (f" of {event.steps:,}" if event.steps else ""))
    if event.seconds_left is not None and view.status != "paused":
        parts.append(f"{max(0.0, event.seconds_left):.0f} s left")
    return " · ".join(parts)
