"""What is known of a run while it is learned and after: its KL, its loss, and how it compares with the one before."""

from collections.abc import Sequence
from html import escape

import pandas as pd
import streamlit as st

import cmcore as cm
from app import state
from app.again import Trained, changes
from app.cards import bare_card, direction_title, in_words, kl_card, number, resolved, table
from app.estimates import Question, known_point, measure_point
from app.figures.loss import BEFORE, live_kl_chart, loss_chart
from app.figures.theme import theme
from app.jobs import Busy, JobView
from app.live import LiveKL, live_question
from app.measurements import measuring_workers
from app.runs import Run
from cmcore.config import TrainingConfig

__all__ = ["comparison", "final_kl", "kl_report", "loss_report", "measuring"]

THIS = "this run"
MEASURED = 30.0
"""Seconds without a look after which the last measurement is given up."""


# ---- the KL of the finished run ---------------------------------------------------------------------------------
def final_kl(run: Run, question: Question | None) -> LiveKL | None:
    """The KL of the finished weights, from as many points as on the other pages, which know it then too.

    Starts measuring when it is not known; None until it is.
    """
    if question is None:
        return None
    if known := known_point(run, question):
        return LiveKL(run.model.steps, run.model.seconds, known.estimate)
    key = f"final kl:{run.key}"
    if (job := state.job(key)) is None or job.status == "stopped":  # given up while nobody looked
        state.drop_jobs("final kl:")
        try:
            job = measuring_workers().submit(lambda stop: iter([measure_point(run, question)]), lease=MEASURED)
        except Busy:
            return None  # the next look asks again
        state.keep_job(key, job)
    return None


def measuring(run: Run | None) -> JobView | None:
    """The measurement under way."""
    job = None if run is None else state.job(f"final kl:{run.key}")
    return None if job is None else measuring_workers().view(job)


# ---- what is shown ----------------------------------------------------------------------------------------------
def kl_report(
    target: cm.Target, config: TrainingConfig, points: Sequence[LiveKL], before: Trained | None, waiting: str
) -> None:
    """The KL of the last weights measured as a card, and all of them as a small chart.

    Args:
        target, config: what is learned, and how.
        points: what was measured of this run.
        before: the run to compare with.
        waiting: what is said in place of a number.
    """
    question = live_question(target, config)
    if question is None:
        return
    title = direction_title(question.direction, question.delta)
    with st.container(key="live_kl"):
        if points:
            last = points[-1]
            st.html(kl_card(last.estimate, stopped=None, how=[("Drawn in", drawn_in_words(question)), _when(last)]))
        else:
            st.html(bare_card(title, waiting))
    if len(points) > 1:
        earlier = before.kl if before else ()
        rows = [_row(point, THIS) for point in points] + [_row(point, BEFORE) for point in earlier]
        with st.container(key="live_kl_area"):
            st.html('<h2 class="eyebrow">KL while it trains</h2>')
            _chart(pd.DataFrame(rows), live_kl_chart(theme(st.context.theme.type), title), "live_kl_chart", 170)


def drawn_in_words(question: Question) -> str:
    """How the samples are drawn that the KL is about."""
    if question.sampler != "renoise":
        return f"{question.calls} jumps"
    share = question.renoise
    kept = "t" if share == 1 else "t/2" if share == 0.5 else f"{share:g} t"
    return f"{question.calls} jumps, renoised, η = {kept}"


def _when(point: LiveKL) -> tuple[str, str]:
    return "Weights of", f"step {point.step:,}, {point.seconds:.0f} s"


def _row(point: LiveKL, run: str) -> dict[str, object]:
    estimate = point.estimate
    shown = max(estimate.value, estimate.floor, 1e-9)
    return {
        "step": point.step, "kl": shown, "low": max(estimate.low, shown / 5), "high": max(estimate.high, shown),
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
    question = live_question(trained.run.target, trained.config)
    known = known_point(trained.run, question) if question else None
    if known is not None:
        return in_words(known.estimate)
    return in_words(trained.kl[-1].estimate) if trained.kl else "not measured"
