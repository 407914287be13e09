"""How a chart is saved as a picture: by the browser, in the format that was chosen."""

from typing import Any

import streamlit as st

from app import state

FORMATS = {"png": "PNG", "svg": "SVG"}
CHOSEN = "picture format"


def picture_config() -> dict[str, Any]:
    """What plotly is told: one button, which saves the chart."""
    options = {"scale": 3, "format": state.value(CHOSEN, "png")}
    return {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": options}


def picture_format(place: str) -> None:
    """The choice, the same wherever it is offered."""
    key = f"{CHOSEN}:{place}"
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
