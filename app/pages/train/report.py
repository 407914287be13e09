"""What is known of a run while it is learned and after: its KL, its loss, and how it compares with the one before."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import state
from app.background.jobs import JobView
from app.background.pools import measuring_workers
from app.background.task import Task
from app.figures.log_axis import Interval, on_axis, reach, whole_decades
from app.figures.loss import BEFORE, live_kl_chart, loss_chart
from app.figures.theme import theme
from app.kl.question import SEED, Measurement, Question, measure, measurement
from app.quoting import escape, plain
from app.runs.library import Run
from app.training.job import LiveKL, TrainingProgress, live_question
from app.training.previous import Trained, changes
from app.training.registry import Training
from app.ui.cards import bare_card, direction_title, in_words, kl_card, number, percent, resolved, table
from cmcore.divergences.estimate import DATA_MODEL, Estimate
from cmcore.theory import initialisation_kl

THIS = "this run"
NOISY = 1 / 3
"""Share of the KL of noise itself, or of samples outside every mode, from which a run is said to be still noise."""
NOISE_POINTS = 4_000
FINAL: Task[Measurement] = Task("final kl", measuring_workers, lease=30.0)
"""The measurement of the last weights, by run."""


# ---- the KL of the finished run ---------------------------------------------------------------------------------
def final_kl(run: Run, question: Question) -> LiveKL | None:
    """The KL of the finished weights, from as many points as on the other pages, which have it then too.

    Starts measuring it where it is not measured; None until it is.
    """
    if measured := measurement(run, question):
        return LiveKL(run.model.steps, run.model.seconds, measured.estimate)
    FINAL.ensure(run.key, lambda _: measure(run, question))
    return None


def unmeasured(trained: Trained | None) -> bool:
    """Whether this is an ended run whose last weights are being measured."""
    if trained is None or (question := live_question(trained.run.target, trained.config)) is None:
        return False
    view = FINAL.view(trained.run.key)
    return measurement(trained.run, question) is None and not (view and view.over)


# ---- what is shown ----------------------------------------------------------------------------------------------
def kl_of_training(about: Training, view: JobView[TrainingProgress], trained: Trained | None) -> None:
    """While it trains the KL of the last weights that were measured, and of which step; at the end that of the run.

    Args:
        about: the training.
        view: how it stands.
        trained: the run it left, once it has ended.
    """
    question = live_question(about.choice.target, about.config)
    if question is None or view.status in ("queued", "failed") or view.latest is None or (view.over and not trained):
        return
    points = [*about.earlier_kl, *view.latest.kl]
    last, waiting = (points[-1] if points else None), "Measured from time to time while it trains."
    if trained is not None:
        last = final_kl(trained.run, question)
        points += [last] if last else []
        measuring = FINAL.view(trained.run.key)
        waiting = (measuring and measuring.problem) or "Measuring the weights it ended with."
    with st.container(key="live_kl"):
        st.html(_kl_card(last, question, waiting, final=trained is not None))
        if trained and last and (words := still_noise(trained.run, last.estimate)):
            st.warning(plain(f"{words} Continue training."))
    if len(points) > 1:
        _kl_chart(points, about.before, question)
    if trained and not unmeasured(trained) and state.value("final kl shown") != trained.run.key:
        state.set_value("final kl shown", trained.run.key)
        st.rerun()  # polling ends with the measuring


def _kl_card(point: LiveKL | None, question: Question, waiting: str, *, final: bool) -> str:
    """The number with the step it belongs to, or why there is none."""
    title = direction_title(question.direction, question.grid.delta)
    if point is None:
        return bare_card(title, waiting)
    of = f"step {point.step:,}" + (", the final weights" if final else f", {point.seconds:.0f} s")
    how = [("Checkpoint", of), ("Sampled in", drawn_in_words(question))]
    return kl_card(point.estimate, stopped=None, how=how)


def still_noise(run: Run, estimate: Estimate) -> str:
    """A sentence where the samples are not far from the noise that they are made of; else nothing."""
    if not estimate.trusted:
        return ""
    off = estimate.diagnostics.get("off_mode_mass", 0.0)
    outside = f"{percent(off)} of them lie outside every mode" if off >= NOISY else ""
    if estimate.direction == DATA_MODEL:
        noise = _kl_of_noise(run.key, estimate.delta, run)
        if estimate.value < NOISY * noise:
            return ""
        return (
            f"These samples are still much like noise: {outside or f'noise itself has {number(noise, 2)} nats here'}."
        )
    return f"These samples are still much like noise: {outside}." if outside else ""


@st.cache_data(max_entries=256, show_spinner=False)
def _kl_of_noise(key: str, delta: float, _run: Run) -> float:
    """KL(p_δ‖N(0, I))."""
    return initialisation_kl(_run.target, delta, seed=SEED, n=NOISE_POINTS).value


def _kl_chart(points: Sequence[LiveKL], before: Trained | None, question: Question) -> None:
    runs = {THIS: points, BEFORE: before.kl if before else ()}
    limits = whole_decades(reach(_drawn(point.estimate) for of_run in runs.values() for point in of_run))
    rows = [_row(point, run, limits[0]) for run, of_run in runs.items() for point in of_run]
    title = direction_title(question.direction, question.grid.delta)
    with st.container(key="live_kl_area"):
        st.html('<h2 class="eyebrow">KL while it trains</h2>')
        _chart(pd.DataFrame(rows), live_kl_chart(theme(st.context.theme.type), title, limits), "live_kl_chart", 170)


def drawn_in_words(question: Question) -> str:
    """How the samples are drawn that the KL is about."""
    if question.sampler != "renoise":
        return f"{question.calls} jumps"
    share = question.renoise
    eta = "t" if share == 1 else "t/2" if share == 0.5 else f"{share:g} t"
    return f"{question.calls} jumps, renoised, η = {eta}"


def _drawn(estimate: Estimate) -> Interval:
    """The interval of an estimate around what is drawn of it: what is not resolved stands at its floor."""
    shown = max(estimate.value, estimate.floor)
    return shown, estimate.low, max(estimate.high, shown)


def _row(point: LiveKL, run: str, foot: float) -> dict[str, object]:
    estimate = point.estimate
    shown, low, high = (on_axis(end, foot) for end in _drawn(estimate))
    return {
        "step": point.step, "kl": shown, "from": low, "to": high, "low": estimate.low, "high": estimate.high,
        "floor": estimate.floor, "n": estimate.n, "run": run, "resolved": resolved(estimate),
    }  # fmt: skip


def loss_report(curve: Sequence[tuple[int, float]], before: Trained | None) -> None:
    """Loss against steps, with that of the run before."""
    runs = {THIS: curve, BEFORE: before.curve if before else ()}
    above_zero = [(step, loss, run) for run, points in runs.items() for step, loss in points if loss > 0]
    st.html(f'<h2 class="eyebrow">Loss{"; dashed, the run before" if before else ""}</h2>')
    rows = pd.DataFrame(above_zero, columns=["step", "loss", "run"])
    _chart(rows, loss_chart(theme(st.context.theme.type)), "loss", 170)


def _chart(rows: pd.DataFrame, chart: dict[str, object], key: str, height: int) -> None:
    """A vega chart keeps its place in the page while its data change; plotly would blink."""
    st.vega_lite_chart(rows, chart, key=key, height=height)


def comparison(now: Trained, before: Trained) -> None:
    """This run beside the one before: what was changed, and what came of it."""
    rows = [*changes(now.config, before.config), ("KL", _last(now), _last(before))]
    losses = [number(trained.curve[-1][1]) if trained.curve else "—" for trained in (now, before)]
    rows.append(("Loss", losses[0], losses[1]))
    rows.append(("Steps", f"{now.run.model.steps:,}", f"{before.run.model.steps:,}"))
    cells = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(new)}</td><td>{escape(old)}</td></tr>"
        for name, new, old in rows
    )
    title = "This run and the one before"
    st.html(f'<h2 class="eyebrow">{title}</h2>{table(title, ("", "this run", "before"), cells)}')


def _last(trained: Trained) -> str:
    """The KL of its final weights."""
    question = live_question(trained.run.target, trained.config)
    measured = measurement(trained.run, question) if question else None
    return in_words(measured.estimate) if measured else "not measured yet"
