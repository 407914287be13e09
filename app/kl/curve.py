"""KL of a run for every N: precomputed where the run ships with curves, measured in the background otherwise."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise

import streamlit as st

from app import state
from app.background.jobs import Busy, JobView
from app.background.pools import measuring_workers
from app.figures.kl_curve import Line, Point
from app.kl.question import SEED, Question, first_look, known_bound, known_point, measure_bound, measure_point
from app.runs.library import Run
from app.stage.scene import STEPS
from cmcore import spreadsheet
from cmcore.config import SamplerConfig
from cmcore.divergences import kl_to_noised
from cmcore.divergences.estimate import DATA_MODEL, Direction, Estimate
from cmcore.samplers import SAMPLERS
from cmcore.theory import initialisation_kl

DIRECTIONS: tuple[Direction, ...] = ("KL(model‖data)", "KL(data‖model)")
LEASE = 8.0
"""Seconds without a look after which measuring stops; a page that comes back starts it again where it was."""
BASELINES = ("ddim", "heun")
"""Samplers that take steps with the exact score: nothing learned."""
BASELINE_CALLS = (*STEPS, 32)


@dataclass(frozen=True)
class Measured:
    """What is known so far of one run with one sampler in one direction.

    Attributes:
        estimates: by N.
        baselines: exact-score samplers by name, estimates by calls of the score.
        bound: Bound A by N, where it applies.
        first: of the N on screen from few samples, until its own estimate is there.
        waiting: a sentence while something is still being measured; empty once all is there.
        problem: a sentence when measuring failed.
    """

    estimates: Mapping[int, Estimate] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[int, Estimate]] = field(default_factory=dict)
    bound: Mapping[int, float] = field(default_factory=dict)
    first: Estimate | None = None
    waiting: str = ""
    problem: str = ""


def measured(run: Run, config: SamplerConfig, direction: Direction) -> Measured:
    """What is known now; starts measuring in the background what is not."""
    known = known_now(run, config, direction)
    if not any(_parts(run, config, direction)):
        return known
    key = _job_of(run, config, direction)
    job = state.job(key)
    if job is None or job.status == "stopped":
        state.drop_jobs("kl:", unfinished=True)
        try:
            job = measuring_workers().submit(partial(_measure, run, config, direction, known), lease=LEASE)
        except Busy as busy:
            return replace(known, problem=str(busy))
        state.keep_job(key, job)
    return _told(measuring_workers().view(job), known)


def leave_off_others(run: Run, config: SamplerConfig, direction: Direction) -> None:
    """End what is being measured for another question than this one."""
    state.drop_jobs("kl:", unfinished=True, but=_job_of(run, config, direction))


def _job_of(run: Run, config: SamplerConfig, direction: Direction) -> str:
    return f"kl:{run.key}:{config.model_copy(update={'steps': 1, 'times': None}).key}:{direction}"


def _told(view: JobView[Measured], known: Measured) -> Measured:
    known = view.latest or known
    if view.status == "failed":
        return replace(known, problem=view.problem, waiting="")
    if view.status == "queued":
        return replace(known, waiting=f"Waiting for a worker, place {view.place} in the queue.")
    if view.over:
        return replace(known, waiting="")
    return replace(known, waiting=known.waiting or "Measuring.")


def _measure(
    run: Run, config: SamplerConfig, direction: Direction, known: Measured, stop: threading.Event
) -> Iterator[Measured]:
    """Measure what is not known, the N on screen first; what is known so far after each part."""
    question = question_of(config, direction, config.sampler, config.steps)
    if known_point(run, question) is None and not stop.is_set():
        yield replace(known, waiting="Quick estimate.")
        known = replace(known, first=first_look(run, question))
    for words, part in _parts(run, config, direction):
        if stop.is_set():
            return
        yield replace(known, waiting=words)
        part()
        known = known_now(run, config, direction)
    yield replace(known, waiting="")


def _parts(run: Run, config: SamplerConfig, direction: Direction) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is still to be measured, in words and as a function that does it."""
    for n in sorted(STEPS, key=lambda n: n != config.steps):
        question = question_of(config, direction, config.sampler, n)
        if known_point(run, question) is None:
            yield f"Measuring N = {n}.", partial(measure_point, run, question)
    for name in BASELINES:
        for calls in BASELINE_CALLS:
            question = question_of(config, direction, name, calls)
            if question.jumps and known_point(run, question) is None:
                yield f"Measuring {SAMPLERS[name].label}.", partial(measure_point, run, question)
    for n in STEPS:
        question = question_of(config, direction, config.sampler, n)
        if _bounded(config, direction) and known_bound(run, question) is None:
            yield "Evaluating Bound A.", partial(measure_bound, run, question)


