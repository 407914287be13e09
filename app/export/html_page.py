"""The current run as one HTML file: the stage and the KL chart, alive without a server or a network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

from markupsafe import Markup

from app.components.particle_stage import STAGE_CODE, STAGE_HTML, STAGE_STYLE, Scene, scene_message
from app.export.svg_chart import chart
from app.export.templates import html
from app.figures.kl_curve import Line
from app.figures.theme import DARK, LIGHT, Theme
from app.ui.cards import kl_card, number, resolved, short
from cmcore.divergences.estimate import ESTIMATORS, Estimate

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
    scene = replace(scene, labels={n: short(estimates.get(n)) for n in scene.draws})
    message = scene_message(scene, steps=steps, answered=False)
    if STAGE_CODE.count(_MOUNT) != 1:
        raise AssertionError("The stage has one entrance, which this page gives a name.")
    return html(
        "export/templates/page.html.jinja",
        light=variables(LIGHT),
        dark=variables(DARK),
        heading=heading,
        facts=facts,
        cards={n: Markup(kl_card(estimates[n])) if n in estimates else "" for n in sorted(scene.draws)},  # noqa: S704
        chart=chart(lines, steps=sorted(scene.draws)),
        rows={n: _row(estimate) for n, estimate in sorted(estimates.items())},
        about=about.split("\n"),
        stage_style=Markup(STAGE_STYLE),  # noqa: S704  files of this application
        stage_html=Markup(STAGE_HTML),  # noqa: S704
        scene=base64.b64encode(message).decode(),
        stage_code=Markup(STAGE_CODE.replace(_MOUNT, "function mount(")),  # noqa: S704
    )


def variables(theme: Theme) -> dict[str, str]:
    """The variables that Streamlit gives a component, and the colours of the chart."""
    meanings = (theme.data, theme.model, theme.exact, theme.error, theme.baseline, theme.bound)
    return {
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


def _row(e: Estimate) -> tuple[str, ...]:
    value = number(e.value, 4) if resolved(e) else f"< {number(e.floor, 2)}" if e.trusted else "—"
    interval = f"{number(e.low)} … {number(e.high)}" if e.trusted else e.note or "—"
    estimator = ESTIMATORS.get(e.estimator)
    return value, interval, estimator.label if estimator else e.estimator, f"{e.n:,}", number(e.floor, 2)
