"""Lessons on a static site: the gallery, and a page for every step, so that each has its address."""

from collections.abc import Iterator, Mapping

from app.pages.lessons.catalogue import Shelf, shelf
from app.pages.lessons.figures import onward_of
from app.pages.lessons.model import AnyFigure, Lesson, Link, Step
from app.pages.lessons.numbers import filled
from app.pages.lessons.picture import picture_of
from app.site.explore import path_of as explore_path
from app.site.figures import drawn
from app.site.files import Site
from app.site.kl import path_of as kl_path
from app.site.scaling import path_of as scaling_path
from app.site.words import Warn, as_html, in_line
from cmcore.experiments import EXPERIMENTS


def path_of(slug: str, number: int) -> str:
    """The page of a step; steps count from 1."""
    return f"lessons/{slug}/{number}.html"


def lesson_pages(site: Site) -> Iterator[tuple[str, bytes]]:
    """The gallery, then every step of every lesson."""
    offered = shelf()
    for problem in offered.problems:
        site.warn(problem)
    yield _gallery(site, offered)
    slugs = list(offered.lessons)
    for slug, later in zip(slugs, [*slugs[1:], None], strict=True):
        lesson = offered.lessons[slug]
        for number in range(1, len(lesson.steps) + 1):
            yield _step(site, lesson, number, later)


def _gallery(site: Site, offered: Shelf) -> tuple[str, bytes]:
    cards = [
        {
            "lesson": lesson,
            "title": in_line(filled(lesson.title, lesson)),
            "path": path_of(lesson.slug, 1),
            "pictures": _pictures(site, lesson),
        }
        for lesson in offered.lessons.values()
    ]
    return site.page(
        "lessons.html",
        "lessons",
        part="lessons",
        title="Lessons",
        about="Short tours of flow maps and consistency models: predict something first, then see it.",
        lab=site.in_lab("lessons"),
        cards=cards,
    )


def _pictures(site: Site, lesson: Lesson) -> tuple[str, str]:
    light, dark = (site.picture(lesson.slug, picture_of(lesson.picture, name)) for name in ("light", "dark"))
    return light, dark


def _step(site: Site, lesson: Lesson, number: int, later: str | None) -> tuple[str, bytes]:
    step = lesson.steps[number - 1]
    warn = _warner(site, lesson, number)
    figure = None if step.figure is None else drawn(site, step.figure)
    reveal = None if step.reveal is None else drawn(site, step.reveal)
    return site.page(
        path_of(lesson.slug, number),
        "lesson",
        part="lessons",
        title=f"{filled(step.title, lesson)} · {filled(lesson.title, lesson)}",
        about=lesson.summary,
        lab=site.in_lab("lessons", {"lesson": lesson.slug, "step": number}),
        scenes=[] if figure is None else figure.scenes,
        lesson=lesson,
        number=number,
        steps=[(path_of(lesson.slug, i), filled(each.title, lesson)) for i, each in enumerate(lesson.steps, 1)],
        lesson_title=in_line(filled(lesson.title, lesson), warn),
        heading=in_line(filled(step.title, lesson), warn),
        words=as_html(filled(step.text, lesson), warn),
        question=_question(step, lesson, warn),
        figure=figure,
        reveal=reveal,
        onward=_onward(site, step.onward, step.figure),
        onward_revealed=_onward(site, step.onward, step.reveal),
        back=path_of(lesson.slug, number - 1) if number > 1 else None,
        on=path_of(lesson.slug, number + 1) if number < len(lesson.steps) else None,
        later=path_of(later, 1) if later else None,
    )


def _warner(site: Site, lesson: Lesson, number: int) -> Warn:
    return lambda words: site.warn(f"{lesson.file}, step {number}: {words}")


def _question(step: Step, lesson: Lesson, warn: Warn) -> Mapping[str, object] | None:
    asked = step.question
    if asked is None:
        return None
    return {
        "ask": in_line(filled(asked.ask, lesson), warn),
        "choices": [in_line(filled(choice, lesson), warn) for choice in asked.choices],
        "right": asked.right - 1,
        "why": as_html(filled(asked.why, lesson), warn),
    }


def _onward(site: Site, link: Link | None, figure: AnyFigure | None) -> tuple[str, bool] | None:
    """Where to try it: a page of the site, or of the lab where a server is needed; and whether it is the lab's."""
    link = link or onward_of(figure)
    if link is None:
        return None
    run = site.runs.get(str(link.link.get("run" if link.page == "explore" else "runs", "")))
    question = str(link.link.get("question", ""))
    if link.page == "explore" and run is not None:
        known = {name: link.link[name] for name in ("n", "sampler") if name in link.link}
        return f"{explore_path(run)}?{'&'.join(f'{name}={value}' for name, value in known.items())}", False
    if link.page == "kl" and run is not None:
        return kl_path(run), False
    if link.page == "scaling" and question in EXPERIMENTS:
        return scaling_path(question), False
    return site.in_lab(link.page, link.link), True
