"""Results from elsewhere on Runs: where each comes from, its samples, and what they tell."""

import streamlit as st

from app.kl.external_card import external_card, measure_externals
from app.quoting import escape, plain
from app.runs.external import External
from app.runs.library import externals, library
from app.ui.cards import direction_words
from app.ui.single_choice import single_choice


def results_from_elsewhere() -> None:
    """Nothing where there are none."""
    offered = externals()
    if not offered:
        return
    st.html("<h2 class='question'>Results from elsewhere</h2>")
    st.caption("Kept as your runs are. KL and Explore show them beside runs of their target.")
    measure_externals(list(offered.values()))
    with st.container(key="clouds_elsewhere"):
        for one in list(offered.values()):
            with st.container(key=f"elsewhere_{one.key}"):
                _one(one)


def _one(one: External) -> None:
    result = one.result
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(f"<h3 class='panel-title'>{escape(one.label)}</h3>")
        st.button("Remove", key=f"remove:{one.key}", type="tertiary", on_click=library().remove_result, args=(one.key,))
    st.caption(plain(f"{result.target.name.replace('_', ' ')}, δ = {result.delta:g}. {one.provenance}"))
    if result.points:
        steps = single_choice("Network calls N", sorted(result.points), key=f"elsewhere_steps:{one.key}")
        external_card(one, steps)
    for point in result.reported:
        value = f"{point.value:.3g} [{point.low:.2g}, {point.high:.2g}] nats at N = {point.steps}"
        how = ", ".join(filter(None, (point.estimator, f"n = {point.n:,}" if point.n else "")))
        said = f"{direction_words(point.direction)} {value}{f' ({how})' if how else ''}"
        st.caption(plain(f"As reported, not measured here: {said}."))
