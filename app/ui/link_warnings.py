"""What a page says of the link that it was opened by."""

from collections.abc import Sequence

import streamlit as st

from app.quoting import plain

MOST = 6
"""Sentences; a link does not fill the page."""


def show_link_warnings(problems: Sequence[str]) -> None:
    """A warning for each thing that could not be followed, and one for all that are beyond a few.

    They have a place of their own, also where there are none: what stands below stays what it is when they go.
    """
    with st.container(key="link_warnings"):
        for problem in problems[:MOST]:
            st.warning(plain(problem))
        if more := len(problems[MOST:]):
            st.warning(f"{more} more points of this link could not be followed.")
