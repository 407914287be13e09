"""A result from elsewhere on a page: its samples, and the KL that is measured of them."""

from collections.abc import Sequence

import streamlit as st

from app.background.pools import measuring_workers
from app.background.progress import poll, progress_line, under_way
from app.background.task import Task
from app.components.sample_cloud import sample_cloud
from app.kl.external import cloud_of, estimate_of, to_measure
from app.quoting import escape, plain
from app.runs.external import External
from app.runs.library import externals
from app.runs.run import Run
from app.ui.cards import bare_card, kl_card
from cmcore.divergences.estimate import MODEL_DATA

MEASURING: Task[None] = Task("results from elsewhere", measuring_workers)
POLL = 1.0


def measure_externals(some: Sequence[External]) -> None:
    """Measure what is missing of them; the page runs anew when it is there."""
    key = tuple(one.key for one in some)
    view = MEASURING.measure(key, to_measure(some, MODEL_DATA))
    progress_line(view)
    if under_way(view):
        poll(_still_measuring, key, shown=True, every=POLL)


def _still_measuring(key: tuple[str, ...]) -> bool:
    return under_way(MEASURING.view(key))


def external_card(one: External, steps: int) -> None:
    """Its samples at N where they lie in the plane, and the card of their KL."""
    result = one.result
    if result.target.dim == 2:
        sample_cloud(cloud_of(one, steps), key=f"elsewhere_cloud:{one.key}")
    quantity = estimate_of(one, steps, MODEL_DATA)
    how = [("Of", f"{len(result.points[steps]):,} samples brought in, N = {steps}")]
    waiting = quantity.problem or "Measuring its samples."
    estimate = quantity.value
    st.html(kl_card(estimate, how=how) if estimate else bare_card("KL(model ∥ data) of its samples", waiting))


def externals_beside(run: Run, steps: int) -> None:
    """On Explore: results of the target of the run on show, at the N that is nearest to the one on screen."""
    some = [one for one in externals().values() if one.result.points and one.target_key == run.target_key]
    if not some:
        return
    st.html("<h2 class='question'>From elsewhere, on the same target</h2>")
    measure_externals(some)
    with st.container(key="clouds_elsewhere"):
        for one in some:
            with st.container(key=f"elsewhere_{one.key}"):
                nearest = min(one.result.points, key=lambda n: abs(n - steps))
                st.html(f"<h3 class='panel-title'>{escape(one.label)}, N = {nearest}</h3>")
                external_card(one, nearest)
                st.caption(plain(one.provenance))
