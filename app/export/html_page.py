"""The current run as one HTML file: the stage and the KL chart, alive without a server or a network."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from app.components.particle_stage import STAGE_CODE, STAGE_HTML, STAGE_STYLE, Scene, scene_message
from app.export.svg_chart import chart
from app.figures.kl_curve import Line
from app.figures.theme import DARK, LIGHT, Theme
from app.quoting import escape
from app.ui.cards import kl_card, number, resolved, short
from cmcore.divergences.estimate import ESTIMATORS, Estimate

_HERE = Path(__file__).parent
_MOUNT = "export default function ("
"""How a component begins; here its function needs a name instead."""


def page(
    scene: Scene,
    estimates: Mapping[int, Estimate],
    lines: Sequence[Line],
    *,
    steps: int,
    heading: str,
    facts: str,
    about: str,
) -> str:
    """The file.

    Args:
        scene: what the stage shows, for every N.
        estimates: the KL by N.
        lines: the curves of the chart.
        steps: the N to begin with.
        heading, facts: the run in a few words, and how it is drawn.
        about: how it came about, in a sentence or more.
    """
    labels = {n: short(estimates.get(n)) for n in scene.draws}
    message = scene_message(scene, steps=steps, labels=labels, answered=False)
    if STAGE_CODE.count(_MOUNT) != 1:
        raise AssertionError("The stage has one entrance, which this page gives a name.")
    return Template(_read("page.html")).substitute(
        title=escape(f"Consistency Lab: {heading}"),
        style=Template(_read("page.css")).substitute(light=_variables(LIGHT), dark=_variables(DARK)),
        heading=escape(heading),
        facts=escape(facts),
        cards="".join(_card(n, estimates.get(n)) for n in sorted(scene.draws)),
        chart=chart(lines, steps=sorted(scene.draws)),
        table=_table(estimates),
        about="<br>".join(map(escape, about.split("\n"))),
        stage_style=STAGE_STYLE,
        stage_html=STAGE_HTML,
        scene=base64.b64encode(message).decode(),
        stage_code=STAGE_CODE.replace(_MOUNT, "function mount("),
        host_code=_read("host.js"),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _variables(theme: Theme) -> str:
    """The variables that Streamlit gives a component, and the colours of the chart."""
    meanings = (theme.data, theme.model, theme.exact, theme.error, theme.baseline, theme.bound)
    told = {
        "--st-text-color": theme.ink,
        "--st-background-color": theme.paper,
        "--st-border-color": theme.hairline,
        "--st-primary-color": theme.ink,
        "--st-chart-categorical-colors": ",".join(meanings),
        "--muted": theme.muted,
        "--model": theme.model,
        "--baseline": theme.baseline,
        "--bound": theme.bound,
    }
    return " ".join(f"{name}: {value};" for name, value in told.items())


def _card(n: int, estimate: Estimate | None) -> str:
    """The card of one N; the page shows that of the chosen one."""
    body = kl_card(estimate) if estimate else '<section class="card"><h2>KL</h2><p>Not measured.</p></section>'
    return f'<div data-n="{n}" hidden>{body}</div>'


def _table(estimates: Mapping[int, Estimate]) -> str:
    head = "".join(f"<th scope='col'>{t}</th>" for t in ("N", "KL, nats", "95 % interval", "estimator", "n", "floor"))
    rows = ""
    for n, e in sorted(estimates.items()):
        value = number(e.value, 4) if resolved(e) else f"< {number(e.floor, 2)}" if e.trusted else "—"
        interval = f"{number(e.low)} … {number(e.high)}" if e.trusted else e.note or "—"
        known = ESTIMATORS.get(e.estimator)
        cells = (value, interval, known.label if known else e.estimator, f"{e.n:,}", number(e.floor, 2))
        told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows += f"<tr data-n='{n}'><th scope='row'>{n}</th>{told}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
