"""Train: learn a new flow map while watching, then look at it in Explore."""

import math
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import cmcore as cm
from app import state
from app.cards import card, number, plain
from app.components.sample_cloud import cloud_message, sample_cloud
from app.controls.objective import needs_in_words
from app.controls.target import Choice, target_controls
from app.controls.training import training_controls
from app.figures.loss import loss_chart
from app.figures.theme import theme
from app.jobs import Busy, JobView
from app.links.train import open_train_link, write_train_link
from app.live import LIVE_JUMPS, Progress, train_live, training_workers
from app.runs import add_run
from app.scene import density_image, extent_of, shown_samples
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.about import own_drawing
from cmcore.targets.tables import Memorisation
from cmcore.training import TrainingEvent
from cmcore.training_run import resolved

__all__ = ["told", "train"]

JOB = "training"
POLL = 0.4


def train() -> None:
    """The page."""
    for problem in open_train_link():
        st.warning(plain(problem))
    view = _view()
    going = view is not None and not view.over
    if view and view.over and view.latest and view.latest.model and not state.value("trained_key"):
        _keep(state.value("training_choice"), view.latest.model)
    with st.container(key="trainbench"):
        with st.container(key="choose_area"):
            choice = target_controls()
            chosen, start, folded = st.container(), st.container(), st.container()
            with chosen:
                config, problem = _config(choice, folded, disabled=going)
            with start:
                _start_or_stop(choice, config, going, problem)
        with st.container(key="live_area"):
            trained = state.value("training_choice")
            shown = trained if going or choice is None else choice
            if shown is not None:
                st.fragment(_cloud, run_every=POLL if going else None)(shown, _same(shown, trained))
        with st.container(key="progress_area"):
            st.fragment(_progress, run_every=POLL if going else None)(going, config)
            if state.value("trained_key") and st.button("Open in Explore", type="primary", width="stretch", key="open"):
                st.switch_page(state.page("explore"))
    write_train_link()


def _view() -> JobView[Progress] | None:
    job = state.job(JOB)
    return None if job is None else training_workers().view(job)


def _config(choice: Choice | None, folded: DeltaGenerator, *, disabled: bool) -> tuple[TrainingConfig | None, str]:
    """What was chosen, or why it cannot be trained, in a sentence."""
    if choice is None:
        return None, ""
    config = training_controls(choice.target, folded, disabled=disabled)
    try:
        resolved(config, choice.target)
    except ValueError as problem:
        return None, str(problem)
    return config, ""


# ---- start and stop ---------------------------------------------------------------------------------------------
def _start_or_stop(choice: Choice | None, config: TrainingConfig | None, going: bool, refused: str) -> None:
    if going:
        st.button("Stop", type="primary", width="stretch", on_click=state.job(JOB).cancel, key="stop")
    else:
        ready = choice is not None and config is not None
        pressed = st.button("Start training", type="primary", width="stretch", disabled=not ready, key="start")
        # Not in a callback: it would be given what was chosen when the button was last drawn, which may be older.
        if pressed and choice is not None and config is not None:
            _start(choice, config)
            st.rerun()
    if problem := (not going and refused) or state.value("start_problem"):
        st.warning(plain(problem))


def _start(choice: Choice, config: TrainingConfig) -> None:
    state.choose("start_problem", "")
    try:
        job = training_workers().submit(lambda stop: train_live(choice.target, config, stop))
    except Busy as busy:
        state.choose("start_problem", str(busy))
        return
    state.keep_job(JOB, job)
    state.choose("training_choice", choice)
    state.choose("training_config", config)
    state.choose("trained_key", "")


# ---- the picture ------------------------------------------------------------------------------------------------
def _same(choice: Choice, trained: Choice | None) -> bool:
    return trained is not None and choice.key == trained.key


def _cloud(choice: Choice, live: bool) -> None:
    """The target; with `live`, the samples of the run that learns it."""
    view = _view()
    progress = view.latest if view and live else None
    background = _background(choice.key, choice.target)
    samples = progress.samples if progress else None
    words = f"model, {LIVE_JUMPS} {_jumps(state.value('training_config'))}"
    sample_cloud(cloud_message(name=choice.key, samples=samples, words=words, **background), key="cloud")


def _jumps(config: TrainingConfig | None) -> str:
    """The jumps of the live samples in words."""
    own = own_drawing(config) if config else None
    if own and own.single_time:
        return "jumps, renoised"
    return "DDIM steps" if own and own.velocity_only else "jumps"


