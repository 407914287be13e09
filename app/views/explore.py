"""Explore: one run, from noise to data in N jumps, and how far from the truth it ends."""

from html import escape

import streamlit as st

from app import state
from app.cards import bare_card, direction_title, direction_words, kl_card, plain
from app.controls.runs import run_controls
from app.controls.sampler import default_delta, sampler_controls
from app.controls.times import times_card, under_way
from app.figures.kl_curve import describe, kl_curve
from app.figures.theme import theme
from app.links.explore import open_link, write_link
from app.measurements import DIRECTIONS, Measured, ddim_calls, initialisation, lines, stopping
from app.moved import Known, known
from app.picture import picture_config
from app.runs import Run, runs
from app.snippet import snippet
from app.stage import stage
from app.takeaway.popover import explore_takeaway
from app.theory import sentence
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction

__all__ = ["explore"]

POLL = 0.8
"""Seconds between looks at a measurement under way."""


def explore() -> None:
    """The page."""
    for problem in open_link():
        st.warning(plain(problem))
    if not runs():
        st.info("There is no run to look at yet. Train one: it takes less than a minute.")
        return
    with st.container(key="workbench"):
        with st.container(key="run_area"):
            run = run_controls()
        with st.container(key="sampler_area"):
            config = sampler_controls(run)
        measures = st.container(key="measures_area")
        with measures:
            direction = _direction(config.sampler)
        with st.container(key="stage_area"):
            stage(run, config, known(run, config, direction).shown)
        with measures:
            now = known(run, config, direction).shown
            state.choose("on screen", _extent(now))
            going = now.waiting or under_way(run, config, direction)
            st.fragment(_measures, run_every=POLL if going else None)(run, config, direction)
    write_link(delta=config.delta, default_delta=default_delta(run, config.sampler))


def _direction(sampler: str) -> Direction:
    """KL(q‖p) asks whether every sample is plausible, KL(p‖q) whether all of the data is reached."""
    key = f"direction:{sampler}"
    state.remember(key, DIRECTIONS[sampler == "renoise"])
    direction = st.segmented_control(
        "Divergence",
        DIRECTIONS,
        format_func=direction_words,
        label_visibility="collapsed",
        key=key,
        required=True,
        width="stretch",
        persist_state="session",
    )
    assert direction is not None  # one is always chosen
    return direction


def _measures(run: Run, config: SamplerConfig, direction: Direction) -> None:
    """The measurements column; runs again on its own while something is being measured."""
    now = known(run, config, direction)
    _card(now.shown, config, direction, run)
    times_card(now.curve, run, config, direction)
    _chart(now, config, direction, run)
    words = sentence(run, config, now.shown, initialisation(run.key, config.horizon, run))
    st.html(f'<p class="theory">{escape(words)}</p>')
    if _extent(now.shown) != state.value("on screen"):
        st.rerun()  # a new number belongs beside its small multiple too, and polling ends with the measuring


def _extent(known: Measured) -> tuple[tuple[int, ...], bool]:
    """How much is known: when this changes, the whole page has something new to show."""
    return tuple(sorted(known.estimates)), bool(known.waiting)


def _card(known: Measured, config: SamplerConfig, direction: Direction, run: Run) -> None:
    estimate = known.estimates.get(config.steps)
    if estimate is not None:
        stopped = stopping(run.key, config.delta, run)
        st.html(kl_card(estimate, ddim_calls=ddim_calls(known, estimate.value), stopped=stopped))
    else:
        words = known.problem or known.waiting or "Not measured."
        st.html(bare_card(direction_title(direction, config.delta), words))


def _chart(known: Known, config: SamplerConfig, direction: Direction, run: Run) -> None:
    drawn = lines(known.curve, known.moved)
    st.html('<h2 class="eyebrow">KL versus network calls</h2>')
    st.plotly_chart(
        kl_curve(drawn, calls=config.steps, theme=theme(st.context.theme.type)),
        theme=None,
        key="kl_chart",
        config=picture_config(),
        alt=describe(drawn),
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(known.shown.waiting or "Band: 95 % interval of this model.")
        with st.popover("Code", type="tertiary"):
            st.code(snippet(run, config, direction), language="python")
        explore_takeaway(run, config, direction, known)
