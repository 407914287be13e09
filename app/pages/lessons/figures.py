"""The live figures of lessons: parts of the other pages, set by a preset."""

from dataclasses import dataclass

import streamlit as st

import cmcore as cm
from app import state
from app.background.jobs import JobView
from app.background.progress import poll, progress_line, progress_words, under_way, wait_line
from app.components.particle_stage import Mover
from app.experiments.fields import one_field
from app.experiments.results import ANSWERS, answer, ask_button, measuring
from app.figures.experiment import panel_figure, summary
from app.figures.kl_curve import describe, kl_curve
from app.figures.theme import theme
from app.kl.one_run import RunKL, kl_of_run, measure_run, stopping
from app.kl.table import ONE, calls_for, lines
from app.pages.lessons.model import AnswerFigure, AnyFigure, CurveFigure, Link, StageFigure
from app.pages.lessons.numbers import answer_of, is_own, run_of
from app.quoting import escape, plain
from app.runs.library import Run
from app.stage.scene import DRAWN, Mapped, label_of
from app.stage.stage import StagedMap, stage
from app.ui.cards import bare_card, direction_title, kl_card, spaced
from app.ui.charts import show_chart
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL
from cmcore.experiments import EXPERIMENTS, Result
from cmcore.samplers.ddim import ddim
from cmcore.samplers.scores import TargetScore
from cmcore.sampling_defaults import delta_for, direction_for

PLACE = "lesson "
"""Begins the names of what is done on the stage of a lesson."""
PARTICLES = 1_200
HORIZON = 3.0
POLL = 0.8
MOVERS: dict[str, Mover] = {"learned": "model", "exact": "exact", "ddim": "baseline"}


@dataclass(frozen=True)
class Unlearned:
    """A map from noise to a target that needs no learning."""

    key: str
    model: object
    target: cm.Target


def show_figure(figure: AnyFigure) -> None:
    """The figure, live."""
    match figure:
        case StageFigure():
            _stage(figure)
        case CurveFigure():
            _curve(figure)
        case AnswerFigure():
            _answer(figure)


# ---- the stage ------------------------------------------------------------------------------------------------------
def mapped_of(figure: StageFigure) -> Mapped:
    """What moves the particles."""
    if figure.run is not None:
        return run_of(figure.run)
    assert figure.target is not None  # a stage has one of the two
    return _unlearned(figure.target, figure.map)


@st.cache_resource(show_spinner=False, max_entries=16)
def _unlearned(target_name: str, kind: str) -> Unlearned:
    target = cm.make_target(target_name)
    model = ddim(TargetScore(target)) if kind == "ddim" else cm.ExactFlow(target, tolerance=DRAWN)
    return Unlearned(f"{kind} {target_name}", model, target)


def sampler_of(figure: StageFigure) -> SamplerConfig:
    """How the particles are drawn."""
    run = run_of(figure.run) if figure.run is not None else None
    return SamplerConfig(
        sampler=figure.sampler,
        grid=figure.grid,
        steps=figure.steps,
        horizon=run.model.horizon if run else HORIZON,
        delta=_delta(figure.delta, figure.sampler, run),
        renoise=figure.eta,
    )


def _delta(asked: float | None, sampler: str, run: Run | None) -> float:
    least = run.model.delta if run else 0.0
    return delta_for(sampler, least) if asked is None else asked


def _stage(figure: StageFigure) -> None:
    _begin(figure)
    steps = state.value(f"{PLACE}steps")
    config = sampler_of(figure).model_copy(update={"steps": steps})
    run = mapped_of(figure)
    estimates = kl_of_run(run, config, direction_for(config.sampler)).estimates if isinstance(run, Run) else {}
    stage([StagedMap(run, estimates, MOVERS[figure.map])], config, place=PLACE, visible=figure.layers)
    st.caption(plain(caption(figure, run)))
    if figure.card and isinstance(run, Run):
        going = under_way(_measured(run, config)[1])
        poll(_card, run, config, shown=going, every=POLL if going else None)


def _begin(figure: StageFigure) -> None:
    """Another preset puts away what was done on the stage before."""
    if state.value(f"{PLACE}preset") == figure:
        return
    state.set_value(f"{PLACE}preset", figure)
    first = {"steps": figure.steps, "seed": figure.seed, "particle count": PARTICLES, "release": 0}
    for name, value in {**first, "own start": None, "moved times": None}.items():
        state.set_value(PLACE + name, value)


def caption(figure: StageFigure, run: Mapped) -> str:
    """What the colours on the stage are."""
    name = label_of(run.target)
    words = {
        "exact": f"What jumps is the exact map of {name}; nothing is learned.",
        "ddim": f"Grey: DDIM steps with the exact score of {name}; nothing is learned.",
        "learned": f"Orange: a small network that learned {name}.",
    }[figure.map]
    return f"{words} Green: the exact flow from the same noise."


