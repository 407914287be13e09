"""Train: learn a new flow map while watching, then look at it in Explore."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.background.jobs import JobView
from app.hosting.limits import in_words, limits
from app.pages.train.budget import training_controls
from app.pages.train.card import first_card, status_card
from app.pages.train.compare import comparison_area
from app.pages.train.link import TRAIN_LINK
from app.pages.train.picture import shown_in_picture, training_picture
from app.pages.train.report import comparison, kl_of_training, loss_report, unmeasured
from app.pages.train.table import LINK_NAMES_FILE
from app.pages.train.target import DRAWING, target_controls
from app.quoting import plain
from app.runs.library import Run, library
from app.stage.film import show_film, with_film
from app.training.choice import Choice
from app.training.continuation import can_continue, unfinished, what_is_left
from app.training.job import TrainingProgress
from app.training.previous import budget_in_words, run_before, shared_start_in_words
from app.training.registry import Training
from app.training.session import (
    continue_training,
    ended_run,
    join_runs,
    look_at_trained,
    shown_training,
    start_training,
    training,
    training_view,
    unseen_end,
)
from app.ui.link_warnings import show_link_warnings
from cmcore.config import TrainingConfig
from cmcore.training_defaults import resolved

POLL = 0.5


def train() -> None:
    """The page."""
    show_link_warnings(TRAIN_LINK.open())
    if training() is not None:
        state.set_value(LINK_NAMES_FILE, False)  # the training has the table
    view = training_view()
    if view and view.over:
        join_runs()
        if unseen_end():
            look_at_trained()
    going = view is not None and not view.over
    with st.container(key="trainbench"):
        with st.container(key="choose_area"):
            with st.container(key="source_area"):
                choice = target_controls()
            chosen, folded = st.container(key="learning_area"), st.container(key="folded_area")
            with chosen:
                config, problem = _config(choice, folded, disabled=going)
            if words := in_words():
                st.caption(plain(words))
        about = shown_training(choice)
        with st.container(key="live_area"):
            picture = st.container()
            with st.container(
                horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="transport"
            ):
                with st.container(horizontal=True, key="buttons", width="content"):
                    _transport(choice, config, about, view)
                shown, projection = shown_in_picture(choice, about, going=going)
            with st.container(key="notes_area"):
                _beside_transport(choice, config, about, going, problem)
            with picture:
                training_picture(shown, projection, about, poll=POLL if going else None)
        with st.container(key="progress_area"):
            moving = view is not None and view.status in ("queued", "running")
            polls = moving or bool(unmeasured(ended_run()))
            st.fragment(_progress, run_every=POLL if polls else None)(
                view.status if view else "", choice, config, about
            )
    comparison_area(choice, config, going=going)
    TRAIN_LINK.write()


def _config(choice: Choice | None, folded: DeltaGenerator, *, disabled: bool) -> tuple[TrainingConfig | None, str]:
    """What was chosen, or why it cannot be trained, in a sentence."""
    if choice is None:
        return None, ""
    config = training_controls(choice.target, folded, disabled=disabled)
    try:
        limits().check(resolved(config, choice.target), choice.target)
    except ValueError as problem:
        return None, str(problem)
    return config, ""


# ---- start, pause, stop -----------------------------------------------------------------------------------------
def _transport(
    choice: Choice | None, config: TrainingConfig | None, about: Training | None, view: JobView[TrainingProgress] | None
) -> None:
    """The buttons under the picture: what can be done with the run now."""
    if about is not None and view is not None and not view.over:
        if view.status == "paused":
            st.button("Resume", type="primary", on_click=about.resume, key="resume")
        elif view.status == "running":
            st.button("Pause training", type="primary", on_click=about.pause, key="pause")
        waits = view.status == "queued" and view.latest is None
        st.button("Cancel" if waits else "Stop", on_click=about.cancel, key="stop")
        return
    same = about is not None and choice is not None and about.choice.key == choice.key and ended_run() is not None
    ready = choice is not None and config is not None
    label = "Train again" if same else "Start training"
    pressed = st.button(label, type="secondary" if same else "primary", disabled=not ready, key="start")
    # Not in a callback: it would be given what was chosen when the button was last drawn, which may be older.
    if pressed and choice is not None and config is not None:
        start_training(choice, config)
        st.rerun()
    trained = ended_run()
    if (run := _continuable(about, config)) and st.button("Continue training", key="continue"):
        _continue(run, config)
        st.rerun()
    if choice and same and choice.name == DRAWING and state.value("redrawing") != choice.key:
        st.button("Draw on", on_click=state.set_value, args=("redrawing", choice.key), key="draw_on")
    if trained and st.button("Open in Explore", type="primary", key="open"):
        look_at_trained()
        state.open_page("explore")


def _continuable(about: Training | None, chosen: TrainingConfig | None) -> Run | None:
    """The run on show, where it can go on: to the end that was planned, or for the budget on the page."""
    trained = ended_run()
    if about is None or trained is None or not can_continue(trained.run):
        return None
    return trained.run if unfinished(trained.run.model) or chosen is not None else None


def _continue(run: Run, chosen: TrainingConfig | None) -> None:
    if unfinished(run.model) or chosen is None:
        continue_training(run)
    else:
        continue_training(run, steps=chosen.steps, seconds=chosen.seconds)


def _continued_in_words(run: Run, chosen: TrainingConfig | None) -> str:
    """For how long it would go on. No tooltip says so: the button comes where Stop was, under a pointer at rest."""
    left = f"{budget_in_words(chosen)} more." if chosen and not unfinished(run.model) else what_is_left(run.model)
    return f"Continue training: {left[:1].lower()}{left[1:]} This run stays as it is."


def _beside_transport(
    choice: Choice | None, config: TrainingConfig | None, about: Training | None, going: bool, refused: str
) -> None:
    """Sentences under the buttons: why nothing can start, or what training again or on would come to."""
    if problem := (not going and refused) or state.value("start_problem"):
        st.warning(plain(problem))
        state.set_value("start_problem", "")  # said once: the next look asks again
        return
    if going:
        return
    words = []
    if choice and config and (before := run_before(choice.key)):
        words.append(shared_start_in_words(config, before.config))
    if run := _continuable(about, config):
        words.append(_continued_in_words(run, config))
    if words:
        st.caption(plain(" ".join(words)))


# ---- what is known ----------------------------------------------------------------------------------------------
def _progress(drawn: str, choice: Choice | None, config: TrainingConfig | None, about: Training | None) -> None:
    """The run in words, its KL and its loss; runs the page again once when its state changes."""
    if about is None:
        with st.container(key="status_area"):  # what was learned before is in the ledger, and here when chosen again
            st.html(first_card(choice, config))
        return
    view, trained = about.view(), ended_run()
    with st.container(key="status_area"):
        st.html(status_card(view, _facts(about, choice)))
    if view.over and trained and (lost := library().warning()):
        st.warning(plain(lost))
    kl_of_training(about, view, trained)
    if view.latest and view.latest.curve:
        with st.container(key="loss_area"):
            loss_report(view.latest.curve, about.before)
    if trained and view.over and (filmed := with_film([trained.run])):
        points = [*about.earlier_kl, *(view.latest.kl if view.latest else ())]
        if st.toggle("Watch it again", key="watch", persist_state="session"):
            show_film(filmed, key="film", kl=[(point.step, point.estimate.value) for point in points])
    if trained and about.before and view.over:
        with st.container(key="beside_before"):
            comparison(trained, about.before)
    if view.status != drawn and drawn:
        st.rerun()


def _facts(about: Training, choice: Choice | None) -> list[tuple[str, str]]:
    """What is learned, where something else is chosen on the page, and which run is continued."""
    rows = [] if choice is not None and choice.key == about.choice.key else [("Target", about.choice.label)]
    if about.continues is not None:
        rows.append(("Continues", f"{about.continues.label}, from step {about.first_step:,}"))
    return rows
