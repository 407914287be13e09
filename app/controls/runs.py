"""Which run is on show."""

import streamlit as st

from app import state
from app.figures.theme import theme
from app.figures.thumbnail import thumbnail
from app.runs import Run, runs
from app.scene import shown_samples

__all__ = ["run_controls"]


def run_controls() -> Run:
    """A picture per run, and what is known of the chosen one."""
    known = runs()
    state.remember("run", next(iter(known)), allowed=known)
    colour = theme(st.context.theme.type).data
    pictures = {key: _picture(key, colour, run) for key, run in known.items()}
    key = st.pills(
        "Run",
        list(known),
        format_func=lambda key: f"![{known[key].label}]({pictures[key]})",
        key="run",
        required=True,
        persist_state="session",
    )
    run = known[key]
    config = run.model.config
    network = f"{config.network.depth} × {config.network.width}"
    st.html(
        '<dl class="facts">'
        f"<dt>{run.label}</dt><dd>d = {run.target.dim}</dd>"
        f"<dt>{config.objective.replace('_', ' ')}</dt><dd>{run.model.seconds:.0f} s</dd>"
        f"<dt>{network}, {run.model.steps:,} steps</dt><dd>seed {config.seed}</dd>"
        "</dl>"
    )
    if st.button("Train another", type="primary", width="stretch"):
        st.switch_page(state.page("train"))
    return run


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(key: str, colour: str, _run: Run) -> str:
    return thumbnail(shown_samples(_run.target, 160), colour)
