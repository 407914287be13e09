"""Numbers in words and in small pieces of HTML: every number says how it knows."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.quoting import escape
from app.ui.terms import explained
from cmcore.divergences.difference import kl_difference
from cmcore.divergences.estimate import ESTIMATORS, Direction, Estimate

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_IN_ASCII = re.compile(
    r"(?<=\d)e(?P<exponent>[-+]?\d+)\b"
    r"|\^(?P<power>-?\d+(?:\.\d+)?)"
    r"|(?P<percent>(?<=\d)%)"
    r"|(?<![\w.])-(?=\d)"
)
"""How a program writes numbers: exponents, powers, per cent, signs."""

_OF_DIVERGENCE = re.compile(r"(\([^()‖]*)‖")
"""The bar after the first of two laws in brackets."""


def number(value: float, digits: int = 3) -> str:
    """A number for reading: 0.0246, 12.3, 1.2·10⁻⁵; a dash where there is none."""
    if math.isnan(value):
        return "—"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))  # 0.9996 is rounded to 1.00
    if -4 <= exponent < 5:
        return f"{value:.{max(0, digits - 1 - exponent)}f}".replace("-", "−")
    mantissa, _, power = f"{value:.{max(0, digits - 2)}e}".partition("e")  # 9.97·10⁻⁷ is rounded to 1.0·10⁻⁶
    return f"{mantissa.replace('-', '−')}·10{str(int(power)).translate(_SUPERSCRIPT)}"


def short(estimate: Estimate | None) -> str:
    """The value alone, for a small multiple; empty where there is none to show."""
    if estimate is None or not estimate.trusted:
        return ""
    return number(estimate.value, 2) if resolved(estimate) else f"< {number(estimate.floor, 2)}"


def in_words(estimate: Estimate | None) -> str:
    """The value with its interval, within a sentence."""
    if estimate is None:
        return "not measured yet"
    if not estimate.trusted:
        return "no estimate to trust"
    if not resolved(estimate):
        return f"below {number(estimate.floor, 2)} {estimate.unit}"
    return f"{number(estimate.value)} {estimate.unit} ({number(estimate.low, 2)} … {number(estimate.high, 2)})"


def spread(estimate: Estimate) -> str:
    """The interval beside its value: ± 0.0003, or its two ends where these lie at different distances."""
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    if max(below, above) <= 1.3 * max(min(below, above), 1e-12):
        return f"± {number(max(below, above), 2)}"
    return f"{number(estimate.low, 2)} … {number(estimate.high, 2)}"


def beside_value(estimate: Estimate) -> str:
    """A value and its interval in a cell: 0.0246 ± 0.0003, or 1.43 (1.3 … 4.2)."""
    interval = spread(estimate)
    return (
        f"{number(estimate.value)} {interval}" if interval.startswith("±") else f"{number(estimate.value)} ({interval})"
    )


def resolved(estimate: Estimate) -> bool:
    """Whether the value is one to show: trusted, and above what its estimator can tell from zero."""
    return estimate.trusted and estimate.value > estimate.floor


def percent(share: float) -> str:
    """A share in [0, 1] in two significant digits: 0.3 %, 100 %."""
    if share < 1e-4:
        return "0 %" if share == 0 else "< 0.01 %"
    return f"{float(f'{100 * share:.2g}'):g} %"  # rounded first: alone, .2g writes 100 as 1e+02


def direction_title(direction: Direction, delta: float) -> str:
    """KL(model ∥ data), δ = 0: the title of every number."""
    return f"{direction_words(direction)}, δ = {delta:g}"


def direction_words(direction: Direction) -> str:
    """KL(model ∥ data), spaced and with the bar that text fonts have."""
    return spaced(direction)


def spaced(text: str) -> str:
    """Words that name a divergence, with the bar that text fonts have; the bars of a norm stay as they are."""
    return _OF_DIVERGENCE.sub(r"\1 ∥ ", text)


def typeset(text: str) -> str:
    """HTML of the engine's sentences, with numbers as a page prints them: −2 for -2, 3·10⁻⁶ for 3e-06, 88 % for 88%."""

    def printed(match: re.Match[str]) -> str:
        if match["exponent"]:
            return f"·10{str(int(match['exponent'])).translate(_SUPERSCRIPT)}"
        if match["power"]:
            return f"<sup>{match['power'].replace('-', '−')}</sup>"
        return " %" if match["percent"] else "−"

    return _IN_ASCII.sub(printed, escape(spaced(text)))


def kl_card(
    estimate: Estimate, *, ddim_calls: str = "", stopped: float | None = 0.0, how: Sequence[tuple[str, str]] = ()
) -> str:
    """The card of one estimate. An estimate that is not trusted shows why, and what to change, in place of a number.

    Args:
        ddim_calls: how many calls exact-score DDIM needs for the same value, in words.
        stopped: KL(p₀‖p_δ), what stopping at δ > 0 costs before any model comes in; None where it is not said.
        how: rows that say what was measured, before those that say how.
    """
    title = direction_title(estimate.direction, estimate.delta)
    rows = [*how, *_rows(estimate, ddim_calls=ddim_calls, stopped=stopped)]
    note = f'<p class="card-aside">{escape(estimate.note)}</p>' if estimate.trusted and estimate.note else ""
    return _card(title, _figure(estimate), rows) + note


@dataclass(frozen=True)
class Side:
    """One of two maps on a card: its letter and name, its estimate or what is said in place of it, and DDIM's calls."""

    letter: str
    name: str
    estimate: Estimate | None
    waiting: str = ""
    ddim_calls: str = ""


