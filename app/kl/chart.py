"""The chart of measured curves, for every page that shows many: what is measured at once, the rest as it comes."""

from collections.abc import Sequence

import streamlit as st

from app.background.jobs import JobView
from app.background.pools import curve_workers
from app.background.progress import progress_line, under_way
from app.background.task import Report, Task
from app.figures.kl_curve import describe, kl_curve
from app.figures.theme import theme
from app.kl.curves import RunCurve, View, measure_curves
from app.kl.table import lines, reading
from app.quoting import escape
from app.ui.cards import direction_title
from app.ui.charts import show_chart

POLL = 1.2
"""Seconds between looks at the measuring: the figure is drawn anew whenever a point has come."""
TASK: Task[None] = Task("curves", curve_workers)


def measuring(view: View, curves: Sequence[RunCurve]) -> JobView[Report[None]] | None:
    """The measuring of what is missing, begun now if need be; None once all is there."""
    return measure_curves(TASK, curves, bounded=view.bounded)


def curve_chart(view: View, curves: Sequence[RunCurve], *, key: str) -> bool:
    """The figure, how far its measuring is, and its reading. Whether more is being measured."""
    job, drawn = measuring(view, curves), lines(view, curves)
    st.html(f"<h2 class='eyebrow'>{escape(direction_title(view.direction, view.delta))}</h2>")
    progress_line(job)
    show_chart(
        kl_curve(
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
    return under_way(job)
