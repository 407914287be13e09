"""Under the KL card: what moved times are compared with, the way back, and the search for the best ones."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from app import state
from app.background.jobs import Busy
from app.background.progress import progress_line
from app.kl.best_times import SEARCH, search_key, search_times, share_of, times_of
from app.quoting import plain
from app.runs.library import Run
from app.stage.stage import restore_times
from app.ui.cards import in_words
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction, Estimate
from cmcore.samplers import SAMPLERS
from cmcore.theory import BestChain


def is_searching(run: Run, config: SamplerConfig, direction: Direction) -> bool:
    """Whether times for this draw are being searched for, or what the search came to was not looked at."""
    key = search_key(run, config, direction)
    return SEARCH.view(key) is not None or SEARCH.result(key) is not None


def times_card(
    on_grid: Mapping[int, Estimate], run: Run, config: SamplerConfig, direction: Direction, letter: str = ""
) -> None:
    """Both KLs where times were moved, and buttons. One jump has no times to move.

    `on_grid` are the estimates by N with the named grid; `letter` is what the run is called where there are two.
    """
    if config.steps == 1:
        return
    whose = f" for {letter}" if letter else ""
    if words := _compared(on_grid, config, whose):
        st.caption(plain(words))
    key = search_key(run, config, direction)
    view, best = SEARCH.view(key), SEARCH.result(key)
    if best is not None or (view is not None and view.over):
        _take(best, view.problem if view else "", config)
    elif view is None:
        _buttons(run, config, direction, whose)
    else:
        progress_line(view)
        if st.button("Cancel", key="cancel_search"):
            SEARCH.end()
            st.rerun()


def _compared(on_grid: Mapping[int, Estimate], config: SamplerConfig, whose: str) -> str:
    if problem := state.value("search problem"):
        return problem
    if config.times is None:
        waiting = config.steps in (state.value("moved times") or {})
        return f"Your times do not lie between T = {config.horizon:g} and δ = {config.delta:g}." if waiting else ""
    trials = state.value("best times", {}).get(config.times[1:-1])
    way = f"With the best times of {trials} trials, measured here on other noise." if trials else "With moved times."
    named = config.grid.replace("_", " ")
    return f"{way} The grid “{named}” has {in_words(on_grid.get(config.steps))}{whose}."


def _buttons(run: Run, config: SamplerConfig, direction: Direction, whose: str) -> None:
    with st.container(horizontal=True):
        pressed = st.button(
            "Best times",
            help=f"Search for the times with the least KL{whose}: up to 120 trials, about a minute. η is one share of "
            "t, or of the step.",
            key="best_times",
        )
        if config.times is not None:
            st.button("Restore times", on_click=restore_times, args=(config.steps,), key="restore_times")
    if pressed:
        state.set_value("search problem", "")
        try:
            SEARCH.start(search_key(run, config, direction), partial(search_times, run, config, direction))
        except Busy as busy:
            state.set_value("search problem", str(busy))
        st.rerun()


def _take(best: BestChain | None, problem: str, config: SamplerConfig) -> None:
    """What was found becomes the times of this N; the page measures them anew."""
    SEARCH.forget()
    times = None if best is None else times_of(best)
    if best is not None and times is not None:
        state.set_value("moved times", {**(state.value("moved times") or {}), config.steps: times})
        state.set_value("best times", {**state.value("best times", {}), times: best.trials})
        if SAMPLERS[config.sampler].noisy:
            state.set_value("found share", share_of(best, config.sampler))
    state.set_value("search problem", problem)
    st.rerun()
