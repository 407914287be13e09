"""What every page whose link may name a run of another session says of it: what it was, and the way to train it."""

from collections.abc import Sequence

import streamlit as st

from app import state
from app.quoting import escape, plain
from app.sharing.retrain import (
    MissingRun,
    decline,
    join_when_trained,
    left_behind,
    offered,
    others_stand_in,
    train_link,
)


def training_offer(key: str) -> None:
    """Beside the selection under that state key: each run that its link asked for and that is not here."""
    missing = offered(key)
    with st.container(key="again_area"):  # also where it is empty: what stands below stays where it is
        if not missing:
            return
        st.html(f"<p>{escape(_meanwhile(missing, others_stand_in(key)))}</p>")
        for number, one in enumerate(missing):
            with st.container(key=f"again_{number}", horizontal=True, vertical_alignment="center"):
                _one(key, one, number)


def _meanwhile(missing: Sequence[MissingRun], others: bool) -> str:
    if len(missing) == 1:
        shown = "another is shown in its place" if others else "the other runs of the link are shown"
        return (
            "This link shows a run of another session, and this server does not have it. Its training came with the "
            f"link, so it can be learned again. Until then {shown}."
        )
    shown = "others are shown in their place" if others else "the other runs of the link are shown"
    return (
        f"This link shows {len(missing)} runs of another session, and this server does not have them. Their training "
        "came with the link, so they can be learned again, one after the other. "
        f"Until then {shown}."
    )


def _one(key: str, missing: MissingRun, number: int) -> None:
    beyond = missing.out_of_reach
    aside = f" Its {' and '.join(beyond)} cannot be chosen on Train, which has its own." if beyond else ""
    st.html(f"<p><b>{escape(missing.words)}.</b>{escape(aside)}</p>")
    if st.button("Train it again", type="primary", key=f"train_again_{number}"):
        join_when_trained(key, missing)
        state.forget_first_time("train link")
        state.open_page("train", train_link(missing))
    st.button("Not now", type="tertiary", key=f"not_again_{number}", on_click=decline, args=(key, missing))


def warn_not_shareable(key: str) -> None:
    """Which of the chosen runs a link to this view names without a word on how to train them."""
    if left := left_behind(key):
        st.caption(plain(f"A link to this view cannot hold how these were trained: {'; '.join(left)}."))
