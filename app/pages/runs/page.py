"""Runs: the ledger of what was trained, and any of it side by side."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.background.progress import poll, under_way, wait_line
from app.components.sample_cloud import cloud_message, sample_cloud
from app.export.popover import curves_takeaway, run_takeaway
from app.figures.theme import theme
from app.kl.chart import POLL, curve_chart, measuring
from app.kl.curves import MOST, View, curves_of
from app.kl.run_summary import HEADLINE, differences, ended, headline, learned_by, picture, weights
from app.pages.runs import ledger
from app.pages.runs.ledger import Entry
from app.pages.runs.link import RUNS_LINK
from app.quoting import escape, plain
from app.runs.library import LONGEST_NAME, Run, library, runs
from app.sharing.retrain_offer import training_offer, warn_not_shareable
from app.stage.scene import STEPS, density_image, extent_of, plane
from app.state import set_value, value
from app.training.continue_controls import continue_controls
from app.ui.cards import in_words, table
from app.ui.link_warnings import show_link_warnings
from app.ui.single_choice import single_choice
from cmcore.samplers import sample
from cmcore.sampling_defaults import delta_for, direction_for, sampling_defaults
from cmcore.store import BadRun

SIDE_BY_SIDE = 6
"""Runs whose samples are shown at once."""
PARTICLES = 2_000


def runs_page() -> None:
    """The page."""
    show_link_warnings(RUNS_LINK.open())
    st.html("<h1 class='question'>Your runs: what made the difference?</h1>")
    training_offer("compared")
    with st.container(key="runsbench"):
        with st.container(key="ledger_area"):
            _deleted()
            if lost := library().warning():
                st.warning(plain(lost))
            if library().stored == "declined":
                st.button("Open your earlier runs", on_click=library().open_after_all, key="open_kept_runs")
            entries = ledger.entries()
            for entry in entries:
                if not entry.hidden:
                    _row(entry)
            _hidden([entry for entry in entries if entry.hidden])
            with st.container(key="import_area"), st.expander("Import a run"):
                _bring_in()
        with st.container(key="comparison_area"):
            _comparison()
            warn_not_shareable("compared")
    RUNS_LINK.write()


# ---- the ledger -------------------------------------------------------------------------------------------------
def _row(entry: Entry) -> None:
    """One run: whether it is compared, what it is, and what can be done with it."""
    run = entry.run
    box = f"compare:{run.key}"
    set_value(box, run.key in value("compared"))
    with st.container(key=f"ledger_row_{run.key}"):
        st.checkbox(plain(run.label), key=box, on_change=_compare, args=(run.key,))
        st.html(_about(entry))
        with st.popover("More", type="tertiary", key=f"more:{run.key}"):
            _actions(entry)


def _compare(key: str) -> None:
    """The box of a run was clicked."""
    others = [one for one in value("compared") if one != key]
    set_value("compared", [*others, key] if value(f"compare:{key}") else others)


def _about(entry: Entry) -> str:
    """Picture, facts and the headline number of a run."""
    run = entry.run
    model, config = run.model, run.model.config
    own = sampling_defaults(config)
    delta = delta_for(own.sampler, model.delta)
    estimate = headline(run, delta)
    shown = in_words(estimate) if estimate else "not measured yet"
    how = f"N = {HEADLINE}, δ = {delta:g}{', renoised' if own.sampler == 'renoise' else ''}"
    facts = (
        f"d = {model.dim} · {escape(learned_by(config))}",
        f"{weights(run):,} parameters · {model.steps:,} steps · {model.seconds:.0f} s · seed {config.seed}",
        f"KL at {how}: <b>{escape(shown)}</b>",
        " · ".join(filter(None, ("pinned" * entry.pinned, "example" if run.shipped else "mine", ended(run)))),
    )
    image = picture(run.key, theme(st.context.theme.type).data, run)
    words = "".join(f"<span>{line}</span>" for line in facts)
    return f'<div class="run"><img src="{image}" alt="" width="56" height="56"><p>{words}</p></div>'


def _actions(entry: Entry) -> None:
    """Pin, name, take away, delete or hide."""
    run, key = entry.run, entry.run.key
    with st.container(horizontal=True):
        words = "Unpin" if entry.pinned else "Pin to the top"
        st.button(words, key=f"pin:{key}", on_click=library().pin, args=(key,), kwargs={"pinned": not entry.pinned})
        if run.shipped:
            last = len(runs()) < 2
            st.button("Hide", key=f"hide:{key}", on_click=_leave_out, args=(library().hidden.add, key), disabled=last)
        else:
            st.button("Delete", key=f"delete:{key}", on_click=_leave_out, args=(ledger.delete, key))
    if not run.shipped:
        continue_controls(run)
        state.set_default(f"name:{key}", run.label)
        st.text_input("Name", max_chars=LONGEST_NAME, key=f"name:{key}", on_change=_rename, args=(key,))
    st.caption("Export")
    run_takeaway(run)


def _rename(key: str) -> None:
    library().rename(key, value(f"name:{key}"))
    set_value(f"name:{key}", next(entry.run.label for entry in ledger.entries() if entry.run.key == key))


def _leave_out(how, key: str) -> None:
    how(key)
    set_value("compared", [one for one in value("compared") if one != key])


def _deleted() -> None:
    """The way back from a deletion."""
    run = library().deleted
    if run is not None:
        with st.container(key="removed", horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(run.label)} was deleted.")
            st.button("Undo", key="undo", on_click=library().undo)


def _hidden(entries: list[Entry]) -> None:
    if not entries:
        return
    with st.expander(f"Hidden: {len(entries)}"):
        for entry in entries:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(entry.run.label))
                key = entry.run.key
                st.button("Show", key=f"show:{key}", type="tertiary", on_click=library().hidden.discard, args=(key,))


def _bring_in() -> None:
    """A run from a file; a file that is none gets a sentence."""
    round_ = value("imports", 0)
    file = st.file_uploader(
        "A zip that this lab exported",
        type="zip",
        key=f"import:{round_}",
        max_upload_size=ledger.MOST_BYTES >> 20,
        help="It is read as data only; nothing in it is run.",
    )
    if file is None:
        ledger.IMPORT.end()
    else:
        set_value("import problem", "")
        try:
            run = ledger.bring_in(file.name, file.getvalue())
        except BadRun as problem:
            set_value("import problem", str(problem))
        else:
            if run is None:
                wait_line(ledger.IMPORT, "Read it")
                return
            set_value("compared", [*value("compared")[-1:], run.key])
        set_value("imports", round_ + 1)  # an empty uploader again
        st.rerun()
    if words := value("import problem"):
        st.warning(plain(words))


# ---- side by side -----------------------------------------------------------------------------------------------
def _comparison() -> None:
    offered = runs()
    chosen = {key: offered[key] for key in value("compared") if key in offered}
    if not chosen:
        st.info("Choose two or more runs to compare them.")
        return
    names = {curve.run.key: curve.label for curve in curves_of(_view(chosen), offered)}
    with st.container(key="settings_area"):
        if len(chosen) > 1:
            _settings(chosen, names)
        else:
            st.caption("Select a second run to compare settings.")
    with st.container(key="samples_area"):
        _samples(chosen, names)
    view = _view(chosen)
    curves = curves_of(view, offered)
    with st.container(key="chart_of_runs"):
        st.html("<h2 class='question'>KL versus network calls</h2>")
        going = under_way(measuring(view, curves))
        poll(partial(curve_chart, key="compared_curves"), view, curves, shown=going, every=POLL if going else None)
    with st.container(horizontal=True, vertical_alignment="center", key="runs_takeaway"):
        if st.button("Open in KL, with baselines", key="open_kl"):
            set_value("kl_runs", list(chosen))
            st.switch_page(state.page("kl"))
        curves_takeaway(view, curves, key="runs")


def _view(chosen: Mapping[str, Run]) -> View:
    """One question for all: deterministic jumps, or renoised ones where no run learned anything else."""
    drawn = {key: sampling_defaults(run.model.config) for key, run in chosen.items()}
    renoised = all(own.sampler == "renoise" for own in drawn.values())
    sampler = "renoise" if renoised else "deterministic"
    delta = max(delta_for(sampler, run.model.delta) for run in chosen.values())
    horizon = min(run.model.horizon for run in chosen.values())
    direction = direction_for(sampler)
    renoise = 1.0 if renoised else 0.5
    return View(
        tuple(chosen), (), "exact", sampler, renoise, "uniform_angle", horizon, None, delta, direction, MOST[0],
        ("bands", "floors"),
    )  # fmt: skip


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


def _samples(chosen: Mapping[str, Run], names: Mapping[str, str]) -> None:
    """The samples of each run from the same noise, over its own target."""
    st.html("<h2 class='question'>The same noise, each run’s samples</h2>")
    steps = single_choice("Network calls N", STEPS, key="compared_steps")
    view = _view(chosen)
    with st.container(key="clouds"):
        for key, run in list(chosen.items())[:SIDE_BY_SIDE]:
            with st.container(key=f"cloud_of_{key}"):
                st.html(f"<h3 class='eyebrow'>{escape(names[key])}</h3>")
                how = {"sampler": view.sampler, "renoise": view.renoise, "seed": value("compared_seed")}
                sample_cloud(_cloud(key, steps, view.delta, tuple(how.items()), run), key=f"compared_cloud:{key}")
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
