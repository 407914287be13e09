"""How much longer a run of one's own is trained, and the button that does it."""

from typing import Any

import streamlit as st

from app import state
from app.hosting.limits import limits
from app.runs.library import Run
from app.sharing.retrain import MissingRun, train_link
from app.training.budgets import BUDGETS, budgets
from app.training.choice import FILE
from app.training.continuation import can_continue, unfinished, what_is_left
from app.training.session import continue_training


def continue_controls(run: Run) -> None:
    """By default as much again as it was given; Train then shows how far it is, and can stop it."""
    if not can_continue(run):
        st.caption("It came without its training state, so that it cannot be continued.")
        return
    budget = _budget(run)
    if st.button("Continue training", key=f"continue:{run.key}", help="The longer run is one of its own; this stays."):
        continue_training(run, **budget)
        target = run.target.config
        state.forget_first_time("train link")
        shown = train_link(MissingRun(run.key, "", target, run.model.config)) if target else {"table": FILE}
        state.open_page("train", shown)


def _budget(run: Run) -> dict[str, Any]:
    """So many steps, or seconds, more; nothing for a run that goes on to the end it was stopped before.

    What is offered is the first value of its field, as the name is: both are in a menu that is closed.
    """
    model, key = run.model, f"further:{run.key}"
    if unfinished(model):
        st.caption(what_is_left(model))
        return {}
    if model.config.seconds is None:
        most = limits().steps
        usual = min(model.config.steps or model.steps, most)
        return {"steps": int(st.number_input("Further steps", 1, most, usual, key=key))}
    offered, given = budgets(), model.config.seconds
    nearest = min(offered, key=lambda seconds: abs(seconds - given))
    words = BUDGETS.__getitem__
    return {"seconds": float(st.select_slider("Further training", offered, nearest, format_func=words, key=key))}
