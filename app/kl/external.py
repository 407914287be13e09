"""Results from elsewhere beside the lab's own: what is measured here of their samples, and what was reported of them.

The two are never mixed: each is a line of its own, whose name says which it is.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from app.background.once import Measurable, Once
from app.components.sample_cloud import cloud_message
from app.figures.kl_curve import Line, Point, look_of
from app.kl.curves import View
from app.kl.question import SEED
from app.kl.table import estimate_cell
from app.quoting import escape
from app.runs.external import External
from app.stage.scene import density_image, extent_of, plane
from app.ui.cards import direction_words, number
from cmcore.divergences.estimate import ESTIMATORS, Direction, Estimate
from cmcore.store.external import ReportedPoint

MEASURED, REPORTED = "from its samples", "as reported, not measured here"
SAMPLES = "Measured here from samples that were brought in; the lab has not seen the model."
_estimates: Once[Estimate] = Once(1_024)


def forget() -> None:
    """Forget everything that was measured of samples."""
    _estimates.clear()


def estimate_of(one: External, steps: int, direction: Direction) -> Measurable[Estimate]:
    """The KL of its samples at N, to be measured where nobody has."""
    make = partial(one.result.kl, steps, seed=SEED, direction=direction)
    return Measurable(f"{one.label}, N = {steps}", _estimates, (one.key, steps, direction), make)


def to_measure(chosen: Sequence[External], direction: Direction) -> list[Measurable[Estimate]]:
    """What a view asks of these results."""
    return [estimate_of(one, steps, direction) for one in chosen for steps in one.result.points]


def external_lines(view: View, chosen: Sequence[External], delta: float) -> list[Line]:
    """Their lines beside curves at this δ: of samples those that can be trusted as numbers."""
    lines = []
    for k, one in enumerate(chosen, start=len(view.runs)):
        if one.result.delta != delta:
            continue
        dash, symbol = look_of(k)
        measured = {steps: estimate_of(one, steps, view.direction).value for steps in sorted(one.result.points)}
        points = tuple(_measured_point(n, e) for n, e in measured.items() if e is not None and e.trusted)
        if points:
            lines.append(Line(f"{one.label}, {MEASURED}", "model", points, dash, symbol, k))
        if reported := _reported(one, view):
            lines.append(Line(f"{one.label}, {REPORTED}", "model", reported, *look_of(k + 3), k))
    return lines


def _measured_point(steps: int, e: Estimate) -> Point:
    registered = ESTIMATORS.get(e.estimator)
    label = registered.label if registered else e.estimator
    about = "\n".join(words for words in ("measured here from samples brought in", e.note) if words)
    return Point(steps, e.value, e.low, e.high, e.floor, e.n, label, about)


def _reported(one: External, view: View) -> tuple[Point, ...]:
    return tuple(
        Point(p.steps, p.value, p.low, p.high, p.floor, p.n, p.estimator, "as reported; not measured here")
        for p in _asked(one, view)
    )


def _asked(one: External, view: View) -> list[ReportedPoint]:
    """What was reported in the direction of a view, by N."""
    return sorted((p for p in one.result.reported if p.direction == view.direction), key=lambda p: p.steps)


def not_drawn(view: View, chosen: Sequence[External], delta: float) -> list[str]:
    """A sentence for everything of these results that a chart at this δ leaves out."""
    words = []
    for one in chosen:
        if one.result.delta != delta:
            words.append(
                f"{one.label} stands at δ = {one.result.delta:g} and is not drawn beside curves at δ = {delta:g}: "
                "numbers at two δ cannot be compared."
            )
            continue
        other: set[Direction] = {point.direction for point in one.result.reported if point.direction != view.direction}
        words += [f"{one.label} was reported in {direction_words(which)} too." for which in sorted(other)]
        words += _untrusted(one, view.direction)
    return words


def _untrusted(one: External, direction: Direction) -> list[str]:
    """Where its samples give no number: why, and what they say all the same."""
    words = []
    for steps in sorted(one.result.points):
        quantity = estimate_of(one, steps, direction)
        if quantity.problem:
            words.append(f"{one.label}, N = {steps}: {quantity.problem}")
        elif (e := quantity.value) is not None and not e.trusted:
            words.append(f"{one.label}, N = {steps}: at least {max(0.0, e.low):.2g} nats, from samples. {e.note}")
    return words


# ---- tables -----------------------------------------------------------------------------------------------------
def external_rows(view: View, chosen: Sequence[External], notes: list[str]) -> str:
    """A table row for what is measured of each result, and one for what was reported; notes join those of the table."""
    rows = []
    for one in chosen:
        measured = {steps: estimate_of(one, steps, view.direction).value for steps in one.result.points}
        reported = {p.steps: f"{number(p.value)} [{number(p.low, 2)}, {number(p.high, 2)}]" for p in _asked(one, view)}
        cells = {n: estimate_cell(e, notes, e.note or SAMPLES) for n, e in measured.items() if e is not None}
        for words, by_n in ((MEASURED, cells), (REPORTED, reported)):
            if by_n:
                listed = "".join(f"<td>{by_n.get(n, '')}</td>" for n in view.steps)
                head = f"<th scope='row'>{escape(one.label)}, {words}</th><td>{one.result.delta:g}</td>"
                rows.append(f"<tr>{head}{listed}</tr>")
    return "".join(rows)


def external_csv(view: View, chosen: Sequence[External]) -> list[list[object]]:
    """Rows of the CSV for the same, with where each comes from as its note."""
    rows: list[list[object]] = []
    for one in chosen:
        target, origin = one.result.target.name, one.provenance
        for steps in sorted(one.result.points):
            if (e := estimate_of(one, steps, view.direction).value) is not None:
                value = [e.value, e.low, e.high, e.direction, e.delta, e.estimator, e.n, e.floor, e.trusted]
                what = f"{one.label}, {MEASURED}", one.key, target
                rows.append(_csv_row(what, steps, value, f"{e.note} {origin}"))
        for p in _asked(one, view):
            value = [p.value, p.low, p.high, p.direction, one.result.delta, p.estimator, p.n, p.floor, ""]
            rows.append(_csv_row((f"{one.label}, {REPORTED}", one.key, target), p.steps, value, origin))
    return rows


def _csv_row(what: tuple[str, str, str], steps: int, value: list[object], note: str) -> list[object]:
    """`what` is the curve, the key and the target."""
    return [*what, "", "", "", "", "", "", steps, steps, *value, note.strip(), SEED, "", ""]


def cloud_of(one: External, steps: int, most: int = 2_000) -> bytes:
    """Its samples over its target's density, for the canvas."""
    target, delta = one.result.target, one.result.delta
    return cloud_message(
        name=f"{one.key}/{steps}",
        extent=extent_of(target),
        density=density_image(target, delta),
        data=np.zeros((0, 2)),
        samples=plane(one.result.points[steps][:most]),
        words=f"{one.label}, N = {steps}",
    )


def of_target(offered: Mapping[str, External], target_key: object) -> list[External]:
    """Those that are of one law."""
    return [one for one in offered.values() if one.target_key == target_key]
