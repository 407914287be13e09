"""The curves of KL as they are measured so far, for the figure, the table, the CSV and in words."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

from app.figures.kl_curve import DASHES, SYMBOLS, Line, Point, look_of
from app.kl.curves import RunCurve, View
from app.kl.question import (
    BOUND_POINTS,
    GROWING,
    SEED,
    Measurement,
    Question,
    coarse_measurement,
    measurement,
    paper_bound_at,
    problem,
)
from app.quoting import escape
from app.ui.cards import beside_value, number, resolved
from cmcore import spreadsheet
from cmcore.divergences.estimate import ESTIMATORS, Estimate
from cmcore.theory import BoundA, PaperBound

COARSE = "A first value from few samples; a better one is being measured."
SPELLED = {">": "more than", "≈": "about", "≤": "at most"}


Styles = Mapping[str, Sequence[tuple[str, str]]]
_LOOKS = tuple(zip(DASHES, SYMBOLS, strict=False))
MANY: Styles = {"model": _LOOKS, "baseline": (*_LOOKS[3:], *_LOOKS[:3])}
"""Dash and mark by what a curve is: those of many runs together. The first baselines have none of the first runs."""
ONE: Styles = {
    "model": (("solid", "circle"), ("solid", "diamond")),
    "beside": (("dash", "square"), ("dash", "diamond")),
    "baseline": (("dot", "circle"), ("dash", "circle")),
    "bound": (("dashdot", "circle"), ("longdashdot", "square")),
}
"""The same of one run with its moved times, and of the run that is looked at beside it."""
BOUNDS = {"bound_a": "Bound A", "paper_bound": "The paper’s bound"}
"""What lies above a KL, lowest first: name in tables → title."""
_BOUND_MARKS = ("star", "triangle-down")
"""Of the bounds where many runs are drawn, each with a dash of its own."""


# ---- the figure -------------------------------------------------------------------------------------------------
def lines(view: View, curves: Sequence[RunCurve], styles: Styles = MANY, *, coarse: bool = False) -> list[Line]:
    """Every curve with its points that may be shown as numbers, and the bounds beside what they bound.

    `coarse`: with quick estimates where there is no better one yet.
    """
    drawn: list[Line] = []
    count = Counter[str]()
    for curve in curves:
        role = "model" if curve.learned else "baseline"
        kind = "beside" if curve.learned and curve.number and styles is ONE else role
        style = look_of(curve.number) if curve.learned and styles is MANY else _nth(styles[kind], count[kind])
        count[kind] += 1
        points = [_point(curve, question, coarse) for question in curve.questions if question.calls <= view.most]
        if shown := tuple(point for point in points if point is not None):
            drawn.append(Line(curve.label, role, shown, *style, number=curve.number))
        if curve.learned and curve.bounded and view.bounded:
            of_bounds = styles.get("bound") or [(style[0], mark) for mark in _BOUND_MARKS]
            for (name, title), look in zip(BOUNDS.items(), of_bounds, strict=True):
                if points := _bound(curve, name):
                    label = title if len(view.runs) == 1 else f"{title}, {curve.label}"
                    drawn.append(Line(label, "bound", points, *look, number=curve.number))
    return drawn


def _nth(styles: Sequence[tuple[str, str]], number: int) -> tuple[str, str]:
    return styles[number % len(styles)]


def _named_bound(both: PaperBound, name: str) -> BoundA | PaperBound:
    """Bound A, or the paper's."""
    return both.bound_a if name == "bound_a" else both


def _point(curve: RunCurve, question: Question, coarse: bool) -> Point | None:
    measured = best = measurement(curve.run, question)
    if measured is None and coarse:
        measured = coarse_measurement(curve.run, question)
    if measured is None or not _drawable(measured.estimate):
        return None
    e = measured.estimate
    first = "" if best else COARSE
    about = "\n".join(words for words in (first, _seeds(curve, question, measured), e.note) if words)
    return Point(measured.calls, e.value, e.low, e.high, e.floor, e.n, _estimator(e), about)


def _drawable(estimate: Estimate) -> bool:
    return estimate.trusted and math.isfinite(estimate.value)


