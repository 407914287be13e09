"""Train: learn a new flow map while watching, then look at it in Explore."""

import math

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.again import Trained, again_in_words, run_before, settings_in_words
from app.cards import card, direction_title, number, plain
from app.controls.objective import needs_in_words
from app.controls.target import DRAWING, Choice, target_controls
from app.controls.training import training_controls
from app.estimates import known_point
from app.jobs import Busy, JobView
from app.limits import in_words, limits
from app.links.train import open_train_link, write_train_link
from app.live import Progress, live_question, train_live, training_workers
from app.measurements import measuring_workers
from app.runs import not_kept
from app.training import keep_ended, keep_training, look_at_trained, training_job, training_view, unseen_end
from app.training_picture import shown_in_picture, training_picture
from app.training_report import comparison, final_kl, kl_report, loss_report, measuring
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.about import own_drawing
from cmcore.targets.tables import Memorisation
from cmcore.training import TrainingEvent
from cmcore.training_run import resolved

__all__ = ["told", "train"]

POLL = 0.5
NOTHING = "Stopped before the first step: there are no weights to keep."


def train() -> None:
    """The page."""
    for problem in open_train_link():
        st.warning(plain(problem))
    view = training_view()
    if view and view.over:
        keep_ended(view)
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
        with st.container(key="live_area"):
            picture = st.container()
            with st.container(
                horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="transport"
            ):
                with st.container(horizontal=True, key="buttons", width="content"):
                    _transport(choice, config, view)
                shown, projection = shown_in_picture(choice, going)
            with st.container(key="notes_area"):
                _beside_transport(choice, config, going, problem)
            with picture:
                training_picture(shown, projection, view_of_run=training_view, poll=POLL if going else None)
        with st.container(key="progress_area"):
            moving = view is not None and view.status in ("queued", "running")
            polls = moving or bool(_unmeasured())
            st.fragment(_progress, run_every=POLL if polls else None)(view.status if view else "", choice, config)
    write_train_link()


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
def _transport(choice: Choice | None, config: TrainingConfig | None, view: JobView[Progress] | None) -> None:
    """The buttons under the picture: what can be done with the run now."""
    if view is not None and not view.over:
        job = training_job()
        assert job is not None  # what is viewed
        if view.status == "paused":
            st.button("Resume", type="primary", on_click=training_workers().resume, args=(job,), key="resume")
        elif view.status == "running":
            st.button("Pause", type="primary", on_click=job.pause, key="pause")
        waits = view.status == "queued" and view.latest is None
        st.button("Cancel" if waits else "Stop", on_click=job.cancel, key="stop")
        return
    trained = _trained()
    known = trained if choice and trained and trained.key == choice.key else None
    ready = choice is not None and config is not None
    label = "Train again" if known else "Start training"
    pressed = st.button(label, type="secondary" if known else "primary", disabled=not ready, key="start")
    # Not in a callback: it would be given what was chosen when the button was last drawn, which may be older.
    if pressed and choice is not None and config is not None:
        _start(choice, config)
        st.rerun()
    if known and known.can_go_on:
        st.button("Go on", on_click=_go_on, args=(choice, known), key="go_on", help="From where it was stopped.")
    if choice and known and choice.name == DRAWING and state.value("redrawing") != choice.key:
        st.button("Draw on", on_click=state.choose, args=("redrawing", choice.key), key="draw_on")
    if trained and st.button("Open in Explore", type="primary", key="open"):
        st.switch_page(state.page("explore"))


def _beside_transport(choice: Choice | None, config: TrainingConfig | None, going: bool, refused: str) -> None:
    """A sentence under the buttons: why nothing can start, or what starting again would share with the run before."""
    if problem := (not going and refused) or state.value("start_problem"):
        st.warning(plain(problem))
    elif not going and choice and config and (before := run_before(choice.key)):
        st.caption(plain(again_in_words(config, before.config)))


def _start(choice: Choice, config: TrainingConfig) -> None:
    before = run_before(choice.key)
    _submit(choice, config, None, before.run.key if before else "")


def _go_on(choice: Choice, stopped: Trained) -> None:
    _submit(choice, stopped.config, stopped, "")


def _submit(choice: Choice, config: TrainingConfig, stopped: Trained | None, before: str) -> None:
    """Train, from the start or from where a run was stopped; `before` names the run to compare with."""
    state.choose("start_problem", "")
    resume = stopped.run.model if stopped else None
    how = config if resume is None else resume.config
    measuring = measuring_workers()
    try:
        job = training_workers().submit(
            lambda stop: train_live(choice.target, how, stop, measuring=measuring, resume=resume),
            expected=None if how.steps else how.seconds,
            left=lambda progress: progress.event.seconds_left,
        )
    except Busy as busy:
        state.choose("start_problem", str(busy))
        return
    keep_training(job)
    state.choose("training_choice", choice)
    state.choose("training_config", config)
    state.choose("training_before", before)
    state.choose("training_earlier", tuple(stopped.kl) if stopped else ())
    state.choose("redrawing", "")


def _trained() -> Trained | None:
    """The run that this page trained last, once it has ended."""
    return state.kept("trained").get(state.value("trained_key"))


def _before() -> Trained | None:
    """The run that the one on the page is compared with."""
    return state.kept("trained").get(state.value("training_before"))


