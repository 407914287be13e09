"""The run that stands beside the one on show: which there are of its target, and what is said where it cannot stay."""

from collections.abc import Mapping

import streamlit as st

from app import state
from app.quoting import plain
from app.runs.library import all_runs, runs
from app.runs.names import run_names
from app.runs.run import Run

AGAINST = "against"
"""Key of the choice; "" is nothing."""
_LOST = "against lost"
_HELP = "Another run of this target, drawn beside it from the same noise at the same times."
_ALONE = "A link holds how one run was trained: to another session it shows A alone."


def others_of(run: Run | None) -> Mapping[str, Run]:
    """The runs that a run can be compared with: those of its target."""
    if run is None:
        return {}
    return {key: other for key, other in runs().items() if key != run.key and other.target_key == run.target_key}


def read_against(run: Run | None, text: str) -> str:
    """The run that a link compares with; ValueError says in a clause why it cannot."""
    if text in others_of(run):
        return text
    raise ValueError(f"it compares with another run, and {_why_not(text, run)}")


def against_control(run: Run) -> Run | None:
    """The choice, where there is another run of the target, and the run that was chosen."""
    offered, chosen = others_of(run), state.value(AGAINST, "")
    if chosen and chosen not in offered:
        state.set_value(_LOST, f"The comparison ended: {_why_not(chosen, run)}.")
        state.set_value(AGAINST, "")
    if words := state.value(_LOST):
        st.caption(plain(words))
    if not offered:
        return None
    names = run_names([run, *offered.values()])
    key = st.selectbox(
        "Compare with",
        ["", *offered],
        format_func=lambda key: names.get(key, "Nothing"),
        key=AGAINST,
        help=_HELP,
        on_change=_chosen,
        persist_state="session",
    )
    other = offered.get(key)
    if other is not None and not other.shipped:
        st.caption(_ALONE)
    return other


def _chosen() -> None:
    state.set_value(_LOST, "")


def _why_not(key: str, run: Run | None) -> str:
    there = all_runs().get(key)
    if there is None:
        return f"the run “{key[:40]}” is not here"
    if key not in runs():
        return f"{there.label} is hidden: Runs shows it again"
    if run is not None and key == run.key:
        return f"{there.label} is the run on show"
    return f"{there.label} learned another target"
