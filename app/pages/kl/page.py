"""KL: how far from the truth after how many network calls, any runs and baselines together."""

import math
from collections.abc import Mapping, Sequence

import streamlit as st

from app.background.progress import poll, under_way
from app.experiments.results import shipped_answer
from app.export.popover import curves_takeaway
from app.export.snippet import curves_snippet
from app.figures.experiment import panel_figure, summary
from app.figures.path_kl import Parts, describe_parts, path_kl_bars
from app.figures.theme import theme
from app.kl.chart import POLL, curve_chart, measuring
from app.kl.curves import RunCurve, View, by_target, curves_of, decompositions, left_out
from app.kl.external import external_csv, external_rows
from app.kl.table import as_csv, as_rows, notes_list
from app.pages.kl.controls import choose_outside, curve_controls
from app.pages.kl.link import KL_LINK
from app.quoting import escape, plain
from app.runs.external import External
from app.runs.library import Run, runs
from app.runs.names import target_titles
from app.sharing.retrain_offer import training_offer, warn_not_shareable
from app.stage.sampler import changed_measure
from app.ui.cards import number, resolved, table, typeset
from app.ui.charts import show_chart
from app.ui.link_warnings import show_link_warnings
from app.ui.terms import explained
from cmcore.experiments import Result
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import sampling_defaults
from cmcore.theory import Assumption, Decomposition, PaperBound

STORY = "equal_calls"
"""The shipped answer that ends the page, where the lab ships with it."""
ASSUMED = {"start": "the start", "score": "E|ŝ − s|² ≤ ε²", "short_jumps": "h′L ≤ 1", "premise": "ε_k/(h′ε) ≤ e²"}
"""The paper's assumptions that differ from run to run, by key, as heads of columns."""
PAPER_READ = (
    "As reported of arXiv:2505.01049v2: (d + m₂)e⁻ᵀ + e⁴ε²Σ h′²/(4η), a sum over the jumps, h′ being the length of a "
    "jump and η the noise after it. No score is at hand here, so ε is read off the map: the least for which every "
    "jump’s own error ε_k is at most e²h′ε. L is the steepest slope of the exact score that was seen, or 1."
)


def kl() -> None:
    """The page."""
    show_link_warnings(KL_LINK.open())
    st.html(f"<h1 class='question'>{explained('How far from the truth, after how many network calls?')}</h1>")
    training_offer("kl_runs")
    offered = runs()
    if offered:
        _compared(offered)
    else:
        st.info("There is no run to measure yet. Train one: it takes less than a minute.")
    _story()


def _compared(offered: Mapping[str, Run]) -> None:
    """What is compared, its curves, and the link to both."""
    with st.container(key="klbench"):
        with st.container(key="compare_area"):
            view = curve_controls(offered)
            outside = choose_outside()
            warn_not_shareable("kl_runs")
        with st.container(key="curves_area"):
            curves = curves_of(view, offered)
            with st.container(key="kl_notes"):
                chosen = [offered[key] for key in view.runs]
                for words in [
                    *_measure_notes(view, curves),
                    *_of_other_targets(curves, outside),
                    *left_out(view, offered),
                    *_later_ends(view, curves),
                    *_cautions(view, chosen),
                ]:
                    st.caption(plain(words))
            if curves:
                going = under_way(measuring(view, curves, outside))
                poll(_curves, view, curves, outside, shown=going, every=POLL if going else None)
            else:
                st.info("Choose a run: it brings the target that everything is measured against.")
    KL_LINK.write()


def _story() -> None:
    """What the lab found, at equal calls, and ships with."""
    result = shipped_answer(STORY)
    if result is None:
        return
    with st.container(key="story_area"):
        st.html("<h2 class='question'>What the lab found on eight Gaussians and on atoms</h2>")
        _panels(result)
        st.html(f"<p class='reading'>{typeset(result.reading)}</p>")


def _panels(result: Result) -> None:
    with st.container(key="story"):
        for panel in result.panels:
            with st.container(key=f"panel_{panel.name}"):
                st.html(f"<h3 class='eyebrow'>{typeset(panel.title or panel.y.label)}</h3>")
                figure = panel_figure(result, panel, theme(st.context.theme.type))
                key = f"story_{panel.name}"
                show_chart(figure, key=key, alt=summary(result, panel))


