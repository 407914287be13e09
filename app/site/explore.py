"""Explore on a static site: one page for every run, with its draws and what was measured of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.components.particle_stage import SamplerSettings
from app.figures.svg import NARROW
from app.figures.theme import DARK, LIGHT
from app.kl.bound_line import sentence
from app.kl.curves import SEEN_FROM
from app.kl.one_run import RunKL, initialisation, kl_of_run
from app.kl.run_picker import facts
from app.kl.run_summary import picture
from app.pages.explore.opening import BEGIN, HEADLINE
from app.pages.lessons.catalogue import shelf
from app.quoting import file_stem
from app.runs.names import learned_by
from app.runs.run import Run
from app.site.figures import cards_by_n, kl_chart, labels_of, picture_of, stage_place
from app.site.files import Site, trusted
from app.site.settings import settings_of
from app.stage.sampler import DELTAS, SAMPLERS
from app.stage.scene import PARTICLES, STEPS
from app.ui.cards import direction_words
from cmcore.config import USUAL_GRID, SamplerConfig
from cmcore.grids import GRIDS
from cmcore.samplers import SAMPLERS as ALL
from cmcore.sampling_defaults import delta_for, sampling_defaults

FIRST_STEPS = 4
SEED = 0
"""Of the noise at first, for which the exact paths come with a page."""


@dataclass(frozen=True)
class _View:
    """What the measurements column shows of one measured setting: cards and theory by N, and the chart.

    `when` are the choices of the page for which it holds.
    """

    when: Mapping[str, str]
    cards: Mapping[int, Markup]
    theory: Mapping[int, str]
    chart: Markup


@dataclass(frozen=True)
class _Sampler:
    """A sampler that can be chosen: how it draws at first, the words of its η, and the δ that can be chosen with it."""

    label: str
    config: SamplerConfig
    eta: str
    deltas: tuple[str, ...]


def path_of(run: Run) -> str:
    """The page of a run."""
    return f"explore/{file_stem(run.key)}.html"


def explore_pages(site: Site) -> Iterator[tuple[str, bytes]]:
    """A page for every run; the first run's is the page that the site opens on, too."""
    pictures = {key: _pictures(site, run) for key, run in site.runs.items()}
    listed = [(run, path_of(run), pictures[key]) for key, run in site.runs.items()]
    for place, run in enumerate(site.runs.values()):
        paths = [*(["index.html"] if place == 0 else []), path_of(run)]
        yield from _pages(site, run, paths, listed)


def _pages(site: Site, run: Run, paths: Sequence[str], listed: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    own = sampling_defaults(run.model.config)
    samplers = {name: _sampler(run, name, own.renoise) for name in SAMPLERS}
    offered = {
        name: SamplerSettings(each.label, each.config.renoise, each.config.delta) for name, each in samplers.items()
    }
    choices: dict[str, Any] = {"seed": SEED, "particles": PARTICLES, "samplers": offered}
    stages = {name: picture_of(site, run, each.config, **choices) for name, each in samplers.items()}
    views, labels = _views(run)
    first = own.sampler if own.sampler in samplers else next(iter(samplers))
    begin = {
        "n": str(FIRST_STEPS),
        "sampler": first,
        "from": next(seen for seen, direction in SEEN_FROM.items() if direction == own.direction),
        "grid": USUAL_GRID,
        "delta": f"{samplers[first].config.delta:g}",
        "eta": f"{own.renoise:g}",
        "seed": str(SEED),
        "times": "named",
    }
    for path in paths:
        yield site.page(
            path,
            "explore",
            part="explore",
            title=run.label,
            about=f"{run.label}, {learned_by(run.model.config)}: noise becomes data in N jumps.",
            lab=site.in_lab("explore", {"run": run.key} if run.shipped else {}),
            scenes=stages[first].scripts,
            headline=trusted(HEADLINE),
            first_lessons=_first_lessons(),
            run=run,
            runs=listed,
            facts=trusted(facts(run)),
            place=stage_place(stages, labels, visible=None, mover="model"),
            views=[(view, view.when.items() <= begin.items()) for view in views],
            begin=begin,
            steps=[(str(n), str(n)) for n in STEPS],
            kl_path=f"kl/{file_stem(run.key)}.html",
            samplers=samplers,
            live=bool(stages[first].weights),
            directions={seen: direction_words(direction) for seen, direction in SEEN_FROM.items()},
            grids=[(name, name.replace("_", " ")) for name in GRIDS],
            ends={"T": f"{run.model.horizon:g}", "delta": begin["delta"]},
        )


def _first_lessons() -> list[tuple[str, str]]:
    """Where newcomers begin: the page, and what leads there."""
    numbered = {lesson.number: lesson.slug for lesson in shelf().lessons.values()}
    return [(f"lessons/{numbered[n]}/1.html", words) for n, words in BEGIN.items() if n in numbered]


def _sampler(run: Run, name: str, eta: float) -> _Sampler:
    """A draw of the run as the lab first shows it, and what can be chosen of it."""
    noisy, least = ALL[name].noisy, delta_for(name, run.model.delta)
    config = SamplerConfig(
        sampler=name, grid=USUAL_GRID, steps=FIRST_STEPS, horizon=run.model.horizon, delta=least, renoise=eta
    )
    lowest = max(run.model.delta, DELTAS[1]) if noisy else run.model.delta
    deltas = sorted({lowest, least, *(delta for delta in DELTAS if delta > lowest)})
    words = "" if not noisy else "η as a share of the step" if ALL[name].share_of == "step" else "η as a share of t"
    return _Sampler(SAMPLERS[name], config, words, tuple(f"{delta:g}" for delta in deltas))


def _views(run: Run) -> tuple[list[_View], dict[str, dict[int, str]]]:
    """What was measured of the run's own draws; and by choices, the numbers beside the small pictures."""
    seen_from = {direction: seen for seen, direction in SEEN_FROM.items()}
    views, labels = [], {}
    for setting in settings_of(run):
        config = SamplerConfig(
            sampler=setting.sampler, grid=setting.grid, steps=FIRST_STEPS, horizon=setting.horizon,
            delta=setting.delta, renoise=setting.renoise,
        )  # fmt: skip
        when = {"sampler": setting.sampler, "from": seen_from[setting.direction], "grid": setting.grid}
        when |= {"delta": f"{setting.delta:g}", "times": "named"}
        when |= {"eta": f"{setting.renoise:g}"} if ALL[setting.sampler].noisy else {}
        kl = kl_of_run(run, config, setting.direction)
        if setting.sampler in SAMPLERS and setting.horizon == run.model.horizon:
            views.append(_view(run, config, when, kl))
            labels.setdefault(f"{setting.sampler} {when['from']}", labels_of(kl))
    return views, labels


def _view(run: Run, config: SamplerConfig, when: Mapping[str, str], kl: RunKL) -> _View:
    start = initialisation(run.key, config.horizon, run)

    def theory(n: int) -> str:
        return sentence(run, config.model_copy(update={"steps": n}), kl.estimates.get(n), None, start)

    return _View(
        when,
        cards_by_n(run, config, kl),
        {n: theory(n) for n in STEPS},
        kl_chart(kl, calls=FIRST_STEPS, height=260, widths=(NARROW,)),
    )


def _pictures(site: Site, run: Run) -> tuple[str, str]:
    """The target, small, for light and for dark paper."""
    name = file_stem(run.key, 40)
    light, dark = (site.picture(name, picture(run.key, theme.data, run)) for theme in (LIGHT, DARK))
    return light, dark
