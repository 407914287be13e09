"""Which run is on show."""

from html import escape

import streamlit as st

from app import state
from app.figures.theme import theme
from app.figures.thumbnail import thumbnail
from app.runs import Run, runs
from app.scene import shown_samples
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES

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
    assert key is not None  # one is always chosen
    run = known[key]
    config = run.model.config
    network = f"{config.network.depth} × {config.network.width}"
    st.html(
        '<dl class="facts">'
        f"<dt>{escape(run.label)}</dt><dd>d = {run.target.dim}</dd>"
        f"<dt>{escape(_learned_by(config))}</dt><dd>{run.model.seconds:.0f} s</dd>"
        f"<dt>{network}, {run.model.steps:,} steps</dt><dd>seed {config.seed}</dd>"
        f"{_ended(run)}</dl>"
    )
    if st.button("Train another", type="primary", width="stretch"):
        st.switch_page(state.page("train"))
    return run


def _learned_by(config: TrainingConfig) -> str:
    """The objective in words, and where its velocity came from where that was a choice."""
    kind = OBJECTIVES.get(config.objective)
    words = config.objective.replace("_", " ") if kind is None else kind.label
    velocity = config.objective_parameters.get("velocity")
    return words + {"learned": ", learned velocity", "exact": ", exact score"}.get(str(velocity), "")


def _ended(run: Run) -> str:
    """How the training ended, where it did not simply finish."""
    words = {"stopped": "stopped early", "diverged": "diverged; the last good weights"}.get(run.model.status)
    return f"<dt>{words}</dt><dd></dd>" if words else ""


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(key: str, colour: str, _run: Run) -> str:
    return thumbnail(shown_samples(_run.target, 160), colour)
