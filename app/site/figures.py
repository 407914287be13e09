"""The figures of a static site: the stage, the KL against network calls, and panels of answers, as HTML."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType

from markupsafe import Markup

from app.components.flow_map import bundle, hash_of
from app.components.particle_stage import SamplerSettings, scene_message
from app.export.templates import html
from app.figures.experiment import panel_figure, summary
from app.figures.kl_curve import describe, kl_curve
from app.figures.svg import NARROW, WIDE, chart
from app.figures.theme import LIGHT
from app.kl.one_run import RunKL, kl_of_run, stopping
from app.kl.question import measure
from app.kl.table import ONE, calls_for, lines
from app.pages.lessons.figures import MOVERS, PARTICLES, caption, curve_config, mapped_of, origin, sampler_of
from app.pages.lessons.model import AnswerFigure, AnyFigure, CurveFigure, StageFigure
from app.pages.lessons.numbers import answer_of, run_of
from app.quoting import file_stem
from app.runs.run import Run
from app.site.files import Site, trusted
from app.stage.in_browser import first_drawing
from app.stage.scene import STEPS, Mapped, make_scene, map_layers
from app.ui.cards import direction_title, kl_card, short, typeset
from cmcore.config import SamplerConfig
from cmcore.experiments import Result
from cmcore.sampling_defaults import direction_for


@dataclass(frozen=True)
class Drawn:
    """A figure as HTML, and the scripts that it needs."""

    html: Markup
    scenes: tuple[str, ...] = ()


def drawn(site: Site, figure: AnyFigure) -> Drawn:
    """The figure of a lesson."""
    match figure:
        case StageFigure():
            return _stage(site, figure)
        case CurveFigure():
            return _curve(figure)
        case AnswerFigure():
            return _answer(figure)


# ---- the stage ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Picture:
    """The scripts of a stage: the message of its scene and, where the browser draws, the weights of its map."""

    scene: str
    weights: str = ""

    @property
    def scripts(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.weights, self.scene)))


def picture_of(
    site: Site,
    run: Mapped,
    config: SamplerConfig,
    *,
    seed: int,
    particles: int,
    samplers: Mapping[str, SamplerSettings] = MappingProxyType({}),
) -> Picture:
    """What a stage draws: every N of a draw, with its layers.

    A learned map is drawn in the browser from its weights, whatever is chosen there; the exact paths, the layers and
    the legs of its jumps are those of this draw. Other maps come with their states. `samplers` are those that the stage
    may turn to.
    """
    choices = {"config": config, "seed": seed, "particles": particles}
    weights = bundle(run.model)
    scene = make_scene(
        run.model, run.target, key=f"{run.key}/{config.sampler}/{seed}", in_browser=weights is not None, **choices
    )
    scene = replace(scene, layers=map_layers(run.model, run.target, **choices))
    if weights is not None:
        how = {"place": "site ", "settings": dict(samplers), "seed": seed, "particles": particles}
        scene = replace(scene, drawing=first_drawing(run, config, hash_of(weights), **how))
    message = scene_message(scene, steps=config.steps, answered=False)
    name = file_stem(f"{run.key}-{config.sampler}", 60)
    path = site.script("scenes", name, base64.b64encode(message).decode())
    if weights is None:
        return Picture(path)
    return Picture(path, site.script("maps", file_stem(run.key, 60), base64.b64encode(weights).decode()))


def stage_place(
    pictures: Mapping[str, Picture],
    labels: Mapping[str, Mapping[int, str]],
    *,
    visible: Sequence[str] | None,
    mover: str,
) -> Markup:
    """Where a stage is put: its pictures by sampler, and what stands beside its small ones, by view."""
    scenes = {name: picture.scripts for name, picture in pictures.items()}
    return html("site/templates/stage.html.jinja", scenes=scenes, labels=labels, visible=visible, mover=mover)


def _stage(site: Site, figure: StageFigure) -> Drawn:
    run, config = mapped_of(figure), sampler_of(figure)
    picture = _shared_picture(site, figure)
    kl = _measured(run, config, shown=figure.card) if isinstance(run, Run) else None
    place = stage_place({"": picture}, {"": labels_of(kl)}, visible=figure.layers, mover=MOVERS[figure.map])
    cards = cards_by_n(run, config, kl) if figure.card and isinstance(run, Run) and kl else {}
    words = html(
        "site/templates/staged.html.jinja", place=place, steps=figure.steps, caption=caption(figure, run), cards=cards
    )
    return Drawn(words, picture.scripts)


def _measured(run: Run, config: SamplerConfig, *, shown: bool) -> RunKL:
    """What is shipped; and the number that a lesson shows, measured here where no shipped curve has it."""
    kl = kl_of_run(run, config, direction_for(config.sampler))
    if shown and config.steps not in kl.estimates:
        with suppress(ValueError):  # the card then says that there is none
            measure(run, kl.first)
        kl = kl_of_run(run, config, direction_for(config.sampler))
    return kl


def _shared_picture(site: Site, figure: StageFigure) -> Picture:
    """One picture for all figures that differ only in what they show of it."""
    plain = figure.model_copy(update={"steps": STEPS[0], "layers": None, "card": False})
    if plain not in site.pictures:
        run, config = mapped_of(figure), sampler_of(plain)
        site.pictures[plain] = picture_of(site, run, config, seed=figure.seed, particles=PARTICLES)
    return site.pictures[plain]


def labels_of(kl: RunKL | None) -> dict[int, str]:
    """The KL by N as it stands beside the small pictures."""
    return {n: short(estimate) for n, estimate in kl.estimates.items()} if kl else {}


# ---- numbers and charts ---------------------------------------------------------------------------------------------
def cards_by_n(run: Run, config: SamplerConfig, kl: RunKL) -> dict[int, Markup]:
    """The card of every N; where an N was not measured its card says so."""
    title = direction_title(kl.view.direction, config.delta)
    stopped = stopping(run.key, config.delta, run) if config.delta and kl.estimates else 0.0

    def card(n: int) -> Markup:
        estimate = kl.estimates.get(n)
        if estimate is None:
            return html("site/templates/unmeasured.html.jinja", unmeasured=title)
        return trusted(kl_card(estimate, ddim_calls=calls_for(kl.ddim, estimate.value), stopped=stopped))

    return {n: card(n) for n in STEPS}


def kl_chart(kl: RunKL, *, calls: int, height: int, widths: Sequence[int] = (WIDE, NARROW)) -> Markup:
    """The curves of one run beside its baselines, with one N marked."""
    curves = lines(kl.view, kl.curves, ONE)
    if not any(line.points for line in curves):
        return html("site/templates/unmeasured.html.jinja", unmeasured="KL versus network calls")
    return chart(kl_curve(curves, calls=calls, theme=LIGHT, height=height), describe(curves), widths=widths)


def _curve(figure: CurveFigure) -> Drawn:
    run, config = run_of(figure.run), curve_config(figure)
    kl = kl_of_run(run, config, figure.direction)
    title = f"{direction_title(figure.direction, config.delta)}, against network calls"
    words = "Band: 95 % interval of this model. Grey: solvers that know the exact score."
    charts = [(title, kl_chart(kl, calls=figure.steps, height=400))]
    return Drawn(html("site/templates/charts.html.jinja", charts=charts, caption=words))


def panels(result: Result, names: Sequence[str] | None = None) -> list[tuple[Markup, Markup]]:
    """Titles and charts of an answer's panels."""
    by_name = {panel.name: panel for panel in result.panels}
    return [
        (
            trusted(typeset(panel.title or panel.y.label)),
            chart(panel_figure(result, panel, LIGHT), summary(result, panel)),
        )
        for panel in (by_name[name] for name in names or by_name)
    ]


def _answer(figure: AnswerFigure) -> Drawn:
    result = answer_of(figure.answer)
    words = origin(figure.answer, result)
    return Drawn(html("site/templates/charts.html.jinja", charts=panels(result, figure.panels), caption=words))