def _bound(curve: RunCurve, name: str) -> tuple[Point, ...]:
    """A bound by N; hover says its parts."""
    points = []
    for n, both in curve.bounds.items():
        part = _named_bound(both, name)
        total = part.total
        if not math.isfinite(total.value):
            continue
        start = part.initialisation if isinstance(part, BoundA) else part.start
        jumps = [f"jump {k + 1}: {number(jump.value)}" for k, jump in enumerate(part.jumps)]
        rows = ["  ".join(jumps[k : k + 4]) for k in range(0, len(jumps), 4)]
        about = "\n".join([f"start: {number(start.value)}", *rows])
        points.append(Point(n, total.value, total.low, total.high, estimator=BOUNDS[name], about=about))
    return tuple(points)


def _seeds(curve: RunCurve, question: Question, measured: Measurement) -> str:
    seed = _training_seed(curve)
    training = "" if seed is None else f"training seed {seed}, "
    return f"{training}noise seed {measured.seed}, T = {question.grid.horizon:g}"


def _training_seed(curve: RunCurve) -> int | None:
    """Of the run, where anything learned enters the curve."""
    return curve.run.model.config.seed if curve.questions[0].learned else None


def _estimator(estimate: Estimate) -> str:
    registered = ESTIMATORS.get(estimate.estimator)
    return registered.label if registered else estimate.estimator.replace("_", " ")


# ---- in words ---------------------------------------------------------------------------------------------------
def reading(drawn: Sequence[Line]) -> str:
    """One sentence: the run that comes closest, the others after it, and what the first baselines need for the same."""
    runs = sorted((line for line in drawn if line.role == "model"), key=lambda line: _closest(line).value)
    if not runs:
        return ""
    first, best = runs[0], _closest(runs[0])
    if best.value <= best.floor:
        below = [line for line in runs if _closest(line).value <= _closest(line).floor]
        clauses = [f"{line.label} is {_below(_closest(line))}, at {_calls(_closest(line).calls)}" for line in below]
        return f"{'; '.join(clauses)}."
    clauses = [f"{first.label} is closest at {_calls(best.calls)}: {number(best.value)} nats"]
    if others := runs[1:]:
        listed = [f"{line.label} {number(_closest(line).value)} at {_calls(_closest(line).calls)}" for line in others]
        clauses.append(f"after it {', '.join(listed)}")
        near = [line.label for line in others if _closest(line).low <= best.high]
        clauses += [f"its band overlaps that of {' and that of '.join(near)}"] if near else []
    baselines = [line for line in drawn if line.role == "baseline"][:3]
    needs = [(b.label, calls_for({p.calls: p.value for p in b.points}, best.value)) for b in baselines]
    listed = [f"{_named(label)} needs {_spelled(more)}" for label, more in needs if more]
    clauses += [f"for the same, {', '.join(listed)}"] if listed else []
    return f"{'; '.join(clauses)}."


def _closest(line: Line) -> Point:
    """Its least KL: the first that is below what can be detected, where there is one."""
    lost = [point for point in line.points if point.value <= point.floor]
    return lost[0] if lost else min(line.points, key=lambda point: point.value)


def _below(point: Point) -> str:
    return f"below the smallest KL that its estimator detects, {number(point.floor, 2)} nats"


def _named(label: str) -> str:
    """A legend's "DDIM, exact score" inside a sentence."""
    name, _, score = label.partition(", ")
    return f"{name} ({score})" if score else name


def _spelled(calls: str) -> str:
    """A table's "> 16 calls" inside a sentence."""
    sign, _, count = calls.partition(" ")
    return f"{SPELLED[sign]} {count}"


def _calls(n: int) -> str:
    return "1 call" if n == 1 else f"{n} calls"


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


# ---- tables -----------------------------------------------------------------------------------------------------
def as_rows(view: View, curves: Sequence[RunCurve]) -> tuple[str, list[str]]:
    """A table row for every curve: values with ±, and where there is no number a dash; and the notes on the cells."""
    rows, notes = [], list[str]()
    for curve in curves:
        by_n = {question.calls: question for question in curve.questions}
        cells = "".join(f"<td>{_cell(curve, by_n.get(n), notes)}</td>" for n in view.steps)
        rows.append(f"<tr><th scope='row'>{escape(curve.label)}</th><td>{curve.delta:g}</td>{cells}</tr>")
    return "".join(rows), notes


