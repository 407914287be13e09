"""The controls of Inside: from which time to which, what is mapped, and in how many jumps samples are drawn."""

import streamlit as st

from app import state
from app.pages.inside.compute import end_times, offered, start_times
from app.runs.library import Run
from app.stage.scene import STEPS
from app.ui.single_choice import single_choice


def end_controls(run: Run) -> tuple[float, int]:
    """Where jumps land, s, and N, the jumps of samples."""
    options = end_times(run)
    if len(options) > 1:
        s = _time("Jumps land at s", options, f"inside s:{run.key}")
    else:
        s = options[0]
        state.set_value(f"inside s:{run.key}", s)
        st.caption(f"This run learned jumps to δ = {s:g} alone: s stays there.")
    # N is that of Explore too; the widget only shows it, since another page's copy of it could bring back another N.
    state.show_value("inside steps", state.value("steps"))
    st.select_slider("Samples in N jumps", STEPS, key="inside steps", on_change=_take_steps, persist_state="session")
    return s, state.value("steps")


def _take_steps() -> None:
    state.set_value("steps", state.value("inside steps"))


def start_control(run: Run, s: float) -> float:
    """Where the jump starts, t: from noise on the left to data on the right."""
    options = start_times(run, s)
    return _time("Jump from t, noise to data", options, f"inside t:{run.key}")


def quantity_control(run: Run, s: float) -> str:
    """What is mapped."""
    quantities = offered(run, s)
    return single_choice(
        "Map of",
        list(quantities),
        format_func=lambda name: quantities[name].label,
        key="inside quantity",
        help="Error: how far one jump lands from the exact flow. The others: by how much the map misses an identity "
        "that the exact flow satisfies.",
        width="stretch",
    )


def _time(label: str, options: list[float], key: str) -> float:
    """A slider over times; what a link asked for is taken to the nearest of them."""
    state.set_nearest(key, options, options[0])
    return st.select_slider(label, options, format_func=lambda t: f"{t:g}", key=key, persist_state="session")
