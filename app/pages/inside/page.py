"""Inside: where a map errs, how it bends space, and which modes it fills, beside the exact flow."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.background.jobs import Busy, JobView
from app.components.flow_picture import FlowScene, flow_picture
from app.components.values import PinnedPoint, Step, sent
from app.kl.run_picker import run_controls
from app.pages.inside.controls import end_controls, quantity_control, start_control
from app.pages.inside.job import Going, Look, known, looking
from app.pages.inside.link import open_inside_link, write_inside_link
from app.pages.inside.sections import (
    absent,
    determinant_section,
    map_section,
    mean_section,
    modes_section,
    straightness_section,
)
from app.quoting import escape, plain
from app.runs.library import Run, runs
from app.sharing.retrain_offer import training_offer, warn_not_shareable
from app.stage.scene import STEPS
from app.ui.link_warnings import show_link_warnings
from cmcore.diagnostics import QUANTITIES

POLL = 1.0
"""Seconds between looks at what is being measured."""
FLOW = "inside flow"


def inside() -> None:
    """The page."""
    show_link_warnings(open_inside_link())
    st.html("<h1 class='question'>Where does the map err, and how does it bend space?</h1>")
    training_offer("run")
    if not runs():
        st.info("There is no run to look into yet. Train one: it takes less than a minute.")
        return
    with st.container(key="insidebench"):
        with st.container(key="look_area"), st.container(key="run_area"):
            run = run_controls()
            warn_not_shareable("run")
            s, steps = end_controls(run)
        with st.container(key="found_area"):
            if not run.target.has_score:
                st.info("This data is known by its samples alone, so there is no exact flow to compare the map with.")
                return
            t = _shown(run, s, steps)
    write_inside_link(t=t, s=s, first_t=run.model.horizon, first_s=run.model.delta)


def _shown(run: Run, s: float, steps: int) -> float:
    """Everything that was found; t, which is chosen beside the pictures that it changes."""
    if run.target.dim == 1:
        _flow(Look(run, run.model.horizon, s, steps))
    with st.container(key="asked_row"):
        quantity = quantity_control(run, s)
        t = start_control(run, s)
    look = Look(run, t, s, steps)
    going = _going(look)
    st.fragment(_found, run_every=POLL if going else None)(look, quantity)
    return t


def _going(look: Look) -> JobView[Going] | str:
    """The measuring under way, a sentence where there is no room for it, or nothing."""
    try:
        return looking(look) or ""
    except Busy as busy:
        return str(busy)


# ---- the whole flow of a line -----------------------------------------------------------------------------------
def _flow(look: Look) -> None:
    scene: FlowScene | None = known(look).get("flow")
    state.set_value("flow on screen", scene is not None)
    if scene is None:
        absent(look, "flow", 520)
        return
    flow_picture(
        scene, steps=look.steps, at=state.value("inside at"), key=FLOW, on_steps=_take_steps, on_at=_take_point
    )


def _take_steps() -> None:
    """N was chosen on the picture: the slider follows."""
    steps = sent(state.value(FLOW), "steps", Step)
    if steps in STEPS:
        state.set_value("steps", steps)


def _take_point() -> None:
    """A point was pinned, or let go."""
    pinned = sent(state.value(FLOW), "at", PinnedPoint)
    if pinned is not None:
        state.set_value("inside at", None if pinned.at is None else tuple(pinned.at))


# ---- what was found ---------------------------------------------------------------------------------------------
def _found(look: Look, quantity: str) -> None:
    """The figures and all beside them; runs again on its own while something is being measured."""
    going, found = _going(look), known(look)
    told, dim = QUANTITIES[quantity], look.run.target.dim
    _progress(going)
    left, right = st.columns([1.5, 1], gap="large")
    with left, st.container(key="map_area"):
        map_section(look, quantity, found)
    with right, st.container(key="mean_area"):
        mean_section(look, quantity, told, found.get("times"))
    if dim <= 2:
        with _section("folds_area", "How the jump stretches space, and where it folds"):
            determinant_section(look, found)
    with _section("modes_area", "Which modes the samples fill"):
        modes_section(look, {n: found[f"masses {n}"] for n in STEPS if f"masses {n}" in found})
    with _section("straight_area", "How straight the paths are"):
        straightness_section(look, found.get("bends"))
    late = "flow" in found and not state.value("flow on screen")
    if late or (not going and state.value("inside going")):
        state.set_value("inside going", new=False)
        st.rerun()  # the flow picture stands outside this fragment, and polling ends with the measuring
    state.set_value("inside going", bool(going))


def _progress(going: JobView[Going] | str) -> None:
    if isinstance(going, str):
        if going:
            st.warning(plain(going))
    elif going.problem:
        st.warning(plain(going.problem))
    elif going.latest is None:
        st.progress(
            0.0, text=f"Waiting for a worker, place {going.place} in the queue." if going.place else "Starting."
        )
    elif going.latest.words:
        told = going.latest
        st.progress(told.done / max(1, told.total), text=plain(f"Measuring {told.words}, {told.done} of {told.total}."))


def _section(key: str, title: str) -> DeltaGenerator:
    """A part of the page under its own heading."""
    area = st.container(key=key)
    area.html(f"<h2 class='question'>{escape(title)}</h2>")
    return area
