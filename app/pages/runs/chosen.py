"""The table of runs: sorted and searched in the browser, filtered and grouped here, and rows chosen to be compared."""

import hashlib
from collections.abc import Sequence
from functools import partial

import streamlit as st

import cmcore as cm
from app.background.pools import curve_workers
from app.background.progress import poll
from app.background.task import Task
from app.export.popover import run_takeaway
from app.figures.kl_curve import look_of
from app.figures.svg import run_sign
from app.figures.theme import theme
from app.kl.run_summary import picture
from app.kl.run_table import (
    GROUPS,
    NOT_MEASURED,
    RunTable,
    in_cell,
    own_measurement,
    share_measured,
    show_run_table,
    table_of_groups,
    table_of_runs,
)
from app.pages.runs import ledger
from app.pages.runs.ledger import Entry
from app.quoting import escape, plain
from app.runs.library import LONGEST_NAME, Run, add_run, library, runs
from app.runs.names import learned_by, run_names, target_titles
from app.state import set_until_rendered, set_value, show_value, value
from app.training.continue_controls import continue_controls
from app.ui.terms import explained

COMPARED, SHOWN_COMPARED = "compared", "compared_shown"
"""State keys: the runs that are compared, and the widget that shows them."""
RAW_PROBLEM = "raw weights problem"
"""State key: why a run's raw weights cannot be had, by its key."""
LEGEND = (
    "KL in nats, with 95 % intervals. ≈: a first value from few samples. <: below the floor. —: no number to trust."
)
"""What stands under the table."""
POLL = 1.5
FIRST_VALUES: Task[None] = Task("run table", curve_workers)


def run_chooser(entries: Sequence[Entry]) -> None:
    """Filters, the table, and what can be done with each run that is compared."""
    shown = {entry.run.key: entry for entry in entries if not entry.hidden}
    listed = _filtered([entry.run for entry in shown.values()])
    table = _table(listed, shown)
    if table.runs:
        key = _table_key(table)
        _mirror(key, table)
        show_run_table(
            table, key=key, alt="Runs: what each learned, and its KL", on_select=partial(_take_rows, key, table.runs),
            selection_mode="multi-row",
        )  # fmt: skip
        st.html(f"<p class='theory'>{explained(LEGEND)}</p>")
    else:
        st.info("No run fits these filters.")
    _compared(shown)


def measure_first_values(entries: Sequence[Entry]) -> None:
    """Measure what the table lacks; it is drawn anew as values come."""
    listed = [entry.run for entry in entries if not entry.hidden]
    done = share_measured(FIRST_VALUES, listed)
    if done is not None:
        poll(share_measured, FIRST_VALUES, listed, shown=done, every=POLL)


# ---- the table --------------------------------------------------------------------------------------------------
def _filtered(listed: list[Run]) -> list[Run]:
    """The runs of the chosen targets and objectives; all of them where none is chosen."""
    titles = target_titles(listed)
    targets = list(dict.fromkeys(titles.values()))
    objectives = list(dict.fromkeys(learned_by(run.model.config) for run in listed))
    with st.container(key="run_filters", horizontal=True, vertical_alignment="bottom"):
        for key, offered in (("filter target", targets), ("filter objective", objectives)):
            if not set(value(key, [])).issubset(offered):  # some may be gone since
                set_until_rendered(key, [one for one in value(key) if one in offered])
        of_target = st.multiselect("Target", targets, key="filter target", placeholder="Any")
        of_objective = st.multiselect("Objective", objectives, key="filter objective", placeholder="Any")
        st.selectbox("Group by", GROUPS, key="group runs", help="Seeds: runs that differ in their seed alone.")
    return [
        run
        for run in listed
        if (not of_target or titles[run.target_key] in of_target)
        and (not of_objective or learned_by(run.model.config) in of_objective)
    ]


def _table(listed: Sequence[Run], shown: dict[str, Entry]) -> RunTable:
    by = value("group runs", GROUPS[0])
    if by != GROUPS[0]:
        return table_of_groups(listed, by)
    colour = theme(st.context.theme.type).data
    pictures = {run.key: picture(run.key, colour, run) for run in listed}
    return table_of_runs(listed, pictures=pictures, origin=lambda run: _origin(shown[run.key]))


def _origin(entry: Entry) -> str:
    return ", ".join(filter(None, ("pinned" * entry.pinned, "example" if entry.run.shipped else "mine")))


def _table_key(table: RunTable) -> str:
    """Rows are chosen by their numbers, so that other rows make another table."""
    return f"run_table_{hashlib.sha256(repr(table.runs).encode()).hexdigest()[:10]}"


