"""How Explore begins: what it is, in a line and a sentence, a tour of half a minute, and where newcomers begin."""

from collections.abc import Mapping

import streamlit as st

from app import state
from app.components.tour import TourScene, tour
from app.quoting import plain
from app.runs.run import Run
from app.ui.cards import number, resolved
from app.ui.terms import explained
from cmcore.divergences.estimate import Estimate
from cmcore.theory import claimed_rate

_SENTENCE = (
    "A small network f(x, t, s) carries points from any time t of the reverse diffusion to any earlier time s. Choose "
    "N network calls, watch the jumps, and read their KL divergence from the data, measured against the exact density."
)
HEADLINE = (
    "<h1 class='question'>How close to the data do a few jumps from noise come?</h1>"
    f"<p class='reading'>{explained(_SENTENCE)}</p>"
)
"""What this page is, for who opens it first."""
TOUR = "30-second tour"
BEGIN = {"1": "New here? Lesson 1", "0": "No formulas: lesson 0"}
"""Where newcomers begin, by the number of the lesson."""
FEW, SEVERAL = 1, 4
"""The N that the tour compares."""


def opening(run: Run, estimates: Mapping[int, Estimate], particles: int) -> None:
    """The headline and, in one row, the tour of the run on show and the first lessons."""
    first = state.value("tour begins")
    if first is None:
        first = not {name for name in state.link() if name not in state.BROWSERS}
        state.set_value("tour begins", first)
    st.html(HEADLINE)
    with st.container(key="begin_area", horizontal=True):
        tour(scenes(run, estimates, particles), label=TOUR, begins=first)
        _lessons()


def _lessons() -> None:
    if state.page("lessons") is None:
        return
    for lesson, words in BEGIN.items():
        if st.button(plain(words), type="tertiary", key=f"begin_{lesson}"):
            state.forget_first_time("lessons link")  # the page reads the link that it is sent
            state.open_page("lessons", {"lesson": lesson})


def scenes(run: Run, estimates: Mapping[int, Estimate], particles: int) -> list[TourScene]:
    """The tour, with the numbers of the run on show as far as they are measured."""
    few, several = estimates.get(FEW), estimates.get(SEVERAL)
    rate = claimed_rate(smooth=run.target.smooth)
    data = "smooth data" if run.target.smooth else "data that need not be smooth"
    return [
        TourScene(
            f"This is noise: {particles:,} dots in a round cloud, which knows nothing of the data. Blue is where they "
            f"should end: {run.label}.",
            5, "stage", SEVERAL, 0.0,
        ),
        TourScene(
            "One jump: a small network sends every dot to its end at once. It finds the shape, and misses: the red "
            f"dashes lead to where each dot belongs.{_measured(few)}",
            7, "stage", FEW, 0.0, plays=True,
        ),
        TourScene(
            "Four jumps from the same noise. Each is shorter and easier, and repairs some of what the last one missed."
            f"{_measured(several, before=few)}",
            7, "stage", SEVERAL, 0.0, plays=True,
        ),
        TourScene(
            "Every dot of this orange line is such a measurement: KL, how far the samples are from the data, against "
            "the number of jumps. Grey: solvers that know the exact score and learn nothing.",
            6, "chart", SEVERAL, 1.0,
        ),
        TourScene(
            f"And theory? For {data}, the abstract of the paper behind this lab states {rate.metric} after "
            f"{rate.iterations} jumps. Here it is held against the number on screen. Now try it: change N, drag a "
            "time, start where you like.",
            7, "theory", SEVERAL, 1.0,
        ),
    ]  # fmt: skip


def _measured(estimate: Estimate | None, before: Estimate | None = None) -> str:
    if estimate is None or not resolved(estimate):
        return ""
    words = f" The KL is {number(estimate.value, 2)} nats"
    gain = before.value / estimate.value if before is not None and resolved(before) else 1.0
    return f"{words}: {gain:.0f} times less." if gain >= 2 else f"{words}."
