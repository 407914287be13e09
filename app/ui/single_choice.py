"""A choice of exactly one, which no switch of pages can empty."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from app import state


def single_choice(
    label: str,
    options: Sequence[Any],
    *,
    key: str,
    first: Any = None,
    style: Literal["segments", "pills"] = "segments",
    **settings: Any,
) -> Any:
    """The chosen one of the options, before anybody chose `first` or else the first of all.

    `settings` are those of st.segmented_control or st.pills.

    A browser may report nothing chosen although one is required: when it mounts the widget anew, on the way back from
    another page or while its options change, before it was told the choice. Then what was chosen last holds, and the
    browser is told.
    """
    last = state.session_dict("single choices")
    chosen = next(one for one in (state.value(key), last.get(key), first, *options) if one in options)
    if state.value(key) != chosen:
        state.set_value(key, chosen)
    pick = st.pills if style == "pills" else st.segmented_control
    reported = pick(label, options, key=key, required=True, persist_state="session", **settings)
    last[key] = reported if reported in options else chosen
    return last[key]


def restore_single_choices() -> None:
    """Choose once more what a browser reported as not chosen, before anything of the page depends on it."""
    for key, chosen in state.session_dict("single choices").items():
        if state.value(key, chosen) is None:
            state.set_value(key, chosen)
