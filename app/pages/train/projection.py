"""Which plane of a target of more than two dimensions the pictures show."""

import streamlit as st

import cmcore as cm
from app import state
from app.stage.projections import PRINCIPAL, TURNING, Projection, named, projection_of, views


def view_key(dim: int) -> str:
    """Under which key the page holds the view of R^dim."""
    return f"view:{dim}"


def projection_controls(target: cm.Target) -> Projection:
    """The chosen projection; there is nothing to choose in the plane."""
    offered, key = views(target.dim), view_key(target.dim)
    if offered:
        state.set_default(key, offered[0], allowed=offered)
        st.selectbox(
            "Seen along",
            offered,
            format_func=_in_words,
            key=key,
            label_visibility="collapsed",
            width=260,
            persist_state="session",
        )
    return projection_of(target, state.value(key))


def _in_words(view: str) -> str:
    words = {TURNING: "Turning in space", PRINCIPAL: "Plane of most variance"}
    return words.get(view) or "Coordinates " + " and ".join(named(view))
