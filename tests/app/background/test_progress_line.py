"""The line about background work, and what stands below it."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import PATIENCE


def line_and_box(words: str) -> None:
    """In a session: a line that says something or nothing, and a box below it that may be open."""
    from types import SimpleNamespace

    import streamlit as st

    from app.background.progress import progress_line

    view = SimpleNamespace(status="stopped", problem=words, ended="", over=True) if words else None
    progress_line(view)
    with st.expander("Table"):
        st.write("numbers")


@pytest.mark.parametrize("words", ["", "It was ended."])
def test_what_stands_below_the_line_has_the_same_place_with_it_and_without(words):
    at = AppTest.from_function(line_and_box, default_timeout=PATIENCE, kwargs={"words": words}).run()
    assert not at.exception
    assert len(at.warning) == bool(words)
    (box,) = at.expander
    assert [number for number, child in at.main.children.items() if child is box] == [1]
