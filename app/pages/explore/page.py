"""Explore: one run, from noise to data in N jumps, and how far from the truth it ends."""

from collections.abc import Hashable, Sequence

import streamlit as st

from app import state
from app.background.jobs import JobView
from app.background.progress import poll, progress_words, under_way
from app.export.popover import explore_takeaway
from app.export.snippet import snippet
from app.figures.kl_curve import Line, describe, kl_curve
from app.figures.theme import theme
from app.kl.bound_line import sentence
from app.kl.curves import DIRECTIONS
from app.kl.external_card import externals_beside
from app.kl.one_run import RunKL, beside, end_others, initialisation, kl_of_run, measure_run, stopping
from app.kl.question import paper_bound_at
from app.kl.run_picker import run_controls
from app.kl.table import ONE, calls_for, lines
from app.pages.explore.against import against_control
from app.pages.explore.link import LINK
from app.pages.explore.opening import HEADLINE, opening
from app.pages.explore.times_card import is_searching, times_card
from app.quoting import escape, plain
from app.runs.library import Run, runs
from app.runs.names import run_names, short_names
from app.sharing.retrain_offer import training_offer, warn_not_shareable
from app.stage.after_picture import after_picture
from app.stage.sampler import LETTERS, choose_measure, measure_note, sampler_controls
from app.stage.stage import StagedMap, stage
from app.ui.cards import Side, bare_card, direction_title, direction_words, kl_card, pair_card
from app.ui.charts import show_chart
from app.ui.link_warnings import show_link_warnings
from app.ui.single_choice import single_choice
from app.ui.terms import explained
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import direction_for

POLL, SOON = 0.8, 0.3
"""Seconds between looks at a measurement under way; while the number on screen is still to come."""
CHART_HEIGHT = 260


def explore() -> None:
    """The page."""
    show_link_warnings(LINK.open())
    headline = st.container(key="headline_area")
    training_offer("run")
    if not runs():
        with headline:
            st.html(HEADLINE)
        st.info("There is no run to look at yet. Train one: it takes less than a minute.")
        return
    with st.container(key="workbench"):
        with st.container(key="run_area"):
            run = run_controls()
            warn_not_shareable("run")
            other = against_control(run)
        runs_shown = [run, other] if other else [run]
        with st.container(key="sampler_area"):
            config = sampler_controls(*runs_shown)
        measures = st.container(key="measures_area")
        with measures, st.container(key="direction_area"):
            direction = _direction(config.sampler)
            if words := measure_note(runs_shown, config, direction):
                st.caption(plain(words))
        with st.container(key="stage_area"):
            kls = _kl_of(runs_shown, config, direction)
            end_others(kls[0])
            stage(_on_stage(kls), config)
        with headline:
            opening(run, kls[0].estimates, int(state.value("particle count")))
        with measures:
            view = measure_run(kls[0])
            soon = SOON if any(config.steps not in kl.estimates for kl in kls) else POLL
            going = under_way(view) or is_searching(run, config, direction)
            poll(_measures, runs_shown, config, direction, shown=_extent(kls, view), every=soon if going else None)
    externals_beside(run, config.steps)
    LINK.write()


def _direction(sampler: str) -> Direction:
    """KL(q‖p) asks whether every sample is plausible, KL(p‖q) whether all of the data is reached."""
    return single_choice(
        "Divergence",
        DIRECTIONS,
        format_func=direction_words,
        label_visibility="collapsed",
        key="direction",
        first=direction_for(sampler),
        on_change=choose_measure,
        width="stretch",
    )


def _kl_of(runs_shown: Sequence[Run], config: SamplerConfig, direction: Direction) -> list[RunKL]:
    """What is measured of the run on show, and of the one beside it, whose curves are then among those of the first."""
    kls = [kl_of_run(run, config, direction, state.value("moved times")) for run in runs_shown]
    if len(kls) == 1:
        return kls
    names = [f"{letter} {name}" for letter, name in zip(LETTERS, short_names(runs_shown).values(), strict=True)]
    return [beside(kls[0], kls[1], names), kls[1]]


def _on_stage(kls: Sequence[RunKL]) -> list[StagedMap]:
    names = run_names(kl.run for kl in kls)
    return [StagedMap(kl.run, kl.estimates, title=names[kl.run.key]) for kl in kls]


