"""Navigation, and nothing else."""

from pathlib import Path

import streamlit as st

from app import state
from app.views.explore import explore
from app.views.train import train

STYLE = Path(__file__).with_name("style.css")


def main() -> None:
    """Configure the browser tab, offer the pages that exist, and show the chosen one."""
    st.set_page_config(page_title="Consistency Lab", layout="wide", initial_sidebar_state="collapsed")
    st.html(STYLE)
    pages = {
        "explore": st.Page(explore, title="Explore", default=True),
        "train": st.Page(train, title="Train", url_path="train"),
    }
    state.keep_pages(pages)
    st.navigation(list(pages.values()), position="top").run()
