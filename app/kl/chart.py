"""The chart of measured curves, for every page that shows many: first values at once, better ones as they come."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.background.jobs import JobView
from app.background.pools import curve_workers
from app.background.progress import progress_line, under_way
from app.background.task import Report, Task
from app.figures.kl_curve import describe, kl_curve
from app.figures.theme import theme
from app.kl.curves import RunCurve, View, by_target, measure_curves
from app.kl.external import external_lines, not_drawn, to_measure
from app.kl.seeds import over_seeds
from app.kl.table import lines, reading
from app.quoting import escape, plain
from app.runs.external import External
from app.runs.names import target_titles
from app.ui.cards import direction_title
from app.ui.charts import show_chart
from app.ui.terms import explained

POLL = 1.2
"""Seconds between looks at the measuring: the figure is drawn anew whenever a point has come."""
PANEL_HEIGHT = 380
"""Pixels of one of several charts; a single one is higher."""
TASK: Task[None] = Task("curves", curve_workers)


def measuring(view: View, curves: Sequence[RunCurve], outside: Sequence[External] = ()) -> JobView[Report[None]] | None:
    """The measuring of what is missing, begun now if need be; None once all is there."""
    return measure_curves(TASK, curves, bounded=view.bounded, also=to_measure(outside, view.direction))


def curve_chart(view: View, curves: Sequence[RunCurve], outside: Sequence[External] = (), *, key: str) -> bool:
    """A figure for each target with its sentence, and how far its measuring is. Whether more is being measured.

    Results from elsewhere stand `outside` the runs, and beside those of their target.
    """
    job, groups = measuring(view, curves, outside), by_target(curves)
    progress_line(job)
    if len(groups) == 1:
        _panel(view, curves, outside, key=key, alone=True)
        return under_way(job)
    titles = target_titles(curve.run for curve in curves)
    with st.container(key=f"{key}_panels"):
        for number, (target, some) in enumerate(groups.items()):
            with st.container(key=f"{key}_panel_{number}"):
                st.html(f"<h2 class='panel-title'>{escape(titles[target])}</h2>")
                _panel(view, some, outside, key=f"{key}_{number}")
    return under_way(job)


def _panel(
    view: View, curves: Sequence[RunCurve], outside: Sequence[External], *, key: str, alone: bool = False
) -> None:
    """The curves of one target."""
    here = [one for one in outside if one.target_key == curves[0].run.target_key]
    drawn = lines(view, [replace(curve, label=curve.short or curve.label) for curve in curves], coarse=True)
    if "seeds" in view.shown:
        drawn = over_seeds(drawn, curves)
    drawn += external_lines(view, here, curves[0].delta)
    level = "h2" if alone else "h3"
    st.html(f"<{level} class='eyebrow'>{explained(direction_title(view.direction, curves[0].delta))}</{level}>")
    figure = kl_curve(
        drawn,
        theme=theme(st.context.theme.type),
        most=view.most,
        bands="bands" in view.shown,
        floors="floors" in view.shown,
        **({} if alone else {"height": PANEL_HEIGHT}),
    )
    show_chart(figure, key=key, alt=describe(drawn))
    with st.container(key=f"{key}_reading"):
        st.html(f"<p class='reading'>{escape(reading(drawn))}</p>")
        for words in not_drawn(view, here, curves[0].delta):
            st.caption(plain(words))