def question_of(config: SamplerConfig, direction: Direction, sampler: str, calls: int) -> Question:
    shared = {"grid": config.grid, "horizon": config.horizon, "delta": config.delta, "renoise": config.renoise}
    return Question(sampler, calls, direction, **shared)


def _bounded(config: SamplerConfig, direction: Direction) -> bool:
    """Whether Bound A speaks of what is measured: renoised draws, and the divergence seen from the data."""
    return config.sampler == "renoise" and direction == DATA_MODEL


def known_now(run: Run, config: SamplerConfig, direction: Direction) -> Measured:
    """All that is known: what the run ships with, and what was measured for anybody."""
    estimates, baselines, bound = {}, {}, {}
    for n in STEPS:
        question = question_of(config, direction, config.sampler, n)
        if point := known_point(run, question):
            estimates[n] = point.estimate
        if _bounded(config, direction) and (told := known_bound(run, question)):
            bound[n] = told.total.value
    for name in BASELINES:
        points = [known_point(run, q) for n in BASELINE_CALLS if (q := question_of(config, direction, name, n)).jumps]
        if any(points):
            baselines[name] = {point.calls: point.estimate for point in points if point}
    return Measured(estimates, baselines, bound)


@st.cache_data(max_entries=128, show_spinner=False)
def initialisation(run_key: str, horizon: float, _run: Run) -> float:
    """KL(p_T‖γ) in nats: what starting from N(0, I) costs."""
    return initialisation_kl(_run.target, horizon, seed=SEED).value


@st.cache_data(max_entries=128, show_spinner=False)
def stopping(run_key: str, delta: float, _run: Run) -> float:
    """KL(p₀‖p_δ) in nats: how far the law that samples are compared with is from the data itself."""
    return kl_to_noised(_run.target, delta, seed=SEED).value


# ---- for the figure ---------------------------------------------------------------------------------------------
def lines(measured: Measured, moved: Mapping[int, Estimate] | None = None) -> list[Line]:
    """The curves of the chart; the estimates at moved times stand beside the curve of the named grid."""
    drawn = []
    model = tuple(_point(n, e) for n, e in sorted(measured.estimates.items()) if e.trusted)
    if model:
        drawn.append(Line("learned map", "model", model))
    beside = tuple(_point(n, e) for n, e in sorted((moved or {}).items()) if e.trusted)
    if beside:
        drawn.append(Line("moved times", "model", beside, symbol="diamond"))
    for (name, estimates), dash in zip(measured.baselines.items(), ("dot", "dash"), strict=False):
        points = tuple(_point(calls, e) for calls, e in sorted(estimates.items()) if e.trusted and calls <= max(STEPS))
        if points:
            drawn.append(Line(SAMPLERS[name].label.split(",")[0], "baseline", points, dash))
    if measured.bound:
        bound = tuple(Point(n, value, value, value) for n, value in sorted(measured.bound.items()))
        drawn.append(Line("Bound A", "bound", bound, "dashdot"))
    return drawn


def _point(calls: int, estimate: Estimate) -> Point:
    return Point(calls, estimate.value, estimate.low, estimate.high, estimate.floor, estimate.n, estimate.estimator)


def ddim_calls(measured: Measured, value: float) -> str:
    """How many calls exact-score DDIM needs for the same KL, read off its curve; empty where the curve cannot say."""
    curve = measured.baselines.get("ddim", {})
    return calls_for({calls: estimate.value for calls, estimate in curve.items() if estimate.trusted}, value)


def calls_for(curve: Mapping[int, float], value: float) -> str:
    """Where a falling curve reaches `value`, by straight lines on log–log axes: "≈ 25 calls", "> 32 calls", or ""."""
    points = sorted((calls, level) for calls, level in curve.items() if level > 0)
    if not points or value <= 0:
        return ""
    if value >= points[0][1]:
        return f"≤ {_calls(points[0][0])}"
    for (left, above), (right, below) in pairwise(points):
        if below <= value <= above and above > below:
            share = math.log(above / value) / math.log(above / below)
            return f"≈ {_calls(round(left * (right / left) ** share))}"
    return f"> {_calls(points[-1][0])}"


def _calls(n: int) -> str:
    return "1 call" if n == 1 else f"{n} calls"


def as_csv(measured: Measured, moved: Mapping[int, Estimate] | None = None) -> str:
    """Every estimate on the chart as a table, trusted or not; `moved` are those at moved times."""
    columns = [column.name for column in fields(Estimate) if column.name != "diagnostics"]
    curves = {"learned map": measured.estimates, "learned map at moved times": moved or {}, **measured.baselines}
    rows = [
        [label, calls, *(getattr(estimate, column) for column in columns)]
        for label, estimates in curves.items()
        for calls, estimate in sorted(estimates.items())
    ]
    return spreadsheet.as_csv(["curve", "network_calls", *columns], rows)
