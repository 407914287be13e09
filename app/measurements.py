"""KL of a run for every N: precomputed where the run ships with curves, measured in the background otherwise."""

import csv
import io
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise

import streamlit as st

import cmcore as cm
from app import state
from app.figures.kl_curve import Line, Point
from app.jobs import Busy, JobView, Workers, freeze_imports
from app.runs import Run
from app.scene import STEPS
from cmcore.config import SamplerConfig
from cmcore.divergences import kl_to_noised
from cmcore.divergences.estimate import DATA_MODEL, Direction, Estimate
from cmcore.experiments import kl_points
from cmcore.samplers import SAMPLERS
from cmcore.theory import bound_a, initialisation_kl

__all__ = ["DIRECTIONS", "Measured", "as_csv", "ddim_calls", "initialisation", "lines", "measured", "stopping"]

DIRECTIONS: tuple[Direction, ...] = ("KL(model‖data)", "KL(data‖model)")
LANDINGS = 1 << 17
"""Landings behind an estimate of a renoised draw: a quarter of the estimator's default, since somebody is waiting."""
SEED = 2
LEASE = 8.0
"""Seconds without a look after which measuring stops; a page that comes back starts it again where it was."""
BASELINES = ("ddim", "heun")
"""Samplers that take steps with the exact score: nothing learned."""
BASELINE_CALLS = (*STEPS, 32)
BOUND_POINTS = 4_096
"""Points of p_t at which the map's error is measured, for every jump."""


@dataclass(frozen=True)
class Measured:
    """What is known so far of one run with one sampler in one direction.

    Attributes:
        estimates: by N.
        baselines: exact-score samplers by name, estimates by calls of the score.
        bound: Bound A by N, where it applies.
        waiting: a sentence while something is still being measured; empty once all is there.
        problem: a sentence when measuring failed.
    """

    estimates: Mapping[int, Estimate] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[int, Estimate]] = field(default_factory=dict)
    bound: Mapping[int, float] = field(default_factory=dict)
    waiting: str = ""
    problem: str = ""


def measured(run: Run, config: SamplerConfig, direction: Direction) -> Measured:
    """What is known now; starts measuring in the background what is not."""
    known = _precomputed(run, config, direction)
    if not _missing(known, config, direction):
        return known
    key = f"kl:{run.key}:{config.model_copy(update={'steps': 1, 'times': None}).key}:{direction}"
    known = state.kept("measured").get(key, known)
    job = state.job(key)
    if job is None or job.status == "stopped":
        state.drop_jobs("kl:", unfinished=True)
        try:
            work = partial(_measure, run, config, direction, known)
            job = measuring_workers().submit(work, lease=LEASE)
        except Busy as busy:
            return replace(known, problem=str(busy))
        state.keep_job(key, job)
    state.kept("measured")[key] = told = _told(measuring_workers().view(job), known)
    return told


@st.cache_resource(show_spinner=False)
def measuring_workers() -> Workers:
    """One thread for everybody's estimates: they are short, and training has its own."""
    freeze_imports()
    return Workers("measuring", workers=1)


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
    for words, part in _parts(run, config, direction, known):
        if stop.is_set():
            return
        yield replace(known, waiting=words)
        known = part(known)
    yield replace(known, waiting="")


def _parts(
    run: Run, config: SamplerConfig, direction: Direction, known: Measured
) -> Iterator[tuple[str, Callable[[Measured], Measured]]]:
    """What is still to be measured: in words, and as a function that adds it to what is known."""
    shared = {"grid": config.grid, "horizon": config.horizon, "delta": config.delta, "direction": direction}
    landings = LANDINGS if config.sampler == "renoise" else None
    drawn = {**shared, "sampler": config.sampler, "renoise": config.renoise, "n": landings}

    def model(n: int, known: Measured) -> Measured:
        point = next(kl_points(run.model, run.target, [n], seed=SEED, **drawn))
        return replace(known, estimates={**known.estimates, n: point.estimate})

    def baseline(name: str, calls: int, known: Measured) -> Measured:
        points = kl_points(run.target, run.target, [calls], seed=SEED, sampler=name, **shared)
        return _with_baseline(known, name, {point.calls: point.estimate for point in points})

    def bound(n: int, known: Measured) -> Measured:
        grid = cm.make_grid(config.grid, n, horizon=config.horizon, delta=config.delta)
        told = bound_a(run.model, run.target, grid, seed=SEED, renoise=config.renoise, n=BOUND_POINTS)
        return replace(known, bound={**known.bound, n: told.total.value})

    for n in sorted(STEPS, key=lambda n: n != config.steps):
        if n not in known.estimates:
            yield f"Measuring N = {n}.", partial(model, n)
    for name in BASELINES:
        for calls in BASELINE_CALLS:
            if calls not in known.baselines.get(name, {}):
                yield f"Measuring {SAMPLERS[name].label}.", partial(baseline, name, calls)
    for n in STEPS:
        if _bounded(config, direction) and n not in known.bound:
            yield "Evaluating Bound A.", partial(bound, n)


def _bounded(config: SamplerConfig, direction: Direction) -> bool:
    """Whether Bound A speaks of what is measured: renoised draws, and the divergence seen from the data."""
    return config.sampler == "renoise" and direction == DATA_MODEL


def _missing(known: Measured, config: SamplerConfig, direction: Direction) -> bool:
    bound = _bounded(config, direction) and not set(STEPS) <= set(known.bound)
    return bound or not set(STEPS) <= set(known.estimates) or not set(BASELINES) <= set(known.baselines)


def _with_baseline(known: Measured, name: str, points: Mapping[int, Estimate]) -> Measured:
    return replace(known, baselines={**known.baselines, name: {**known.baselines.get(name, {}), **points}})


def _precomputed(run: Run, config: SamplerConfig, direction: Direction) -> Measured:
    """What the run ships with for this sampler, δ and direction."""
    fitting = [curve for curve in run.curves.values() if _fits(curve, config, direction)]
    known = Measured()
    for curve in fitting:
        points = dict(zip(curve.calls, curve.estimates, strict=True))
        if curve.sampler == config.sampler:
            known = replace(known, estimates={**known.estimates, **points})
        elif curve.sampler in BASELINES:
            known = _with_baseline(known, curve.sampler, points)
        elif curve.sampler == "bound_a":
            known = replace(known, bound={calls: estimate.value for calls, estimate in points.items()})
    return known


def _fits(curve: cm.Curve, config: SamplerConfig, direction: Direction) -> bool:
    wanted = {"grid": config.grid, "horizon": config.horizon, "delta": config.delta}
    if curve.sampler in ("renoise", "bound_a"):
        wanted["renoise"] = config.renoise
    asked = all(estimate.direction == direction for estimate in curve.estimates)
    return asked and all(curve.config.get(name) == value for name, value in wanted.items())


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
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        ["curve", "network_calls", *(column.name for column in fields(Estimate) if column.name != "diagnostics")]
    )
    curves = {"learned map": measured.estimates, "learned map at moved times": moved or {}, **measured.baselines}
    for label, estimates in curves.items():
        for calls, estimate in sorted(estimates.items()):
            row = {column.name: getattr(estimate, column.name) for column in fields(Estimate)}
            writer.writerow([label, calls, *(value for name, value in row.items() if name != "diagnostics")])
    return out.getvalue()
