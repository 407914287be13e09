"""The lessons that the lab offers: every file that can be shown, and a sentence for each that cannot."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app.pages.lessons.model import AnswerFigure, AnyFigure, CurveFigure, Lesson, StageFigure, figures_of
from app.pages.lessons.numbers import answer_of, run_of, values_of
from app.pages.lessons.reader import BadLesson, read_lesson_file
from cmcore.experiments import EXPERIMENTS
from cmcore.grids import GRIDS
from cmcore.targets import GALLERY

FOLDER = Path(__file__).parent / "content"
"""The lessons that come with the lab; a teacher's own folder is named by CONSISTENCY_LAB_LESSONS."""
MOST = 60
"""Files of a folder that are read."""


@dataclass(frozen=True)
class Shelf:
    """Lessons by slug, in the order of their files, and what is wrong with the files that are no lessons."""

    lessons: Mapping[str, Lesson]
    problems: tuple[str, ...] = ()


def shelf() -> Shelf:
    """What is offered."""
    return lessons_of(os.environ.get("CONSISTENCY_LAB_LESSONS", str(FOLDER)))


@st.cache_resource(show_spinner=False, max_entries=4)
def lessons_of(folder: str) -> Shelf:
    """The lessons of a folder."""
    lessons, problems = {}, []
    for path in sorted(Path(folder).glob("*.md"), key=_order)[:MOST]:
        try:
            lesson = read_lesson_file(path)
            check(lesson)
            if lesson.slug in lessons:
                raise BadLesson(f"{path.name}: another lesson is called {lesson.slug} already.")
            lessons[lesson.slug] = lesson
        except BadLesson as problem:
            problems.append(str(problem))
    return Shelf(lessons, tuple(problems))


def _order(path: Path) -> tuple[int, str]:
    """10-… comes after 9-…."""
    number = path.name.partition("-")[0]
    return (int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 10**9, path.name)


def check(lesson: Lesson) -> None:
    """That all it shows and says is there. Raises :class:`BadLesson` with one sentence."""
    placed = [(figure, step.line) for step in lesson.steps for figure in figures_of(step)]
    for figure, line in [*placed, (lesson.picture, 1)]:
        try:
            _check_figure(figure)
        except ValueError as problem:
            raise BadLesson(f"{lesson.file}, line {line}: {problem}.") from None
    try:
        values_of(lesson)
    except ValueError as problem:
        raise BadLesson(f"{lesson.file}, line 1: {problem}.") from None


def _check_figure(figure: AnyFigure) -> None:
    match figure:
        case StageFigure():
            _among(figure.grid, GRIDS, "time grid")
            if figure.target is not None:
                _among(figure.target, GALLERY, "target")
                if figure.delta in (None, 0) and not GALLERY[figure.target].smooth:
                    raise ValueError(f"{figure.target} has no flow down to δ = 0: give the stage a delta above 0")
            if figure.run is not None:
                run_of(figure.run)
        case CurveFigure(run=run):
            run_of(run)
        case AnswerFigure(answer=name, panels=panels, steer=steer):
            offered = [panel.name for panel in answer_of(name).panels]
            for panel in panels:
                _among(panel, offered, f"panel of {name}")
            if steer is not None:
                if name not in EXPERIMENTS:
                    raise ValueError(f"{name} is a fixed answer, and has no field to steer")
                _among(steer, EXPERIMENTS[name].model_fields, f"field of {name}")


def _among(name: str, panels: Iterable[str], noun: str) -> None:
    names = list(panels)
    if name not in names:
        raise ValueError(f"there is no {noun} “{name}”; there is {', '.join(names)[:200]}")