@st.cache_data(max_entries=64, show_spinner=False)
def _background(key: str, _target: cm.Target) -> dict[str, Any]:
    delta = 0.0 if _target.smooth else 0.01
    return {
        "extent": extent_of(_target),
        "density": density_image(_target, delta),
        "data": shown_samples(_target, 1_500),
    }


# ---- what is known ----------------------------------------------------------------------------------------------
def _progress(going: bool, config: TrainingConfig | None) -> None:
    """The run in words and its loss; runs the page again once when the run ends."""
    view = _view()
    if view is None:
        st.html(card("Nothing is training yet", "", [], aside=_before(config)))
        return
    st.html(told(view))
    if view.latest and view.latest.curve:
        _loss(view.latest)
    if going and view.over:
        st.rerun()


def _before(config: TrainingConfig | None) -> str:
    """What starting would do."""
    if config is None:
        return "Loss and samples appear here while a map is learned."
    kind = OBJECTIVES[config.objective]
    needs = needs_in_words(kind, config.objective_parameters)
    own = own_drawing(config)
    if own.velocity_only:
        learned = "the velocity of the flow; a jump is then a DDIM step with a learned score"
    elif own.single_time:
        learned = "f(x, t, δ), which takes a point from any time t to the end; samples jump there and are renoised"
    else:
        learned = "f(x, t, s), which takes a point from time t to any earlier time s"
    return f"A small network learns {learned}. It learns from {needs}. Loss and samples appear here while it does."


def told(view: JobView[Progress]) -> str:
    """The state of the run as a card: what is happening, how long it takes, on what."""
    if view.status == "queued":
        return card("Queued", f"Place {view.place}", [], aside="Training starts as soon as a worker is free.")
    if view.status == "failed":
        return card("Training could not go on", "", [], aside=view.problem)
    if view.latest is None:
        words = "Stopped before it began." if view.over else "Starting."
        return card("Training", "", [], aside=words)
    event = view.latest.event
    if view.over and not event.step:
        return card("Stopped", "", _rows(event), aside="Stopped before the first step: there are no weights to keep.")
    if view.over:
        title = {"diverged": "Diverged"}.get(event.status, "Stopped" if view.latest.stopped else "Finished")
        figure, beside = f"{event.seconds:.0f} s", f"{event.step:,} steps"
    elif event.status == "preparing":
        left = "" if event.seconds_left is None else _time_left(event.seconds_left)
        return card("Preparing", left, _rows(event), aside=f"{event.message[:1].upper()}{event.message[1:]}.")
    else:
        title, figure = "Training", _time_left(event.seconds_left)
        beside = f"step {event.step:,}" + (f" of {event.steps:,}" if event.steps else "")
    aside = event.message if event.status == "diverged" else ""
    if view.latest.stopped and event.status != "diverged":
        aside = f"Stopped early; the weights of step {event.step:,} are kept."
    if view.latest.memorisation is not None:
        aside = f"{aside} {_memory(view.latest.memorisation)}".strip()
    return card(title, figure, _rows(event), beside=beside, aside=aside)


def _memory(memory: Memorisation) -> str:
    return (
        f"Samples lie {number(memory.ratio)} ({number(memory.low, 2)} … {number(memory.high, 2)}) times as far from "
        "the rows trained on as unseen rows do: 1 means nothing was memorised, and samples of the smoothed law itself "
        f"have {number(memory.of_the_truth)}."
    )


def _rows(event: TrainingEvent) -> list[tuple[str, str]]:
    rows = [("Device", event.device)]
    if math.isfinite(event.loss):
        rows.append(("Loss", number(event.loss)))
    if math.isfinite(event.quality):
        rows.append(("Error of one jump, root mean square", number(event.quality, 2)))
    return rows


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "…"
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _loss(progress: Progress) -> None:
    """Loss against steps. A vega chart keeps its place in the page while its data change; plotly would blink."""
    above_zero = [(step, loss) for step, loss in progress.curve if loss > 0]  # the axis is logarithmic
    st.vega_lite_chart(
        pd.DataFrame(above_zero, columns=["step", "loss"]),
        loss_chart(theme(st.context.theme.type)),
        key="loss",
        height=220,
    )


def _keep(choice: Choice, model: cm.TrainedModel) -> None:
    """The finished run joins the runs of Explore, and is the one shown there next."""
    run = add_run(choice.name, choice.label, model)
    state.choose("trained_key", run.key)
    state.choose("run", run.key)
