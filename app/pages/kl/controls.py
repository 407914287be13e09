"""The controls of KL: which runs and baselines, how they are drawn, in which times, and what is shown of them."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import state
from app.kl.curves import BASELINES, MOST, SEEN_FROM, SHOWN, View, least_delta
from app.runs.external import External
from app.runs.library import Run, externals
from app.runs.names import run_names
from app.stage.sampler import (
    GRIDS_HELP,
    SAMPLERS,
    SAMPLERS_HELP,
    choose_measure,
    delta_slider,
    grid_choice,
    renoise_slider,
)
from app.ui.cards import direction_words
from app.ui.single_choice import single_choice
from cmcore.samplers import SAMPLERS as ALL

SCORES = {"exact": "Exact", "model": "The run’s own"}
HORIZONS = {"fixed": "T fixed", "grows": "T grows with K"}


def curve_controls(runs: Mapping[str, Run]) -> View:
    """Everything that is chosen."""
    state.show_value("kl_runs", [key for key in state.value("kl_runs") if key in runs])  # some may be gone since
    names = run_names(runs.values())
    chosen = st.multiselect("Runs", list(runs), format_func=names.__getitem__, key="kl_runs", persist_state="session")
    baselines = st.multiselect(
        "Baselines",
        BASELINES,
        format_func=lambda name: ALL[name].label,
        key="kl_baselines",
        help="Samplers that take steps along a score. With the exact score nothing in them is learned.",
        persist_state="session",
    )
    score = _segments("Score for the baselines", SCORES, "kl_score", disabled=not baselines)
    sampler = _segments("Sampler for the runs", SAMPLERS, "kl_sampler", words=SAMPLERS_HELP)
    renoise = state.value("kl_renoise")
    if ALL[sampler].noisy:
        renoise = renoise_slider("kl_renoise", sampler)
    divergences = {key: direction_words(direction) for key, direction in SEEN_FROM.items()}
    seen = _segments("Divergence", divergences, "kl_from", on_change=choose_measure)
    most = st.select_slider("Network calls up to", MOST, key="kl_most", persist_state="session")
    grid, horizon, step, delta = _times([runs[key] for key in chosen], sampler)
    shown = st.pills(
        "Show",
        list(SHOWN),
        format_func=SHOWN.__getitem__,
        selection_mode="multi",
        key="kl_shown",
        help="Bound A, derived in this project, and the paper’s bound, as reported, speak of renoised draws and "
        "KL(data ∥ model) alone. Seeds together: runs that differ in their seed alone become their median, in a band "
        "from the lowest to the highest.",
        persist_state="session",
    )
    view = View(
        tuple(chosen), tuple(baselines), score, sampler, renoise, grid, horizon, step, delta, SEEN_FROM[seen], most,
        tuple(shown),
    )  # fmt: skip
    if "bound" in view.shown and not view.bounded:
        st.caption("No bounds here: they hold for renoised draws and KL(data ∥ model).")
    return view


def choose_outside() -> list[External]:
    """Results from elsewhere that are shown beside the runs; no choice where there are none."""
    offered = externals()
    if not offered:
        return []
    state.show_value("kl_outside", [key for key in state.value("kl_outside", list(offered)) if key in offered])
    chosen = st.multiselect(
        "From elsewhere", list(offered), format_func=lambda key: offered[key].label, key="kl_outside",
        persist_state="session",
        help="Results that you brought in under Runs. A link does not carry them.",
    )  # fmt: skip
    return [offered[key] for key in chosen]


def _segments(label: str, options: Mapping[str, str], key: str, *, words: str | None = None, **settings: Any) -> Any:
    return single_choice(
        label,
        list(options),
        format_func=options.__getitem__,
        key=key,
        help=words,
        width="stretch",
        **settings,
    )


def _times(runs: list[Run], sampler: str) -> tuple[str, float, float | None, float]:
    """Grid, T, the step h where T grows with K, and δ."""
    with st.expander("Times"):
        grows = _segments("Horizon", HORIZONS, "kl_horizons") == "grows"
        grid, horizon, step = state.value("kl_grid"), state.value("kl_horizon"), None
        if grows:
            step = st.number_input(
                "Step h; T = δ + K h", 0.02, 2.0, step=0.02, format="%g", key="kl_step", persist_state="session"
            )
        else:
            grid = grid_choice("kl_grid", to_zero=not ALL[sampler].noisy and least_delta(runs) == 0, help=GRIDS_HELP)
            horizon = st.number_input(
                "Horizon T; h = (T − δ) / K",
                0.5,
                20.0,
                step=0.5,
                format="%g",
                key="kl_horizon",
                persist_state="session",
            )
        return grid, horizon, step, delta_slider("kl_delta", sampler, least_delta(runs))
