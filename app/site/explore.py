"""Explore on a static site: one page for every run, with its draws and what was measured of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from app.figures.svg import NARROW
from app.figures.theme import DARK, LIGHT
from app.kl.bound_line import sentence
from app.kl.curves import SEEN_FROM
from app.kl.one_run import RunKL, initialisation, kl_of_run
from app.kl.run_picker import facts
from app.kl.run_summary import learned_by, picture
from app.quoting import file_stem
from app.runs.run import Run
from app.site.figures import cards_by_n, kl_chart, labels_of, scene_script, stage_place
from app.site.files import Site, trusted
from app.stage.sampler import SAMPLERS
from app.stage.scene import PARTICLES, STEPS
from app.ui.cards import direction_words
from cmcore.config import SamplerConfig
from cmcore.sampling_defaults import delta_for, sampling_defaults

FIRST_STEPS = 4
DRAWN_BY = ("deterministic", "renoise")
"""Samplers whose draws come with a page."""


@dataclass(frozen=True)
class _View:
    """What the measurements column shows with one sampler and one direction: cards and theory by N, and the chart."""

    when: Mapping[str, str]
    cards: Mapping[int, Markup]
    theory: Mapping[int, str]
    chart: Markup


def path_of(run: Run) -> str:
    """The page of a run."""
    return f"explore/{file_stem(run.key)}.html"


def explore_pages(site: Site) -> Iterator[tuple[str, bytes]]:
    """A page for every run; the first run's is the page that the site opens on, too."""
    pictures = {key: _pictures(site, run) for key, run in site.runs.items()}
    for place, run in enumerate(site.runs.values()):
        own = sampling_defaults(run.model.config)
        configs = {name: _config(run, name, own.renoise) for name in DRAWN_BY}
        scenes = {name: scene_script(site, run, each, seed=0, particles=PARTICLES) for name, each in configs.items()}
        measured = {
            (name, seen): kl_of_run(run, config, direction)
            for name, config in configs.items()
            for seen, direction in SEEN_FROM.items()
        }
        views = [_view(run, configs[name], name, seen, kl) for (name, seen), kl in measured.items()]
        labels = {f"{name} {seen}": labels_of(kl) for (name, seen), kl in measured.items()}
        first = own.sampler if own.sampler in DRAWN_BY else DRAWN_BY[0]
        seen_first = next(seen for seen, direction in SEEN_FROM.items() if direction == own.direction)
        for path in (["index.html"] if place == 0 else []) + [path_of(run)]:
            yield site.page(
                path,
                "explore",
                part="explore",
                title=run.label,
                about=f"{run.label}, {learned_by(run.model.config)}: noise becomes data in N jumps.",
                lab=site.in_lab("explore", {"run": run.key} if run.shipped else {}),
                scenes=[scenes[first]],
                run=run,
                runs=[(each, path_of(each), pictures[key]) for key, each in site.runs.items()],
                facts=trusted(facts(run)),
                place=stage_place(scenes, labels, visible=None, mover="model"),
                views=views,
                begin={"n": str(FIRST_STEPS), "sampler": first, "from": seen_first},
                steps=[(str(n), str(n)) for n in STEPS],
                kl_path=f"kl/{file_stem(run.key)}.html",
                samplers={name: SAMPLERS[name] for name in DRAWN_BY},
                directions={seen: direction_words(direction) for seen, direction in SEEN_FROM.items()},
                eta=own.renoise,
                configs=configs,
            )


def _config(run: Run, sampler: str, eta: float) -> SamplerConfig:
    """A draw of the run as the lab first shows it."""
    return SamplerConfig(
        sampler=sampler,
        grid="uniform_angle",
        steps=FIRST_STEPS,
        horizon=run.model.horizon,
        delta=delta_for(sampler, run.model.delta),
        renoise=eta,
    )


def _view(run: Run, config: SamplerConfig, sampler: str, seen: str, kl: RunKL) -> _View:
    start = initialisation(run.key, config.horizon, run)

    def theory(n: int) -> str:
        return sentence(run, config.model_copy(update={"steps": n}), kl.estimates.get(n), None, start)

    return _View(
        {"sampler": sampler, "from": seen},
        cards_by_n(run, config, kl),
        {n: theory(n) for n in STEPS},
        kl_chart(kl, calls=FIRST_STEPS, height=260, widths=(NARROW,)),
    )


def _pictures(site: Site, run: Run) -> tuple[str, str]:
    """The target, small, for light and for dark paper."""
    name = file_stem(run.key, 40)
    light, dark = (site.picture(name, picture(run.key, theme.data, run)) for theme in (LIGHT, DARK))
    return light, dark