def _of_other_targets(curves: Sequence[RunCurve], outside: Sequence[External]) -> list[str]:
    """Results from elsewhere that stand beside no run."""
    shown = {curve.run.target_key for curve in curves}
    return [
        f"{one.label} is of {one.result.target.name.replace('_', ' ')}: choose a run of that target to see both."
        for one in outside
        if one.target_key not in shown
    ]


def _measure_notes(view: View, curves: Sequence[RunCurve]) -> list[str]:
    """What of the measure changed although nobody chose it."""
    if not curves:
        return []
    learner = "this run" if len(view.runs) == 1 else "one of these runs"
    measure = view.direction, view.delta
    words = changed_measure("kl", (view.runs, view.sampler), view.sampler, measure, learner)
    return [words] if words else []


def _later_ends(view: View, curves: Sequence[RunCurve]) -> list[str]:
    """Where runs of a target are compared at another δ than was chosen, and why."""
    words, titles = [], target_titles(curve.run for curve in curves)
    for target, some in by_target(curves).items():
        runs = {curve.run.key: curve for curve in some if curve.learned}.values()
        if some[0].delta > view.delta and runs:
            last = max(runs, key=lambda curve: curve.run.model.delta)
            words.append(
                f"{titles[target]} is compared at δ = {some[0].delta:g}, the earliest time that its run {last.label} "
                f"learned, and not at δ = {view.delta:g}: numbers at two δ cannot be compared."
            )
    return words


def _cautions(view: View, chosen: Sequence[Run]) -> list[str]:
    """Where a run is asked for what it did not learn."""
    words: list[str] = []
    starts = {question.calls: question.grid.horizon for question in view.questions(view.sampler)}
    for run in chosen:
        if caution := sampling_defaults(run.model.config).caution(view.sampler, view.renoise, view.most):
            words.append(f"{run.label}: {caution}")
        beyond = [n for n, horizon in starts.items() if horizon > run.model.horizon + 1e-9]
        if beyond:
            which = "Every draw starts" if len(beyond) == len(view.steps) else f"From N = {beyond[0]} on, draws start"
            learned = f"the T = {run.model.horizon:g} that this run learned"
            words.append(f"{run.label}: {which} beyond {learned}; its map was not trained there.")
    return words


# ---- what is measured -------------------------------------------------------------------------------------------
def _curves(view: View, curves: Sequence[RunCurve], outside: Sequence[External]) -> bool:
    """The figures and all beside them; whether something is still being measured."""
    going = curve_chart(view, curves, outside, key="kl_curves")
    _beside(view, curves, outside)
    with st.container(key="taken_apart"):
        _taken_apart(view, curves)
    return going


def _beside(view: View, curves: Sequence[RunCurve], outside: Sequence[External]) -> None:
    """The table, the code and the CSV."""
    with st.container(key="kl_table"), st.expander("Table"):
        titles = ("", "δ", *(f"N = {n}" for n in view.steps))
        rows, notes = as_rows(view, curves)
        rows += external_rows(view, outside, notes)
        st.html(table("KL by curve and network calls, in nats", titles, rows))
        if notes:
            st.html(notes_list(notes))
    with st.container(horizontal=True, vertical_alignment="center", key="kl_takeaway"):
        st.html(
            f"<p class='theory'>{explained('Bands: 95 % intervals. Hatched: below the smallest detectable KL.')}</p>"
        )
        st.download_button(
            "CSV", lambda: as_csv(view, curves, external_csv(view, outside)).encode(), "kl-curves.csv", "text/csv",
            on_click="ignore", type="tertiary", key="kl_csv",
            help="Every point with interval, estimator, direction, δ, n, floor and seeds",
        )  # fmt: skip
        with st.popover("Code", type="tertiary"):
            st.code(curves_snippet(view, curves), language="python")
        curves_takeaway(view, curves, key="kl")


