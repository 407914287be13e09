"""Compare objectives on this data: several of them, with several seeds, in one queue, one chart and one table."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import state
from app.background.pools import curve_workers
from app.background.progress import poll, under_way
from app.background.task import Task
from app.hosting.limits import limits
from app.kl.chart import POLL, curve_chart, measuring
from app.kl.curves import View, curves_of
from app.kl.run_table import share_measured, show_run_table, table_of_groups
from app.kl.together import training_charts, view_of
from app.pages.train.objective import changed_settings, objective_names
from app.quoting import plain
from app.runs.library import Run, own_runs, runs
from app.runs.names import learned_by
from app.training.badge import badge_words
from app.training.choice import Choice
from app.training.previous import budget_in_words
from app.training.registry import Comparison
from app.training.session import comparison, start_comparison, stop_comparison, training, training_view
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.sampling_defaults import sampling_defaults
from cmcore.training_defaults import resolved

FIRST_OBJECTIVES = ["trajectory_regression", "lsd", "mean_flow"]
MOST_SEEDS = 5
STATUS_POLL = 1.0
FIRST_VALUES: Task[None] = Task("comparison table", curve_workers)


def comparison_area(choice: Choice | None, config: TrainingConfig | None, *, going: bool) -> None:
    """What to compare and the press that begins it, and below it what has come of it so far."""
    now = comparison()
    with st.container(key="objectives_area"):
        with st.expander("Compare objectives on this data", expanded=now is not None):
            _choose(choice, config, going=going)
        if now is not None:
            _progress(now)
            _results(now)


# ---- what to compare --------------------------------------------------------------------------------------------
def _choose(choice: Choice | None, config: TrainingConfig | None, *, going: bool) -> None:
    names = objective_names()
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_controls"):
        chosen = st.multiselect(
            "Objectives", names, format_func=lambda name: OBJECTIVES[name].label, key="compare_objectives",
            persist_state="session",
        )  # fmt: skip
        seeds = st.number_input(
            "Seeds of each", 1, MOST_SEEDS, key="compare_seeds", persist_state="session",
            help="Each objective is trained from so many different initial weights, counted up from the seed above.",
        )  # fmt: skip
        configs, problems = ([], []) if choice is None or config is None else _plan(choice, config, chosen, int(seeds))
        pressed = st.button("Train all", type="primary", key="compare_start", disabled=going or not configs)
    for words in problems:
        st.warning(plain(words))
    if choice is None:
        st.caption("Choose what to train on first.")
    elif configs:
        st.caption(plain(_before(configs)))
    if pressed and choice is not None and configs:
        start_comparison(choice, configs)
        st.rerun()


def _plan(
    choice: Choice, config: TrainingConfig, objectives: Sequence[str], seeds: int
) -> tuple[list[TrainingConfig], list[str]]:
    """A training for every objective and seed, and a sentence for each objective that cannot be trained here."""
    configs, problems = [], []
    for name in objectives:
        of_objective = {"objective": name, "objective_parameters": changed_settings(name)}
        try:
            for seed in range(config.seed, config.seed + seeds):
                one = TrainingConfig.model_validate({**config.model_dump(), **of_objective, "seed": seed})
                limits().check(resolved(one, choice.target), choice.target)
                configs.append(one)
        except ValueError as problem:
            problems.append(f"{OBJECTIVES[name].label} is left out: {problem}")
    try:
        limits().check_compared(len(configs))
    except ValueError as problem:
        return [], [*problems, f"{problem} Choose fewer objectives or seeds."]
    return configs, problems


def _before(configs: Sequence[TrainingConfig]) -> str:
    """How many trainings a press begins, and how long they take."""
    runs = "1 training" if len(configs) == 1 else f"{len(configs)} trainings, one after the other"
    seconds = sum(config.seconds or 0 for config in configs)
    whole = f", {seconds / 60:.0f} min" if seconds >= 100 else f", {seconds:.0f} s" if seconds else ""
    return f"{runs}, with the network, batch and δ chosen above and {budget_in_words(configs[0])} each{whole}."


# ---- how far it is ----------------------------------------------------------------------------------------------
def _progress(now: Comparison) -> None:
    left, all_of_it = len(now.pending), len(now.configs)
    current = training()
    trains = current is not None and not current.over and current.run_key in now.configs
    if trains or now.pending:
        with st.container(horizontal=True, vertical_alignment="center", key="compare_progress"):
            poll(_status, now, shown=(left, trains), every=STATUS_POLL)
            st.button("Stop all", key="compare_stop", on_click=stop_comparison)
    for key, why in now.problems.items():
        config = now.configs[key]
        st.caption(plain(f"{OBJECTIVES[config.objective].label}, seed {config.seed}: {why}"))
    if not trains and not now.pending and all_of_it:
        st.caption(f"{all_of_it - len(now.problems)} of {all_of_it} trainings have left a run.")


def _status(now: Comparison) -> tuple[int, bool]:
    """What trains now; polled, so that the next one begins."""
    view, current = training_view(), training()
    trains = current is not None and not current.over and current.run_key in now.configs
    done = len(now.configs) - len(now.pending) - trains
    if current is not None and view is not None and trains:
        label = OBJECTIVES[current.config.objective].label
        words = f"{done + 1} of {len(now.configs)} · {label}, seed {current.config.seed} · {badge_words(view)}"
        st.progress(done / len(now.configs), text=plain(words))
    return len(now.pending), trains


# ---- what has come of it ----------------------------------------------------------------------------------------
def _results(now: Comparison) -> None:
    """One chart, one table, the losses, and the way to Runs, of the trainings that have ended."""
    own = own_runs()
    ended = [own[key] for key in now.run_keys if key in own]
    if not ended:
        return
    view = view_of(ended, seeds=True)
    st.html("<h2 class='question'>Objectives compared</h2>")
    _chart(view, ended)
    with st.container(key="compared_objectives"):
        show_run_table(table_of_groups(ended, "Seeds"), key="comparison_table", alt="Objectives compared")
    st.caption("Each row: the median over its seeds of each run’s own way of drawing, as “Measured” and δ say.")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open in Runs", key="compare_open"):
            state.forget_first_time("runs link")
            state.open_page("runs", {"runs": ",".join(run.key for run in ended)})
    training_charts(ended, seeds=True, key="comparison_training")
    if (done := share_measured(FIRST_VALUES, ended)) is not None:
        poll(share_measured, FIRST_VALUES, ended, shown=done, every=POLL)


def _chart(view: View, ended: Sequence[Run]) -> None:
    curves = curves_of(view, runs())
    going = under_way(measuring(view, curves))
    poll(partial(curve_chart, key="comparison_curves"), view, curves, shown=going, every=POLL if going else None)
    said = dict.fromkeys(
        f"{learned_by(run.model.config)}: {words}"
        for run in ended
        if (words := sampling_defaults(run.model.config).caution(view.sampler, view.renoise, view.most))
    )
    for words in said:
        st.caption(plain(words))