def _cell(curve: RunCurve, question: Question | None, notes: list[str]) -> str:
    if question is None:
        return ""
    measured = measurement(curve.run, question)
    first = None if measured else coarse_measurement(curve.run, question)
    if measured is None and (words := problem(curve.run, question)):
        return f"—{_mark(words, notes)}"
    if (shown := measured or first) is None:
        return "…"
    calls = "" if shown.calls == question.calls else f"<br>{_calls(shown.calls)}"
    return estimate_cell(shown.estimate, notes, COARSE if first else "") + calls


def estimate_cell(e: Estimate, notes: list[str], more: str = "") -> str:
    """A value with ± and the letter of its note, which joins `notes`; `more` is said instead of its own."""
    if not _drawable(e):
        return f"—{_mark(e.note or 'This estimate cannot be trusted.', notes)}"
    mark = _mark(more or e.note, notes)
    if not resolved(e):
        return f"&lt; {number(e.floor, 2)}{mark}"
    return f"{beside_value(e)}{mark}"


def _mark(words: str, notes: list[str]) -> str:
    """The letter of a note, which is said once under the table."""
    if not words:
        return ""
    if words not in notes:
        notes.append(words)
    return f"<sup>{letter(notes.index(words))}</sup>"


def notes_list(notes: Sequence[str]) -> str:
    """The notes on a table as HTML."""
    items = "".join(f"<li><sup>{letter(i)}</sup> {escape(words)}</li>" for i, words in enumerate(notes))
    return f"<ul class='notes'>{items}</ul>"


def letter(index: int) -> str:
    """a, b, …, z, aa, ab, … of the notes on a table."""
    letters = chr(ord("a") + index % 26)
    return letter(index // 26 - 1) + letters if index >= 26 else letters


COLUMNS = (
    "curve", "run", "target", "sampler", "score", "grid", "T", "h", "eta_share", "N", "network_calls", "value", "low",
    "high", "direction", "delta", "estimator", "n", "floor", "trusted", "note", "noise_seed", "training_seed", "times",
)  # fmt: skip


def as_csv(view: View, curves: Sequence[RunCurve], more: Sequence[Sequence[object]] = ()) -> str:
    """Every point that is measured, trusted or not, with all that determines it; each bound in rows of its own.

    `more` are rows that come last, such as those of results from elsewhere.
    """
    rows, points = [], [(curve, question) for curve in curves for question in curve.questions]
    for curve, question in points:
        if measured := measurement(curve.run, question):
            e, about = measured.estimate, _about(view, curve, question)
            value = [e.value, e.low, e.high, e.direction, e.delta, e.estimator, e.n, e.floor, e.trusted, e.note]
            rows.append([curve.label, *about, measured.calls, *value, measured.seed, *_origin(curve, question)])
    for (name, title), (curve, question) in product(BOUNDS.items(), points):
        if curve.learned and view.bounded and (both := paper_bound_at(curve.run, question)):
            total, about = _named_bound(both, name).total, _about(view, curve, question)
            value = [total.value, total.low, total.high, question.direction, question.grid.delta, name]
            how = [BOUND_POINTS, "", "", "", SEED, *_origin(curve, question)]
            rows.append([f"{title}, {curve.label}", *about, question.calls, *value, *how])
    return spreadsheet.as_csv(COLUMNS, [*rows, *more])


def _about(view: View, curve: RunCurve, question: Question) -> list[object]:
    """From the column "run" to "N"."""
    run, horizon = curve.run, question.grid.horizon
    score = "" if curve.learned else question.score
    step = view.step if question.named == GROWING else ""
    eta = question.renoise if question.kind.share_of else ""
    drawn = [question.sampler, score, question.named, horizon, step, eta, question.calls]
    return [run.key, run.target.name, *drawn]


def _origin(curve: RunCurve, question: Question) -> list[object]:
    """The last two columns."""
    return [_training_seed(curve), " ".join(f"{t:.6g}" for t in question.grid.times)]
