"""KL on a static site: every curve that was measured, by run and by how it was measured, in a chart and a table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.figures.kl_curve import describe, kl_curve
from app.figures.svg import chart
from app.figures.theme import LIGHT
from app.kl.curves import BASELINES, RunCurve, View, curves_of
from app.kl.question import measurement
from app.kl.table import lines, reading
from app.quoting import file_stem
from app.runs.run import Run
from app.site.explore import path_of as explore_path
from app.site.files import Site
from app.site.settings import Setting, settings_of
from app.ui.cards import direction_title, direction_words, number, resolved
from cmcore.divergences.estimate import ESTIMATORS, Estimate
from cmcore.samplers import SAMPLERS

MOST = 64
"""Calls up to which a curve is shown."""
COLUMNS = ("curve", "calls", "KL, nats", "95 % interval", "direction", "estimator", "n", "floor", "T, δ", "seeds")


def path_of(run: Run) -> str:
    """The page of a run's curves."""
    return f"kl/{file_stem(run.key)}.html"


def curves_at(run: Run, setting: Setting) -> tuple[View, list[RunCurve]]:
    """The run's curve under a setting, and the baselines that were measured beside it."""
    view = View(
        (run.key,), BASELINES, "exact", setting.sampler, setting.renoise, setting.grid, setting.horizon, None,
        setting.delta, setting.direction, MOST, ("bands", "floors"),
    )  # fmt: skip
    return view, [curve for curve in curves_of(view, {run.key: run}) if curve.estimates]


def kl_pages(site: Site) -> Iterator[tuple[str, bytes]]:
    """All runs side by side, and a page for each."""
    yield _all_runs(site)
    for run in site.runs.values():
        yield _one_run(site, run)


def _one_run(site: Site, run: Run) -> tuple[str, bytes]:
    sections = []
    for setting in settings_of(run):
        view, curves = curves_at(run, setting)
        sections.append(_section(setting.name, setting, view, curves))
    shipped = {"runs": run.key} if run.shipped else {}
    return site.page(
        path_of(run),
        "kl",
        part="kl",
        title=f"KL of {run.label}",
        about=f"{run.label}: the KL that was measured against the number of network calls.",
        lab=site.in_lab("kl", shipped),
        heading=run.label,
        sections=sections,
        columns=COLUMNS,
        links=[("Explore", explore_path(run)), ("All runs", "kl.html")],
        **_choices(sections),
    )


def _all_runs(site: Site) -> tuple[str, bytes]:
    """For every way of drawing and every direction one chart, with each run's own curve at the δ it was measured at."""
    together: dict[tuple[str, str], list[tuple[Setting, View, RunCurve]]] = {}
    for run in site.runs.values():
        taken = set()
        for setting in settings_of(run):
            kind = (setting.sampler, setting.direction)
            if kind not in taken:  # of several δ the first is the run's own
                view, curves = curves_at(run, setting)
                label = f"{run.label}, δ\u00a0=\u00a0{setting.delta:g}"
                together.setdefault(kind, []).append((setting, view, replace(curves[0], label=label)))
                taken.add(kind)
    sections = []
    for (sampler, _), rows in together.items():
        setting, view, _ = rows[0]
        name = SAMPLERS[sampler].label
        sections.append(_section(name, setting, view, [curve for _, _, curve in rows], own_deltas=True))
    return site.page(
        "kl.html",
        "kl",
        part="kl",
        title="KL",
        about="Every KL that was measured of the lab's runs, against the number of network calls.",
        lab=site.in_lab("kl"),
        heading="All runs",
        sections=sections,
        columns=COLUMNS,
        links=[(run.label, path_of(run)) for run in site.runs.values()],
        **_choices(sections),
    )


def _section(
    name: str, setting: Setting, view: View, curves: Sequence[RunCurve], *, own_deltas: bool = False
) -> dict[str, Any]:
    """A chart with its reading and its table, and the choices under which it is shown."""
    drawn = lines(view, curves)
    most = max((point.calls for line in drawn for point in line.points), default=1)
    words = direction_words(setting.direction)
    title = f"{words}, each at its own δ" if own_deltas else direction_title(setting.direction, setting.delta)
    return {
        "when": {"drawn": name, "from": words},
        "title": title,
        "chart": chart(kl_curve(drawn, theme=LIGHT, most=most), describe(drawn)),
        "reading": reading(drawn),
        "rows": [row for curve in curves for row in _rows(curve)],
    }


def _choices(sections: Sequence[Mapping]) -> dict[str, Any]:
    """What can be chosen of the sections, and what is chosen at first."""
    chosen = [section["when"] for section in sections]
    offered = {
        name: [(value, value) for value in dict.fromkeys(when[name] for when in chosen)] for name in ("drawn", "from")
    }
    return {"offered": offered, "begin": chosen[0] if chosen else {}}


def _rows(curve: RunCurve) -> Iterator[tuple[str, ...]]:
    """Every point that was measured, with all that says how."""
    for question in curve.questions:
        measured = measurement(curve.run, question)
        if measured is None:
            continue
        e = measured.estimate
        seeds = f"noise {measured.seed}"
        if question.learned:
            seeds += f", training {curve.run.model.config.seed}"
        times = f"{question.grid.horizon:g}, {question.grid.delta:g}"
        interval = f"{number(e.low)} … {number(e.high)}" if e.trusted and math.isfinite(e.value) else "—"
        yield (
            curve.label, f"{measured.calls}", _value(e), interval, direction_words(e.direction), _estimator(e),
            f"{e.n:,}", number(e.floor, 2) if e.floor > 0 else "none", times, seeds,
        )  # fmt: skip


def _value(e: Estimate) -> str:
    if not e.trusted:
        return f"— {e.note}"
    return number(e.value) if resolved(e) else f"< {number(e.floor, 2)}"


def _estimator(e: Estimate) -> str:
    registered = ESTIMATORS.get(e.estimator)
    return registered.label if registered else e.estimator.replace("_", " ")