def _measures(runs_shown: Sequence[Run], config: SamplerConfig, direction: Direction) -> tuple[Hashable, bool]:
    """The measurements column, and how much there is; drawn anew while something is being measured."""
    kls, run = _kl_of(runs_shown, config, direction), runs_shown[0]
    kl, view = kls[0], measure_run(kls[0])
    waiting = progress_words(view) if view else ""
    with st.container(key="number_area"):
        st.html(_numbers(kls, waiting, config))
    with st.container(key="best_area"):
        times_card(kl.on_grid, run, config, direction, LETTERS[0] if len(kls) > 1 else "")
    with st.container(key="chart_area"):
        _chart(kl, waiting, config, direction, run)
    n = config.steps
    start = initialisation(run.key, config.horizon, run)
    words = sentence(run, config, kl.estimates.get(n), kl.bound.get(n), start, paper=paper_bound_at(run, kl.first))
    with st.container(key="theory_area"):
        st.html(f'<p class="theory">{explained(words)}</p>')
    return _extent(kls, view)


def _extent(kls: Sequence[RunKL], view: JobView | None) -> tuple[Hashable, bool]:
    """How much is measured: a new number belongs beside its small multiple too, and polling ends with the measuring."""
    return tuple(tuple(sorted(kl.estimates)) for kl in kls), under_way(view)


def _numbers(kls: Sequence[RunKL], waiting: str, config: SamplerConfig) -> str:
    """The card of the N on screen and, hidden, those of other N: the stage shows the one it turns to at once."""
    others = [n for n in kls[0].estimates if n != config.steps and all(n in kl.estimates for kl in kls)]
    shown = f'<div data-steps="{config.steps}">{_card(kls, waiting, config)}</div>'
    cards = (_card(kls, waiting, config.model_copy(update={"steps": n, "times": None})) for n in others)
    return shown + "".join(f'<div data-steps="{n}" hidden>{html}</div>' for n, html in zip(others, cards, strict=True))


def _card(kls: Sequence[RunKL], waiting: str, config: SamplerConfig) -> str:
    """One number, or two and their difference."""
    kl, title, sides = kls[0], direction_title(kls[0].view.direction, config.delta), _sides(kls, waiting, config)
    stopped = stopping(kl.run.key, config.delta, kl.run) if any(side.estimate for side in sides) else None
    if len(sides) > 1:
        return pair_card(title, sides, stopped=stopped) + _presented("", config)
    (side,) = sides
    if side.estimate is None:
        return bare_card(title, side.waiting) + _presented(kl.run.label, config)
    html = kl_card(side.estimate, ddim_calls=side.ddim_calls, stopped=stopped)
    if side.waiting:
        html += f'<p class="card-aside">{escape(side.waiting)}</p>'
    return html + _presented(kl.run.label, config)


def _sides(kls: Sequence[RunKL], waiting: str, config: SamplerConfig) -> list[Side]:
    """What the card says of each map: its estimate, or a quick one for whoever waits for it."""
    names, sides = short_names(kl.run for kl in kls), []
    for letter, kl in zip(LETTERS, kls, strict=False):
        measured = kl.estimates.get(config.steps)
        estimate, words = measured or kl.quick, kl.problem or waiting
        if estimate is None:
            sides.append(Side(letter, names[kl.run.key], None, words or "Not measured."))
            continue
        about = "" if measured else f"A quick estimate, from few samples. {words}"
        sides.append(Side(letter, names[kl.run.key], estimate, about, calls_for(kls[0].ddim, estimate.value)))
    return sides


def _presented(name: str, config: SamplerConfig) -> str:
    """What presenter mode, which shows no controls, says beside its numbers; two maps have their names already."""
    jumps = "1 jump" if config.steps == 1 else f"{config.steps} jumps"
    noise = ", renoised" if SAMPLERS[config.sampler].noisy else ""
    return f'<p class="presented"><b>{jumps}{noise}</b>{escape(name)}</p>'


def _show_curve(drawn: tuple[Line, ...], calls: int) -> None:
    figure = kl_curve(drawn, calls=calls, theme=theme(st.context.theme.type), height=CHART_HEIGHT)
    show_chart(figure, key="kl_chart", alt=describe(drawn))


def _chart(kl: RunKL, waiting: str, config: SamplerConfig, direction: Direction, run: Run) -> None:
    drawn = tuple(lines(kl.view, kl.curves, ONE))
    st.html(f'<h2 class="eyebrow">{explained("KL versus network calls")}</h2>')
    after_picture(_show_curve, drawn, config.steps, height=CHART_HEIGHT)
    with st.container(
        key="chart_below", horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.caption(plain(waiting) or "Band: 95 % interval of this model.")
        with st.popover("Code", type="tertiary"):
            st.code(snippet(run, config, direction), language="python")
        explore_takeaway(run, config, direction, kl)