# ---- where it comes from ----------------------------------------------------------------------------------------
def _taken_apart(view: View, curves: Sequence[RunCurve]) -> None:
    """The parts of the path's KL, where one renoised run is chosen."""
    learned = [curve for curve in curves if curve.learned]
    if len(learned) != 1 or not SAMPLERS[view.sampler].noisy or "bound" not in view.shown:
        return
    st.html(f"<h2 class='question'>Where the KL of {escape(learned[0].label)} comes from</h2>")
    if not view.bounded:
        st.caption("The bounds apply only to KL(data ∥ model): choose that divergence to see them.")
        return
    decomposed = {n: parts for n, parts in decompositions(learned[0]).items() if math.isfinite(parts.path.value)}
    if not decomposed:
        st.caption("The parts are not measured yet.")
        return
    parts = {n: _parts(decomposition) for n, decomposition in decomposed.items()}
    show_chart(
        path_kl_bars(parts, theme=theme(st.context.theme.type)),
        key="path_kl",
        alt=describe_parts(parts),
    )
    st.html(
        "<p class='theory'>Left of each pair: what the KL of the whole paths is made of, which is Bound A, derived in "
        "this project. Right: how much of it the last states show, and the slack, forgotten by renoising. Hatched: the "
        "floor of the measured part.</p>"
    )
    with st.expander("Parts in nats"):
        st.html(_parts_table(decomposed))
    with st.expander("The paper’s bound and its assumptions"):
        st.html(_paper_table(learned[0].bounds))
        st.caption(plain(PAPER_READ))


def _paper_table(bounds: Mapping[int, PaperBound]) -> str:
    """The paper's bound by part, and what it asks for with what was found, met or not."""
    rows = ""
    for n, of in sorted(bounds.items()):
        cells = [
            f"{number(of.total.value)} [{number(of.total.low, 2)}, {number(of.total.high, 2)}]",
            number(of.start.value),
            number(of.of_jumps.value),
            number(of.bound_a.total.value),
            f"{number(of.epsilon.value, 2)}, the {of.measured}’s",
            *(_found(assumption) for assumption in of.assumptions if assumption.key != "moment"),
        ]
        rows += f"<tr><th scope='row'>N = {n}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    titles = ("", "the paper’s bound", "its start", "its sum", "Bound A", "ε", *ASSUMED.values())
    return table("The paper’s bound by part, in nats, and its assumptions", titles, rows)


def _found(assumption: Assumption) -> str:
    """What was found of an assumption, and whether it is met."""
    if assumption.met is None:
        return "not looked at"
    met = "met" if assumption.met else "not met"
    return f"{met}: {number(assumption.value, 2)}, at most {number(assumption.limit, 2)}"


def _parts(of: Decomposition) -> Parts:
    measured = of.measured.value if of.measured.trusted else math.nan
    slack = of.slack if of.measured.trusted else None
    low, high = (slack.low, slack.high) if slack else (math.nan, math.nan)
    jumps = tuple(jump.value for jump in of.jumps)
    return Parts(of.initialisation.value, jumps, measured, slack.value if slack else math.nan, low, high, of.floor)


def _parts_table(decomposed: Mapping[int, Decomposition]) -> str:
    rows = ""
    for n, of in sorted(decomposed.items()):
        largest = max(range(len(of.jumps)), key=lambda k, of=of: of.jumps[k].value)
        estimate = of.measured
        measured = number(estimate.value) if resolved(estimate) else f"< {number(estimate.floor, 2)}"
        cells = (
            f"{number(of.path.value)} [{number(of.path.low, 2)}, {number(of.path.high, 2)}]",
            number(of.initialisation.value),
            number(sum(jump.value for jump in of.jumps)),
            f"jump {largest + 1}: {number(of.jumps[largest].value)}",
            measured if estimate.trusted else "—",
            f"{number(of.slack.value)} [{number(of.slack.low, 2)}, {number(of.slack.high, 2)}]",
            number(of.floor, 2),
        )
        rows += f"<tr><th scope='row'>N = {n}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    titles = ("", "paths, Bound A", "initialisation", "map error", "largest", "measured", "slack", "floor")
    return table("The KL of the paths by part, in nats", titles, rows)
