"""What is known of the curves of KL, for the figure, the table, the CSV and in words."""

import math
from collections.abc import Hashable, Mapping, Sequence

from app.figures.kl_curve import Line, Point
from app.figures.kl_curves import DASHES, SYMBOLS
from app.kl.comparison import Asked, View
from app.kl.curve import calls_for
from app.kl.question import BOUND_POINTS, SEED, Measurement, Question, known_bound, known_point
from app.quoting import escape
from app.ui.cards import number, resolved
from cmcore import spreadsheet
from cmcore.divergences.estimate import ESTIMATORS, Estimate

SPELLED = {">": "more than", "≈": "about", "≤": "at most"}


# ---- the figure -------------------------------------------------------------------------------------------------
def lines(view: View, curves: Sequence[Asked]) -> list[Line]:
    """Every curve with its points that may be shown as numbers, and Bound A beside what it bounds."""
    drawn, count = [], {"model": 0, "baseline": 0}
    for curve in curves:
        role = "model" if curve.learned else "baseline"
        order = count[role]
        count[role] += 1
        points = [_point(curve, question) for question in curve.questions]
        shown = tuple(point for point in points if point is not None)
        style = DASHES[order % len(DASHES)], SYMBOLS[order % len(SYMBOLS)]
        if shown:
            drawn.append(Line(curve.label, role, shown, *style))
        bound = _bound(curve) if curve.learned and view.bounded else ()
        if bound:
            label = "Bound A" if len(view.runs) == 1 else f"Bound A, {curve.label}"
            drawn.append(Line(label, "bound", bound, *style))
    return drawn


def _point(curve: Asked, question: Question) -> Point | None:
    told = known_point(curve.run, question)
    if told is None or not _drawable(told.estimate):
        return None
    e = told.estimate
    about = "\n".join(words for words in (_seeds(curve, told), e.note) if words)
    return Point(told.calls, e.value, e.low, e.high, e.floor, e.n, _estimator(e), about)


def _drawable(estimate: Estimate) -> bool:
    return estimate.trusted and math.isfinite(estimate.value)


def _bound(curve: Asked) -> tuple[Point, ...]:
    """Bound A by N; hover says its parts."""
    points = []
    for question in curve.questions:
        told = known_bound(curve.run, question)
        if told is None or not math.isfinite(told.total.value):
            continue
        parts = [f"jump {k + 1}: {number(jump.value)}" for k, jump in enumerate(told.jumps)]
        rows = ["  ".join(parts[k : k + 4]) for k in range(0, len(parts), 4)]
        about = "\n".join([f"initialisation: {number(told.initialisation.value)}", *rows])
        total = told.total
        points.append(Point(question.calls, total.value, total.low, total.high, estimator="Bound A", about=about))
    return tuple(points)


def _seeds(curve: Asked, told: Measurement) -> str:
    seed = _training_seed(curve)
    training = "" if seed is None else f"training seed {seed}, "
    return f"{training}noise seed {told.seed}, T = {told.horizon:g}"


def _training_seed(curve: Asked) -> int | None:
    """Of the run, where anything learned enters the curve."""
    learned = curve.learned or curve.questions[0].score == "model"
    return curve.run.model.config.seed if learned else None


def _estimator(estimate: Estimate) -> str:
    known = ESTIMATORS.get(estimate.estimator)
    return known.label if known else estimate.estimator.replace("_", " ")


# ---- in words ---------------------------------------------------------------------------------------------------
def reading(drawn: Sequence[Line]) -> str:
    """Where each run stands, and how many calls the first baselines need for the same."""
    words = []
    baselines = [line for line in drawn if line.role == "baseline"][:3]
    for line in drawn:
        if line.role != "model":
            continue
        lost = [p for p in line.points if p.value <= p.floor]
        if lost:
            floor = number(lost[0].floor, 2)
            least = f"the smallest KL that its estimator detects, {floor} nats"
            words.append(f"{line.label} is below {least}, at {_calls(lost[0])}.")
            continue
        best = min(line.points, key=lambda p: p.value)
        words.append(f"{line.label} is closest at {_calls(best)}: {number(best.value)} nats.")
        needs = [(b.label, calls_for({p.calls: p.value for p in b.points}, best.value)) for b in baselines]
        told = [f"{_named(label)} needs {_spelled(more)}" for label, more in needs if more]
        words += [f"For the same, {'; '.join(told)}."] if told else []
    return " ".join(words)


