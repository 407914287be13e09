"""The chart of measured curves, for every page that shows one: what is known at once, the rest as it is measured."""

import math
from collections.abc import Sequence

import streamlit as st

from app import state
from app.background.jobs import Busy, JobView
from app.figures.kl_curve import describe
from app.figures.kl_curves import kl_curves
from app.figures.theme import theme
from app.kl.comparison import Asked, Going, View, measuring
from app.kl.table import lines, reading
from app.quoting import escape, plain
from app.ui.cards import direction_title
from app.ui.charts import show_chart

POLL = 1.2
"""Seconds between looks at the measuring: the figure is drawn anew whenever a point has come."""


def under_way(view: View, curves: Sequence[Asked]) -> JobView[Going] | str:
    """The measuring under way, a sentence where there is no room for it, or nothing."""
    try:
        return measuring(view, curves) or ""
    except Busy as busy:
        return str(busy)


def curve_chart(view: View, curves: Sequence[Asked], going: JobView[Going] | str, *, key: str) -> None:
    """The figure, how far its measuring is, and its reading."""
    drawn = lines(view, curves)
    st.html(f"<h2 class='eyebrow'>{escape(direction_title(view.direction, view.delta))}</h2>")
    _progress(going)
    show_chart(
        kl_curves(
            drawn,
            theme=theme(st.context.theme.type),
            most=view.most,
            bands="bands" in view.shown,
            floors="floors" in view.shown,
        ),
        key=key,
        alt=describe(drawn),
    )
    with st.container(key=f"{key}_reading"):
        st.html(f"<p class='reading'>{escape(reading(drawn))}</p>")


def poll_until_measured(going: JobView[Going] | str, name: str) -> None:
    """At the end of a fragment that polls: once the measuring has ended, the page runs again without polling."""
    if not going and state.value(name):
        state.set_value(name, new=False)
        st.rerun()
    state.set_value(name, bool(going))


def _progress(going: JobView[Going] | str) -> None:
    """Points done, and the time left once it can be told."""
    if not going:
        return
    if isinstance(going, str) or going.problem:
        st.warning(plain(going if isinstance(going, str) else going.problem))
    elif going.latest is None:
        words = f"Waiting for a worker, place {going.place} in the queue." if going.place else "Starting."
        st.progress(0.0, text=words)
    else:
        told = going.latest
        left = going.seconds * (told.total - told.done) / told.done if told.done else math.nan
        words = f"Measuring {told.words} {told.done} of {told.total} points."
        st.progress(
            told.done / max(1, told.total), text=plain(words + (f" About {left:.0f} s left." if left > 0 else ""))
        )
