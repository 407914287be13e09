"""Charts on a page, and how each is saved as a picture: by the browser, in the format that was chosen."""

import plotly.graph_objects as go
import streamlit as st

from app import state

FORMATS = {"png": "PNG", "svg": "SVG"}
CHOSEN = "picture format"


def show_chart(figure: go.Figure, *, key: str, alt: str) -> None:
    """A chart with one button, which saves it; `alt` says what it shows in words."""
    options = {"scale": 3, "format": state.value(CHOSEN, "png")}
    config = {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": options}
    st.plotly_chart(figure, theme=None, key=key, config=config, alt=alt)


def picture_format(place: str) -> None:
    """The choice, the same wherever it is offered."""
    key = f"{CHOSEN}:{place}"
    # In every run: this is in a menu, which has no control to hear of it until it is opened.
    state.set_value(key, state.value(CHOSEN, "png"))
    st.segmented_control(
        "Charts save as",
        list(FORMATS),
        format_func=FORMATS.__getitem__,
        key=key,
        required=True,
        on_change=_take,
        args=(key,),
        help="The camera above a chart saves it in this format.",
    )


def _take(key: str) -> None:
    state.set_value(CHOSEN, state.value(key) or state.value(CHOSEN, "png"))
