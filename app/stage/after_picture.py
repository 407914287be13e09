"""What a page shows beside its stage only when that has drawn its first picture.

Plotly is .7 s of work for a browser: a chart that comes along with the stage makes the first picture wait for it. So
its place is kept empty until then, once in a session.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import state
from app.components.picture_watch import picture_watch

OVER = "first picture"


def after_picture(part: Callable[..., None], *args: Any, height: int) -> None:
    """Draw a part of the page, or a skeleton of that height until the stage has drawn."""
    if state.value(OVER, False):
        part(*args)
    else:
        st.fragment(_wait)(part, args, height)


def _wait(part: Callable[..., None], args: tuple[Any, ...], height: int) -> None:
    if state.value(OVER, False):
        part(*args)
    else:
        st.skeleton(height=height)
        picture_watch(lambda: state.set_value(OVER, True))
