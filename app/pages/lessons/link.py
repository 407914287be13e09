"""The link of Lessons: which lesson, and which of its steps."""

from app import state
from app.pages.lessons.catalogue import Shelf
from app.sharing.readers import between, one_of, read_link, refused


def open_lessons_link(shelf: Shelf) -> list[str]:
    """On the first run of a session, the lesson and the step that the link asks for; a sentence where it cannot."""
    problems = []
    if state.takes_link("lessons"):
        asked, problems = read_link()
        if state.went_back() and "lesson" not in asked:
            state.set_value("lesson", None)
        try:
            if "lesson" in asked:
                lesson = one_of(lambda: shelf.lessons, "the lesson")(asked["lesson"])
                state.set_value("lesson", lesson)
                if "step" in asked:
                    last = len(shelf.lessons[lesson].steps)
                    state.set_value("lesson step", int(between(1, last, "the step")(asked["step"])))
        except ValueError as problem:
            problems.append(refused(problem))
    state.set_default("lesson", None, allowed=(None, *shelf.lessons))
    lesson = state.value("lesson")
    state.set_default("lesson step", 1, allowed=range(1, len(shelf.lessons[lesson].steps) + 1) if lesson else (1,))
    return problems


def write_lessons_link() -> None:
    """Mirror the lesson and its step in the address bar."""
    lesson = state.value("lesson")
    state.set_link({"lesson": lesson, "step": str(state.value("lesson step"))} if lesson else {})
