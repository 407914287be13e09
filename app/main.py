"""Navigation, and nothing else."""

from pathlib import Path

import streamlit as st

from app.ui.frame import show_colours, show_frame
from app.ui.wordmark import wordmark

STYLE = Path(__file__).with_name("style.css")

WITHOUT_RUNS = ("lessons", "scaling")
"""Pages that show nobody's own runs, and wait for none."""


def main() -> None:
    """Configure the browser tab, offer the pages that exist, and show the chosen one."""
    st.set_page_config(page_title="Consistency Lab", layout="wide", initial_sidebar_state="collapsed")
    show_colours()
    st.html(STYLE)
    st.logo(wordmark(st.context.theme.type), size="medium")
    pages = {
        "explore": st.Page(_explore, title="Explore", url_path="explore", default=True),
        "lessons": st.Page(_lessons, title="Lessons", url_path="lessons"),
        "train": st.Page(_train, title="Train", url_path="train"),
        "kl": st.Page(_kl, title="KL", url_path="kl"),
        "inside": st.Page(_inside, title="Diagnostics", url_path="inside"),
        "scaling": st.Page(_scaling, title="Scaling", url_path="scaling"),
        "runs": st.Page(_runs, title="Runs", url_path="runs"),
    }
    chosen = st.navigation(list(pages.values()), position="top")
    name = next(name for name, page in pages.items() if page.title == chosen.title)
    with st.container(key="frame_area"):
        show_frame(name)
    with st.skeleton(height=560):
        # The first visit to a fresh server waits for torch here, with the frame of the page already on screen.
        from app import state
        from app.runs import visitor
    state.keep_pages(pages)
    state.set_pending()
    visitor.greet()
    with st.container(key="opening_area"):
        # Here and not where the page first asks: what is said meanwhile comes and goes, and moves nothing of the page.
        if name not in WITHOUT_RUNS:
            _open_runs()
    with st.container(key="badge_area"):
        if name != "train":
            _badge()
    chosen.run()
    state.clear_pending()


def _open_runs() -> None:
    from app.runs.library import library

    library()


def _badge() -> None:
    from app.training.badge import training_badge

    training_badge()


def _explore() -> None:
    from app.pages.explore.page import explore

    explore()


def _train() -> None:
    from app.pages.train.page import train

    train()


def _kl() -> None:
    from app.pages.kl.page import kl

    kl()


def _inside() -> None:
    from app.pages.inside.page import inside

    inside()


def _scaling() -> None:
    from app.pages.scaling.page import scaling

    scaling()


def _runs() -> None:
    from app.pages.runs.page import runs_page

    runs_page()


def _lessons() -> None:
    from app.pages.lessons.page import lessons

    lessons()