# ---- what is known ----------------------------------------------------------------------------------------------
def _progress(drawn: str, choice: Choice | None, config: TrainingConfig | None) -> None:
    """The run in words, its KL and its loss; runs the page again once when its state changes."""
    view = training_view()
    if view is None or (view.over and (choice is None or choice.key != state.value("training_choice").key)):
        with st.container(key="told_area"):  # what was learned before is in the ledger, and here when chosen again
            st.html(_first_card(choice, config))
        return
    with st.container(key="told_area"):
        st.html(told(view))
    if view.over and _trained() and (lost := not_kept()):
        st.warning(plain(lost))
    _measured(view)
    if view.latest and view.latest.curve:
        with st.container(key="loss_area"):
            loss_report(view.latest.curve, _before())
    trained, before = _trained(), _before()
    if trained and before and view.over:
        with st.container(key="beside_before"):
            comparison(trained, before)
    if view.status != drawn and drawn:
        st.rerun()


def _measured(view: JobView[Progress]) -> None:
    """The live KL, and at the end that of the finished weights."""
    learned, config, trained = state.value("training_choice"), state.value("training_config"), _trained()
    if view.status in ("queued", "failed") or view.latest is None or (view.over and trained is None):
        return
    points = list(trained.kl) if trained else [*state.value("training_earlier", ()), *view.latest.kl]
    waiting = "Measured from time to time while it trains."
    if trained:
        last = final_kl(trained.run, live_question(learned.target, config))
        points += [last] if last else []
        now = measuring(trained.run)
        waiting = now.problem if now and now.problem else "Measuring the weights it ended with."
    kl_report(learned.target, config, points, _before(), waiting)
    if trained and not _unmeasured() and state.value("final kl shown") != trained.run.key:
        state.choose("final kl shown", trained.run.key)
        st.rerun()  # polling ends with the measuring


def _unmeasured() -> Trained | None:
    """The ended run, while its last weights are being measured."""
    trained = _trained()
    if trained is None or (question := live_question(trained.run.target, trained.config)) is None:
        return None
    view = measuring(trained.run)
    return None if known_point(trained.run, question) or (view and view.over) else trained


def _first_card(choice: Choice | None, config: TrainingConfig | None) -> str:
    """Before anything was trained: what starting would do; for a link, what it holds and what it does not."""
    if choice is None or config is None:
        return card("Nothing is training yet", "", [], aside="Loss, KL and samples appear here while a map is learned.")
    settings = dict(settings_in_words(config))
    rows = [(name, settings[name]) for name in ("Objective", "Budget", "Network", "Seed")]
    if question := live_question(choice.target, config):
        rows.append(("Measured on the way", direction_title(question.direction, question.delta)))
    if state.value("train link offers"):
        words = "A link carries how a map is trained and not the map. Start training to have it here."
        return card(f"From a link: {choice.label}", "", rows, aside=words)
    return card(f"{choice.label}, not trained yet", "", rows, aside=_before_it_starts(config))


def _before_it_starts(config: TrainingConfig) -> str:
    """What starting would do."""
    kind = OBJECTIVES[config.objective]
    needs = needs_in_words(kind, config.objective_parameters)
    own = own_drawing(config)
    if own.velocity_only:
        learned = "the velocity of the flow; a jump is then a DDIM step with a learned score"
    elif own.single_time:
        learned = "f(x, t, δ), which takes a point from any time t to the end; samples jump there and are renoised"
    else:
        learned = "f(x, t, s), which takes a point from time t to any earlier time s"
    return f"A small network learns {learned}. It learns from {needs}."


def told(view: JobView[Progress]) -> str:
    """The state of the run as a card: what is happening, how long it takes, on what."""
    if view.status == "queued":
        return card("Queued", f"Place {view.place}", [], aside=_until_it_starts(view.wait))
    if view.status == "failed":
        return card("Training could not go on", "", [], aside=view.problem)
    if view.latest is None:
        words = f"Stopped before it began. {view.ended}".strip() if view.over else "Starting."
        return card("Stopped" if view.over else "Training", "", [], aside=words)
    event = view.latest.event
    if view.status == "paused":
        left = "" if event.seconds_left is None else _time_left(event.seconds_left)
        words = "Paused; the time left stands still. It goes on exactly where it was."
        return card("Paused", f"step {event.step:,}", _rows(event), beside=left, aside=words)
    if view.over and not event.step:
        return card("Stopped", "", _rows(event), aside=f"{view.ended} {NOTHING}".strip())
    if view.over:
        title = {"diverged": "Diverged", "finished": "Finished"}.get(event.status, "Stopped")
        figure, beside = f"{event.seconds:.0f} s", f"{event.step:,} steps"
    elif event.status == "preparing":
        left = "" if event.seconds_left is None else _time_left(event.seconds_left)
        return card("Preparing", left, _rows(event), aside=f"{event.message[:1].upper()}{event.message[1:]}.")
    else:
        title, figure = "Training", _time_left(event.seconds_left)
        beside = f"step {event.step:,}" + (f" of {event.steps:,}" if event.steps else "")
    aside = event.message if event.status == "diverged" else ""
    if view.status == "stopped" and event.status == "training":
        aside = f"{view.ended or 'Stopped early.'} The weights of step {event.step:,} are kept."
    if view.latest.memorisation is not None:
        aside = f"{aside} {_memory(view.latest.memorisation)}".strip()
    return card(title, figure, _rows(event), beside=beside, aside=aside)


def _until_it_starts(wait: float | None) -> str:
    """What a place in the queue means in time, where that can be told."""
    if wait is None or wait < 1:
        return "Training starts as soon as a worker is free."
    return f"Training starts in about {wait:.0f} s." if wait < 100 else f"Training starts in about {wait / 60:.0f} min."


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
