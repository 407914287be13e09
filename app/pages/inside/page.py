"""Inside: where a map errs, how it bends space, and which modes it fills, beside the exact flow."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.background.progress import poll, progress_line, under_way
from app.components.flow_picture import FlowScene, flow_picture
from app.components.values import PinnedPoint, Step, sent
from app.kl.run_picker import run_controls
from app.pages.inside.controls import end_controls, quantity_control, start_control
from app.pages.inside.job import Look, measured, measuring
from app.pages.inside.link import INSIDE_LINK
from app.pages.inside.sections import (
    absent,
    determinant_section,
    map_section,
    mean_section,
    modes_section,
    straightness_section,
)
from app.quoting import escape
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
    show_link_warnings(INSIDE_LINK.open())
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
        with st.container(key="result_area"):
            if not run.target.has_score:
                st.info("This data is known by its samples alone, so there is no exact flow to compare the map with.")
                return
            _shown(run, s, steps)
    INSIDE_LINK.write()


def _shown(run: Run, s: float, steps: int) -> None:
    """Everything that was measured, and t, which is chosen beside the pictures that it changes."""
    drawn = run.target.dim != 1 or _flow(Look(run, run.model.horizon, s, steps))
    with st.container(key="asked_row"):
        quantity = quantity_control(run, s)
        t = start_control(run, s)
    look = Look(run, t, s, steps)
    going = under_way(measuring(look))
    poll(_measured, look, quantity, shown=(going, drawn), every=POLL if going else None)


# ---- the whole flow of a line -----------------------------------------------------------------------------------
def _flow(look: Look) -> bool:
    """The picture of it, if it is computed; whether it is."""
    scene: FlowScene | None = measured(look).get("flow")
    if scene is None:
        absent(look, "flow", 520)
        return False
    flow_picture(
        scene, steps=look.steps, at=state.value("inside at"), key=FLOW, on_steps=_take_steps, on_at=_take_point
    )
    return True


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


# ---- what was measured ------------------------------------------------------------------------------------------
def _measured(look: Look, quantity: str) -> tuple[bool, bool]:
    """The figures and all beside them; whether more is being measured, and whether there is the whole flow to draw."""
    view, parts = measuring(look), measured(look)
    progress_line(view)
    left, right = st.columns([1.5, 1], gap="large")
    # The number before the pictures, which the browser takes longer to draw.
    with right, st.container(key="mean_area"):
        mean_section(look, quantity, QUANTITIES[quantity], parts.get("times"))
    with left, st.container(key="map_area"):
        map_section(look, quantity, parts)
    if look.run.target.dim <= 2:
        with _section("folds_area", "How the jump stretches space, and where it folds"):
            determinant_section(look, parts)
    with _section("modes_area", "Which modes the samples fill"):
        modes_section(look, {n: parts[f"masses {n}"] for n in STEPS if f"masses {n}" in parts})
    with _section("straight_area", "How straight the paths are"):
        straightness_section(look, parts.get("bends"))
    return under_way(view), look.run.target.dim != 1 or "flow" in parts


def _section(key: str, title: str) -> DeltaGenerator:
    """A part of the page under its own heading."""
    area = st.container(key=key)
    area.html(f"<h2 class='question'>{escape(title)}</h2>")
    return area
