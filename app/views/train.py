"""Train: learn a new flow map while watching, then look at it in Explore."""

import math

import pandas as pd
import streamlit as st

import cmcore as cm
from app import state
from app.cards import card, number
from app.components.sample_cloud import cloud_message, sample_cloud
from app.controls.target import Choice, target_controls
from app.controls.training import training_controls
from app.figures.loss import loss_chart
from app.figures.theme import theme
from app.jobs import Busy, JobView
from app.live import LIVE_JUMPS, Progress, train_live, training_workers
from app.runs import add_run
from app.scene import density_image, extent_of, shown_samples
from cmcore.config import TrainingConfig
from cmcore.targets.tables import Memorisation

__all__ = ["told", "train"]

JOB = "training"
POLL = 0.4


def train() -> None:
    """The page."""
    view = _view()
    going = view is not None and not view.over
    if view and view.over and view.latest and view.latest.model and not state.value("trained_key"):
        _keep(state.value("training_choice"), view.latest)
    with st.container(key="trainbench"):
        with st.container(key="choose_area"):
            choice = target_controls()
            config = training_controls(choice.target, disabled=going) if choice else None
            _start_or_stop(choice, config, going)
        with st.container(key="live_area"):
            trained = state.value("training_choice")
            shown = trained if going or choice is None else choice
            if shown is not None:
                st.fragment(_cloud, run_every=POLL if going else None)(shown, _same(shown, trained))
        with st.container(key="progress_area"):
            st.fragment(_progress, run_every=POLL if going else None)(going)
            if state.value("trained_key") and st.button("Open in Explore", type="primary", width="stretch", key="open"):
                st.switch_page(state.page("explore"))


def _view() -> JobView[Progress] | None:
    job = state.job(JOB)
    return None if job is None else training_workers().view(job)


# ---- start and stop ---------------------------------------------------------------------------------------------
def _start_or_stop(choice: Choice | None, config: TrainingConfig | None, going: bool) -> None:
    if going:
        st.button("Stop", type="primary", width="stretch", on_click=state.job(JOB).cancel, key="stop")
    else:
        ready = choice is not None and config is not None
        st.button(
            "Start training", type="primary", width="stretch", disabled=not ready, key="start",
            on_click=_start, args=(choice, config),
        )  # fmt: skip
    if problem := state.value("start_problem"):
        st.warning(problem)


def _start(choice: Choice, config: TrainingConfig) -> None:
    state.choose("start_problem", "")
    try:
        job = training_workers().submit(lambda stop: train_live(choice.target, config, stop))
    except Busy as busy:
        state.choose("start_problem", str(busy))
        return
    state.keep_job(JOB, job)
    state.choose("training_choice", choice)
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
    sample_cloud(
        cloud_message(name=choice.key, samples=samples, words=f"model, {LIVE_JUMPS} jumps", **background), key="cloud"
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _background(key: str, _target: cm.Target) -> dict[str, object]:
    delta = 0.0 if _target.smooth else 0.01
    return {
        "extent": extent_of(_target),
        "density": density_image(_target, delta),
        "data": shown_samples(_target, 1_500),
    }


# ---- what is known ----------------------------------------------------------------------------------------------
def _progress(going: bool) -> None:
    """The run in words and its loss; runs the page again once when the run ends."""
    view = _view()
    if view is None:
        st.html(card("Nothing is training yet", "", [], aside=BEFORE))
        return
    st.html(told(view))
    if view.latest and view.latest.curve:
        _loss(view.latest)
    if going and view.over:
        st.rerun()


BEFORE = (
    "Starting computes exact trajectories from noise to data, and a small network learns to jump along them: "
    "f(x, t, s) takes a point from time t to any earlier time s. Loss and samples appear here while it learns."
)


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
    if view.over:
        title = {"diverged": "Diverged"}.get(event.status, "Stopped" if view.latest.stopped else "Finished")
        figure, beside = f"{event.seconds:.0f} s", f"{event.step:,} steps"
    elif event.status == "preparing":
        return card("Preparing", "", _rows(view), aside=f"{event.message.capitalize()}.")
    else:
        title, figure = "Training", _time_left(event.seconds_left)
        beside = f"step {event.step:,}" + (f" of {event.steps:,}" if event.steps else "")
    aside = event.message if event.status == "diverged" else ""
    if view.latest.stopped and event.status != "diverged":
        aside = f"Stopped early; the weights of step {event.step:,} are kept."
    if view.latest.memorisation is not None:
        aside = f"{aside} {_memory(view.latest.memorisation)}".strip()
    return card(title, figure, _rows(view), beside=beside, aside=aside)


def _memory(memory: Memorisation) -> str:
    return (
        f"Samples lie {number(memory.ratio)} ({number(memory.low, 2)} … {number(memory.high, 2)}) times as far from "
        "the rows trained on as unseen rows do: 1 means nothing was memorised, and samples of the smoothed law itself "
        f"have {number(memory.of_the_truth)}."
    )


def _rows(view: JobView[Progress]) -> list[tuple[str, str]]:
    event = view.latest.event
    rows = [("Device", event.device)]
    if math.isfinite(event.loss):
        rows += [("Loss", number(event.loss)), ("Error of one jump, root mean square", number(event.quality, 2))]
    return rows


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "…"
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _loss(progress: Progress) -> None:
    """Loss against steps. A vega chart keeps its place in the page while its data change; plotly would blink."""
    st.vega_lite_chart(
        pd.DataFrame(progress.curve, columns=["step", "loss"]),
        loss_chart(theme(st.context.theme.type)),
        key="loss",
        height=220,
    )


def _keep(choice: Choice, progress: Progress) -> None:
    """The finished run joins the runs of Explore, and is the one shown there next."""
    run = add_run(choice.name, choice.label, progress.model)
    state.choose("trained_key", run.key)
    state.choose("run", run.key)
