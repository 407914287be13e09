"""The link of Lessons: which lesson, and which of its steps."""

from collections.abc import Iterator

from app import state
from app.pages.lessons.catalogue import shelf
from app.sharing.link import PageLink, Parameter
from app.sharing.readers import one_of, whole


def _parameters() -> Iterator[Parameter]:
    lessons = shelf().lessons
    numbered = {lesson.number: slug for slug, lesson in lessons.items() if lesson.number}
    named = one_of(lambda: lessons, "the lesson")
    yield Parameter("lesson", "lesson", lambda text: named(numbered.get(text, text)))
    lesson = lessons.get(state.value("lesson"))
    if lesson:
        yield Parameter("step", "lesson step", whole(1, len(lesson.steps), "the step"), 1, always=True)


LESSONS_LINK = PageLink("lessons", _parameters)
