"""Which run is on show."""

import streamlit as st

from app import state
from app.figures.theme import theme
from app.kl.run_summary import ended, picture
from app.quoting import escape, named_picture
from app.runs.library import Run, runs
from app.runs.names import learned_by, run_names
from app.ui.single_choice import single_choice


def run_controls() -> Run:
    """A picture per run, and what is known of the chosen one."""
    offered = runs()
    colour = theme(st.context.theme.type).data
    pictures = {key: picture(key, colour, run) for key, run in offered.items()}
    names = run_names(offered.values())  # Streamlit knows a choice by what it shows, and one target has one picture
    chosen = single_choice(
        "Run",
        list(offered),
        key="run",
        style="pills",
        format_func=lambda key: named_picture(names[key], pictures[key]),
    )
    run = offered[chosen]
    st.html(facts(run))
    if st.button("Train another", type="primary", width="stretch"):
        state.open_page("train")
    return run


def facts(run: Run) -> str:
    """What is known of a run before anything is measured: its name, what it learned by, and its size, as HTML."""
    config = run.model.config
    network = f"{config.network.depth} × {config.network.width}"
    ending = f"<dt>{ended(run)}</dt><dd></dd>" if ended(run) else ""
    return (
        '<dl class="facts">'
        f"<dt>{escape(run.label)}</dt><dd>d = {run.target.dim}</dd>"
        f"<dt>{escape(learned_by(config))}</dt><dd>{run.model.seconds:.0f} s</dd>"
        f"<dt>{network}, {run.model.steps:,} steps</dt><dd>seed {config.seed}</dd>{ending}</dl>"
    )
