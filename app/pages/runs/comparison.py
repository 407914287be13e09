"""Runs side by side: their settings, their samples of one noise, and their losses and KL curves over each other."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import streamlit as st

from app.background.progress import poll, under_way
from app.components.sample_cloud import cloud_message, sample_cloud
from app.export.popover import curves_takeaway
from app.kl.chart import POLL, curve_chart, measuring
from app.kl.curves import View, curves_of
from app.kl.run_summary import differences
from app.kl.together import training_charts, view_of
from app.quoting import escape, plain
from app.runs.library import Run, runs
from app.runs.names import run_names
from app.stage.film import show_film, with_film
from app.stage.scene import STEPS, density_image, extent_of, plane
from app.state import open_page, set_value, value
from app.ui.cards import table
from app.ui.single_choice import single_choice
from app.ui.terms import explained
from cmcore.samplers import sample
from cmcore.sampling_defaults import sampling_defaults

SIDE_BY_SIDE = 6
"""Runs whose samples are shown at once."""
PARTICLES = 2_000


def comparison() -> None:
    """Everything about the compared runs."""
    offered = runs()
    chosen = {key: offered[key] for key in value("compared") if key in offered}
    if not chosen:
        st.info("Choose two or more runs to compare them.")
        return
    names = run_names(chosen.values())
    together = st.toggle(
        "Seeds together", key="seeds_together", persist_state="session",
        help="Runs that differ in their seed alone become their median, in a band from the lowest to the highest.",
    )  # fmt: skip
    view = view_of(list(chosen.values()), seeds=together)
    with st.container(key="chart_of_runs"):
        _kl(view, offered)
    with st.container(key="training_of_runs"):
        st.html("<h2 class='question'>While they were trained</h2>")
        training_charts(list(chosen.values()), seeds=together, key="compared_training")
        if filmed := with_film(list(chosen.values())):
            words = "Watch it again" if len(filmed) == 1 else "Watch two of them again, side by side"
            if st.toggle(words, key="watch", persist_state="session"):
                show_film(filmed, key="film_of_runs", names=names)
    with st.container(key="settings_area"):
        if len(chosen) > 1:
            _settings(chosen, names)
        else:
            st.caption("Select a second run to compare settings.")
    with st.container(key="samples_area"):
        _samples(chosen, names, view)


def _kl(view: View, offered: Mapping[str, Run]) -> None:
    curves = curves_of(view, offered)
    st.html(f"<h2 class='question'>{explained('KL versus network calls')}</h2>")
    going = under_way(measuring(view, curves))
    poll(partial(curve_chart, key="compared_curves"), view, curves, shown=going, every=POLL if going else None)
    with st.container(horizontal=True, vertical_alignment="center", key="runs_takeaway"):
        if st.button("Open in KL, with baselines", key="open_kl"):
            set_value("kl_runs", list(view.runs))
            open_page("kl")
        curves_takeaway(view, curves, key="runs")


def _settings(chosen: Mapping[str, Run], names: Mapping[str, str]) -> None:
    """Settings that differ, and folded away those that do not."""
    differ, same = differences(chosen)
    st.html("<h2 class='question'>What differs</h2>")
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td{' class=odd' * _stands_out(cell, row)}>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for name, row in differ.items()
    )
    if differ:
        st.html(table("Settings that differ", ("Setting", *(names[key] for key in chosen)), rows))
    else:
        st.caption("Nothing: these runs were made alike.")
    with st.container(key="same_area"), st.expander(f"The same in all: {len(same)}"):
        shared = "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in same.items())
        st.html(table("Settings that are the same", ("Setting", "All"), shared))


def _stands_out(cell: str, row: list[str]) -> bool:
    """Whether fewer runs have this value than another one."""
    return row.count(cell) < max(map(row.count, row))


def _samples(chosen: Mapping[str, Run], names: Mapping[str, str], view: View) -> None:
    """The samples of each run from the same noise, over its own target."""
    st.html("<h2 class='question'>The same noise, each run’s samples</h2>")
    steps = single_choice("Network calls N", STEPS, key="compared_steps")
    deltas = {curve.run.key: curve.delta for curve in curves_of(view, chosen)}
    with st.container(key="clouds"):
        for key, run in list(chosen.items())[:SIDE_BY_SIDE]:
            with st.container(key=f"cloud_of_{key}"):
                st.html(f"<h3 class='eyebrow'>{escape(names[key])}</h3>")
                how = {"sampler": view.sampler, "renoise": view.renoise, "seed": value("compared_seed")}
                sample_cloud(_cloud(key, steps, deltas[key], tuple(how.items()), run), key=f"compared_cloud:{key}")
                if words := sampling_defaults(run.model.config).caution(view.sampler, view.renoise, steps):
                    st.caption(plain(words))
    if len(chosen) > SIDE_BY_SIDE:
        st.caption(f"The first {SIDE_BY_SIDE} of {len(chosen)} are shown.")


@st.cache_data(max_entries=128, show_spinner=False)
def _cloud(key: str, steps: int, delta: float, how: tuple[tuple[str, object], ...], _run: Run) -> bytes:
    draw = sample(_run.model, PARTICLES, steps, delta=delta, **dict(how))  # pyright: ignore[reportArgumentType]
    return cloud_message(
        name=f"{key}/{dict(how)['seed']}",
        extent=extent_of(_run.target),
        density=density_image(_run.target, delta),
        data=np.zeros((0, 2)),
        samples=plane(draw.points),
        words="model",
    )
