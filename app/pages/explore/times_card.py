"""Under the KL card: what moved times are compared with, the way back, and the search for the best ones."""

import streamlit as st

from app import state
from app.background.jobs import Busy, JobView
from app.kl.best_times import Search, cancel_search, found_share, found_times, search_times, searching
from app.kl.curve import Measured
from app.quoting import plain
from app.runs.library import Run
from app.stage.stage import restore_times
from app.ui.cards import in_words
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction


def under_way(run: Run, config: SamplerConfig, direction: Direction) -> bool:
    """Whether times for this draw are being searched for, or have been found and not been looked at."""
    return searching(run, config, direction) is not None


def times_card(curve: Measured, run: Run, config: SamplerConfig, direction: Direction) -> None:
    """Both KLs where times were moved, and buttons; `curve` is the named grid's. One jump has no times to move."""
    if config.steps == 1:
        return
    if words := _compared(curve, config):
        st.caption(plain(words))
    view = searching(run, config, direction)
    if view is None:
        _buttons(run, config, direction)
    elif view.over:
        _take(view, config)
    else:
        _progress(view)


def _compared(curve: Measured, config: SamplerConfig) -> str:
    if problem := state.value("search problem"):
        return problem
    if config.times is None:
        waiting = config.steps in (state.value("moved times") or {})
        return f"Your times do not lie between T = {config.horizon:g} and δ = {config.delta:g}." if waiting else ""
    trials = state.value("best times", {}).get(config.times[1:-1])
    way = f"With the best times of {trials} trials, measured here on other noise." if trials else "With moved times."
    named = config.grid.replace("_", " ")
    return f"{way} The grid “{named}” has {in_words(curve.estimates.get(config.steps))}."


def _buttons(run: Run, config: SamplerConfig, direction: Direction) -> None:
    with st.container(horizontal=True):
        pressed = st.button(
            "Best times",
            help="Search for the times with the least KL: up to 120 trials, about a minute.",
            key="best_times",
        )
        if config.times is not None:
            st.button("Restore times", on_click=restore_times, args=(config.steps,), key="restore_times")
    if pressed:
        state.set_value("search problem", "")
        try:
            search_times(run, config, direction)
        except Busy as busy:
            state.set_value("search problem", str(busy))
        st.rerun()


def _progress(view: JobView[Search]) -> None:
    share = view.latest.share if view.latest else 0.0
    waiting = (
        f"Waiting for a worker, place {view.place} in the queue." if view.place else "Searching for the best times."
    )
    st.progress(share, text=waiting)
    if st.button("Cancel", key="cancel_search"):
        cancel_search()
        st.rerun()


def _take(view: JobView[Search], config: SamplerConfig) -> None:
    """What was found becomes the times of this N; the page measures them again."""
    found = view.latest.found if view.latest else None
    times = None if found is None else found_times(found)
    cancel_search()
    if found is not None and times is not None:
        state.set_value("moved times", {**(state.value("moved times") or {}), config.steps: times})
        state.set_value("best times", {**state.value("best times", {}), times: found.trials})
        if config.sampler == "renoise":
            state.set_value("found share", found_share(found))
    state.set_value("search problem", view.problem)
    st.rerun()