def _measured(run: Run, config: SamplerConfig) -> tuple[RunKL, JobView | None]:
    """The shipped KLs, and the measuring of others where the shipped ones do not have the N on screen."""
    kl = kl_of_run(run, config, direction_for(config.sampler))
    return kl, None if config.steps in kl.estimates else measure_run(kl)


def _card(run: Run, config: SamplerConfig) -> bool:
    """The number beside the stage; whether it is still being measured."""
    kl, view = _measured(run, config)
    estimate = kl.estimates.get(config.steps)
    if estimate is None:
        words = kl.problem or (progress_words(view) if view else "Not measured.")
        st.html(bare_card(direction_title(kl.view.direction, config.delta), words))
    else:
        stopped = stopping(f"lesson {run.key}", config.delta, run) if config.delta else 0.0
        st.html(kl_card(estimate, ddim_calls=calls_for(kl.ddim, estimate.value), stopped=stopped))
    return under_way(view)


# ---- the chart of a run ---------------------------------------------------------------------------------------------
def curve_config(figure: CurveFigure) -> SamplerConfig:
    """How the samples behind the curve are drawn."""
    drawn = {"show": "stage", "run": figure.run, "sampler": figure.sampler, "delta": figure.delta}
    return sampler_of(StageFigure.model_validate(drawn))


def _curve(figure: CurveFigure) -> None:
    run, config = run_of(figure.run), curve_config(figure)
    kl = kl_of_run(run, config, figure.direction)
    view, drawn = measure_run(kl), lines(kl.view, kl.curves, ONE)
    title = direction_title(figure.direction, config.delta)
    st.html(f"<h2 class='eyebrow'>{escape(title)}, against network calls</h2>")
    show_chart(
        kl_curve(drawn, calls=figure.steps, theme=theme(st.context.theme.type), height=400),
        key=f"lesson curve {figure!r}",
        alt=describe(drawn),
    )
    words = "Band: 95 % interval of this model. Grey: solvers that know the exact score."
    st.caption(plain(progress_words(view) if view else words))


# ---- shipped answers ------------------------------------------------------------------------------------------------
def _answer(figure: AnswerFigure) -> None:
    result, words = answer_of(figure.answer), ""
    if figure.steer is not None:
        result, words = _steered(figure.answer, figure.steer, result)
    colours = theme(st.context.theme.type)
    panels = {panel.name: panel for panel in result.panels}
    with st.container(key="panels"):
        for name in figure.panels:
            panel = panels[name]
            with st.container(key=f"lesson_panel_{figure.panels.index(name)}"):
                st.html(f"<h2 class='eyebrow'>{escape(spaced(panel.title or panel.y.label))}</h2>")
                show_chart(
                    panel_figure(result, panel, colours),
                    key=f"lesson answer {figure.answer} {name}",
                    alt=summary(result, panel),
                )
    st.caption(plain(words or origin(figure.answer, result)))


def origin(name: str, result: Result) -> str:
    """Where a shipped answer is from."""
    code = EXPERIMENTS[name].code if name in EXPERIMENTS else "Failure gallery"
    seed = result.config.get("seed")
    return f"{code}: the answer that the lab ships with" + (f", seed {seed}." if seed is not None else ".")


def _steered(name: str, field: str, shipped: Result) -> tuple[Result, str]:
    """One field, a button, and the answer to what they say once it is there."""
    view = measuring(name)
    going = under_way(view)
    with st.container(key="steer", horizontal=True, vertical_alignment="bottom"):
        question, problem = one_field(name, field, disabled=going)
        result = None if question is None else answer(name, question)
        ask_button(name, question, "lesson_measure")
    if problem:
        st.warning(plain(problem))
    if going:
        wait_line(ANSWERS)
    else:
        progress_line(view)
    if result is not None:
        return result, ""
    return shipped, "Shown: the answer that the lab ships with. Press Measure for your setting."


# ---- onward ---------------------------------------------------------------------------------------------------------
def onward_of(figure: AnyFigure | None) -> Link | None:
    """The page that the figure is a part of, and the link that opens it there with the same settings."""
    match figure:
        case StageFigure(run=str(run)) if not is_own(run):
            config = sampler_of(figure)
            link = {"run": run, "n": figure.steps, "sampler": figure.sampler, "grid": figure.grid, "seed": figure.seed}
            return Link(page="explore", link={**link, "eta": figure.eta, "delta": config.delta})
        case CurveFigure():
            seen = "data" if figure.direction == DATA_MODEL else "model"
            return Link(page="kl", link={"runs": figure.run, "sampler": figure.sampler, "from": seen})
        case AnswerFigure(answer=name) if name in EXPERIMENTS:
            return Link(page="scaling", link={"question": name})
    return None