def _mirror(key: str, table: RunTable) -> None:
    """The rows of what is compared are the chosen ones."""
    compared = set(value(COMPARED))
    rows = [row for row, keys in enumerate(table.runs) if compared.issuperset(keys)]
    now = value(key)
    if now is None or list(now["selection"]["rows"]) != rows:
        set_value(key, {"selection": {"rows": rows, "columns": [], "cells": []}})


def _take_rows(key: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows were clicked: theirs are compared, and of the runs that are not in the table those that were."""
    clicked = [one for row in value(key)["selection"]["rows"] for one in rows[row]]
    listed = {one for row in rows for one in row}
    before = [one for one in value(COMPARED) if one in clicked or one not in listed]
    set_value(COMPARED, [*before, *(one for one in clicked if one not in before)])


# ---- what is compared -------------------------------------------------------------------------------------------
def _compared(shown: dict[str, Entry]) -> None:
    """The compared runs, each with its line in the charts below and what can be done with it."""
    names = run_names(entry.run for entry in shown.values())
    show_value(SHOWN_COMPARED, [key for key in value(COMPARED) if key in shown])
    st.multiselect(
        "Compared", list(shown), format_func=names.__getitem__, key=SHOWN_COMPARED, on_change=_take_compared,
        placeholder="Click rows, or choose here", persist_state="session",
    )  # fmt: skip
    colours = theme(st.context.theme.type)
    with st.container(key="compared_rows"):
        for number, key in enumerate(value(SHOWN_COMPARED)):
            with st.container(key=f"compared_row_{key}", horizontal=True, vertical_alignment="center"):
                sign = run_sign(colours.runs[number % len(colours.runs)], *look_of(number), colours.paper)
                st.html(
                    f"<p class='run-sign'><img src='{sign}' alt='' width='36' height='16'>{escape(names[key])}"
                    f"<small>{escape(_in_short(shown[key].run))}</small></p>"
                )
                with st.popover("More", type="tertiary", key=f"more:{key}"):
                    _actions(shown[key])


def _in_short(run: Run) -> str:
    """A run's KL at N = 4, in text, which is there before the table is painted."""
    measured, coarse = own_measurement(run, 4)
    return f"KL {in_cell(measured.estimate, coarse=coarse)} at N = 4" if measured else NOT_MEASURED


def _take_compared() -> None:
    set_value(COMPARED, list(value(SHOWN_COMPARED)))


def _actions(entry: Entry) -> None:
    """Pin, delete or hide, continue, name, take away."""
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
        _raw_weights_button(run)
        _name_field(run)
    st.caption("Export")
    run_takeaway(run)


def _name_field(run: Run) -> None:
    """A run's name, to be changed.

    It is the field's first value: one that is set reaches only a browser that has the field, and this is in a menu that
    is closed.
    """
    st.text_input(
        "Name", run.label, max_chars=LONGEST_NAME, key=f"name:{run.key}", required=True,
        validate=(r"\S", "A run needs a name."), on_change=_rename, args=(run.key,),
    )  # fmt: skip


def _raw_weights_button(run: Run) -> None:
    """What averaging the weights did can be seen beside the run, where its training state has them unaveraged."""
    if run.model.resume_state and run.model.config.average:
        help_ = "A run shows the average of its last steps’ weights; its raw weights are those of the very last step."
        st.button("Compare with its raw weights", key=f"raw:{run.key}", help=help_, on_click=_add_raw, args=(run,))
        if words := value(RAW_PROBLEM, {}).get(run.key):
            st.warning(plain(words))


def _add_raw(run: Run) -> None:
    """The raw weights are a run of their own, compared beside it; of a run from a file they may not be there."""
    ending = ", raw weights"
    try:
        model = cm.with_raw_weights(run.model)
    except ValueError as problem:
        set_value(RAW_PROBLEM, {run.key: str(problem)})
        return
    raw = add_run(run.name, run.label[: LONGEST_NAME - len(ending)] + ending, model)
    set_value(COMPARED, [*value(COMPARED), raw.key])


def _rename(key: str) -> None:
    library().rename(key, value(f"name:{key}"))


def _leave_out(how, key: str) -> None:
    how(key)
    set_value(COMPARED, [one for one in value(COMPARED) if one != key])


def deleted() -> None:
    """The way back from a deletion."""
    run = library().deleted
    if run is not None:
        with st.container(key="removed", horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(run.label)} was deleted.")
            st.button("Undo", key="undo", on_click=library().undo)


def hidden(entries: Sequence[Entry]) -> None:
    """What was hidden, to be shown again."""
    if not entries:
        return
    with st.expander(f"Hidden: {len(entries)}"):
        for entry in entries:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(entry.run.label))
                key = entry.run.key
                st.button("Show", key=f"show:{key}", type="tertiary", on_click=library().hidden.discard, args=(key,))