def pair_card(title: str, sides: Sequence[Side], *, stopped: float | None = 0.0) -> str:
    """The cards of two maps in one: both numbers, their difference, and how each was found."""
    figures, rows, notes = [], dict[str, dict[str, str]](), []
    for side in sides:
        estimate, name = side.estimate, f'<p class="of"><b>{side.letter}</b> {escape(side.name)}</p>'
        figures.append(f"<div>{name}{_skeleton(side.waiting) if estimate is None else _figure(estimate)}</div>")
        if estimate is None:
            continue
        for row, value in _rows(estimate, ddim_calls=side.ddim_calls, stopped=stopped):
            rows.setdefault(row, {})[side.letter] = value
        if estimate.trusted and (words := " ".join(filter(None, (estimate.note, side.waiting)))):
            notes.append(f'<p class="card-aside">{side.letter}: {escape(words)}</p>')
    estimates = [side.estimate for side in sides if side.estimate]
    words = _difference(*estimates) if len(estimates) == len(sides) else ""
    body = f'<div class="pair">{"".join(figures)}</div>{words}'
    return _card(title, body, [(row, _of_sides(values, sides)) for row, values in rows.items()]) + "".join(notes)


def _of_sides(values: Mapping[str, str], sides: Sequence[Side]) -> str:
    """What is the same of both once, and else a line for each."""
    if len(values) == len(sides) and len(set(values.values())) == 1:
        return next(iter(values.values()))
    return "\n".join(f"{letter} {value}" for letter, value in values.items())


def _difference(first: Estimate, second: Estimate) -> str:
    difference = kl_difference(first, second)
    if difference is None:
        return '<p class="difference">No difference: one of the two is no number to trust.</p>'
    value, low, high = (number(v, 2) for v in (difference.value, difference.low, difference.high))
    verdict = f"{'B' if difference.value > 0 else 'A'} is closer to the data."
    if not difference.resolved:
        verdict = "The interval holds 0: they cannot be told apart."
    figure = f"<strong>{value}</strong> {explained(f'({low} … {high}) nats')}"
    how = "95 % interval, from the same noise row by row."
    if not difference.paired:
        how = "95 % interval, from those of A and B, whatever their errors have in common."
    return f'<p class="difference">A − B: {figure}<br>{verdict}</p><p class="card-aside">{how}</p>'


def _rows(estimate: Estimate, *, ddim_calls: str, stopped: float | None) -> list[tuple[str, str]]:
    """How the number was found, and what is known beside it."""
    rows = [("Estimator", _estimator(estimate))]
    if not estimate.trusted:
        return rows
    floor = _floor(estimate.floor)
    rows.append(("Samples · smallest detectable KL", f"{estimate.n:,} · {floor}" if estimate.n else floor))
    diagnostics = estimate.diagnostics
    if "fold_share" in diagnostics:
        rows.append(("Folds", percent(diagnostics["fold_share"])))
    if "off_mode_mass" in diagnostics:
        rows.append(("Samples outside every mode", percent(diagnostics["off_mode_mass"])))
    if estimate.delta > 0 and stopped is not None:
        rows.append(("Stopping at δ, KL(p₀ ∥ p_δ)", f"{number(stopped, 2)} nats"))
    if ddim_calls:
        rows.append(("DDIM needs, for the same KL", ddim_calls))
    return rows


def card(title: str, figure: str, rows: Sequence[tuple[str, str]], *, beside: str = "", aside: str = "") -> str:
    """A card of any state: a figure, words beside it, rows under it, a sentence; empty parts are left out."""
    value = (
        f'<p class="card-value"><strong>{escape(figure)}</strong> <span>{escape(beside)}</span></p>' if figure else ""
    )
    return _card(title, value, rows) + (f'<p class="card-aside">{escape(aside)}</p>' if aside else "")


def bare_card(title: str, words: str) -> str:
    """The same shape before there is a number."""
    return _card(title, _skeleton(words), [])


def _skeleton(words: str) -> str:
    return f'<div class="card-value card-skeleton" aria-hidden="true"></div><p class="card-aside">{escape(words)}</p>'


def _figure(estimate: Estimate) -> str:
    if not estimate.trusted:
        return f'<p class="card-note">{escape(estimate.note or "This estimate cannot be trusted.")}</p>'
    if not resolved(estimate):
        beside = explained(f"{estimate.unit}: below what can be detected")
        return f'<p class="card-value"><strong>&lt; {number(estimate.floor, 2)}</strong> <span>{beside}</span></p>'
    beside = explained(f"{spread(estimate)} {estimate.unit}")
    return f'<p class="card-value"><strong>{number(estimate.value)}</strong> <span>{beside}</span></p>'


def _floor(floor: float) -> str:
    return "no floor" if floor <= 0 else number(floor, 2)


def _estimator(estimate: Estimate) -> str:
    estimator = ESTIMATORS.get(estimate.estimator)
    return estimator.label if estimator else estimate.estimator.replace("_", " ")


def _card(title: str, body: str, rows: Sequence[tuple[str, str]]) -> str:
    marked = {"nats"}  # the figure has them
    heading = explained(title, marked)
    cells = "".join(f"<dt>{explained(name, marked)}</dt><dd>{explained(value, marked)}</dd>" for name, value in rows)
    return f'<section class="card"><h2 aria-label="{escape(title)}">{heading}</h2>{body}<dl>{cells}</dl></section>'


def table(label: str, titles: Sequence[str], rows: str) -> str:
    """A table of ready `<tr>` that scrolls sideways where the screen is narrow, by keyboard too."""
    head = "".join(f"<th scope='col'>{escape(title)}</th>" for title in titles)
    return (
        f"<div class='scrolled' tabindex='0' role='region' aria-label='{escape(label)}'><table class='fits'>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