def _named(label: str) -> str:
    """A legend's "DDIM, exact score" inside a sentence."""
    name, _, score = label.partition(", ")
    return f"{name} ({score})" if score else name


def _spelled(calls: str) -> str:
    """A table's "> 16 calls" inside a sentence."""
    sign, _, count = calls.partition(" ")
    return f"{SPELLED[sign]} {count}"


def _calls(point: Point) -> str:
    return "1 call" if point.calls == 1 else f"{point.calls} calls"


# ---- tables -----------------------------------------------------------------------------------------------------
def as_rows(view: View, curves: Sequence[Asked], failed: Mapping[Hashable, str]) -> str:
    """A table row for every curve: values with ±, and a dash with its reason where there is no number to show."""
    rows = []
    for curve in curves:
        by_n = {question.calls: question for question in curve.questions}
        cells = "".join(f"<td>{_cell(curve, by_n.get(n), failed)}</td>" for n in view.steps)
        rows.append(f"<tr><th scope='row'>{escape(curve.label)}</th>{cells}</tr>")
    return "".join(rows)


def _cell(curve: Asked, question: Question | None, failed: Mapping[Hashable, str]) -> str:
    if question is None:
        return ""
    told = known_point(curve.run, question)
    if told is None:
        return escape(failed.get(question.of(curve.run), "…"))
    e = told.estimate
    calls = "" if told.calls == question.calls else f"<br>{told.calls} calls"
    if not _drawable(e):
        return f"— {escape(e.note)}{calls}"
    if not resolved(e):
        return f"&lt; {number(e.floor, 2)}{calls}"
    half = max(e.high - e.value, e.value - e.low)
    return f"{number(e.value)} ± {number(half, 2)}{calls}"


COLUMNS = (
    "curve", "run", "target", "sampler", "score", "grid", "T", "h", "eta_share", "N", "network_calls", "value", "low",
    "high", "direction", "delta", "estimator", "n", "floor", "trusted", "note", "noise_seed", "training_seed",
)  # fmt: skip


def as_csv(view: View, curves: Sequence[Asked]) -> str:
    """Every point that is known, trusted or not, with all that determines it; Bound A in rows of its own."""
    rows = []
    for curve in curves:
        for question in curve.questions:
            told = known_point(curve.run, question)
            if told is not None:
                about = _about(curve, question, told.horizon, told.calls)
                rows.append([*about, *_known(told.estimate), told.seed, _training_seed(curve)])
    for curve in (curve for curve in curves if curve.learned and view.bounded):
        for question in curve.questions:
            bound = known_bound(curve.run, question)
            if bound is not None:
                about = _about(curve, question, bound.chain.grid.horizon, question.calls)
                total = [bound.total.value, bound.total.low, bound.total.high]
                how = [question.direction, question.delta, "bound_a", BOUND_POINTS, "", "", "", SEED]
                rows.append([f"Bound A, {about[0]}", *about[1:], *total, *how, _training_seed(curve)])
    return spreadsheet.as_csv(COLUMNS, rows)


def _about(curve: Asked, question: Question, horizon: float, calls: int) -> list[object]:
    score = "" if curve.learned else question.score
    step = "" if question.step is None else question.step
    grid = question.grid if question.step is None else "growing_horizon"
    eta = question.renoise if question.sampler == "renoise" else ""
    target = curve.run.target.name
    return [
        curve.label, curve.run.key, target, question.sampler, score, grid, horizon, step, eta, question.calls, calls,
    ]  # fmt: skip


def _known(e: Estimate) -> list[object]:
    return [e.value, e.low, e.high, e.direction, e.delta, e.estimator, e.n, e.floor, e.trusted, e.note]
