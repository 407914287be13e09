"""Lessons: short guided tours, each a few steps with a prediction and a live figure that answers it."""

import streamlit as st

from app import state
from app.components.lesson_memory import lesson_memory
from app.components.lesson_steps import lesson_steps
from app.components.values import SeenSteps, sent
from app.components.values import Step as Number
from app.pages.lessons.catalogue import Shelf, shelf
from app.pages.lessons.figures import onward_of, show_figure
from app.pages.lessons.link import LESSONS_LINK
from app.pages.lessons.model import AnyFigure, Lesson, Prediction, Step
from app.pages.lessons.numbers import filled
from app.pages.lessons.picture import picture_of
from app.quoting import escape, plain
from app.ui.link_warnings import show_link_warnings

STEPS, MEMORY = "lesson_steps", "lesson_memory"


def lessons() -> None:
    """The page."""
    offered = shelf()
    show_link_warnings(LESSONS_LINK.open())
    LESSONS_LINK.write()  # before the figure, which may take its time: who goes on meanwhile can come back
    lesson = offered.lessons.get(state.value("lesson"))
    if lesson is not None:
        _seen(lesson).add(_number(lesson))
    lesson_memory(state.session_dict("lessons seen"), key=MEMORY, on_seen=_remember)  # before the figure, as the link
    if lesson is None:
        _gallery(offered)
    else:
        _lesson(offered, lesson)


# ---- the gallery ----------------------------------------------------------------------------------------------------
def _gallery(offered: Shelf) -> None:
    st.html(
        "<h1 class='question'>Lessons</h1><p class='reading'>Short tours of what this lab is about. Each asks you to "
        "predict something first, and then shows it: live, with the numbers the lab measured.</p>"
    )
    if offered.lessons:
        _begin(list(offered.lessons.values()))
    with st.container(key="lessongallery"):
        for lesson in offered.lessons.values():
            with st.container(key=f"lessoncard_{lesson.slug}"):
                picture = picture_of(lesson.picture, st.context.theme.type)
                st.html(f"<img class='lesson-picture' src='{picture}' alt=''>")
                st.button(
                    plain(filled(lesson.title, lesson)),
                    key=f"open_{lesson.slug}",
                    type="tertiary",
                    on_click=_open,
                    args=(lesson.slug, _resume(lesson)),
                )
                st.html(
                    f"<p class='lesson-summary'>{escape(lesson.summary)}</p><p class='theory'>{_length(lesson)}</p>"
                    f"{_progress(len(_seen(lesson)), len(lesson.steps))}"
                )
    if not offered.lessons:
        st.info("There is no lesson in this folder.")
    for problem in offered.problems:
        st.warning(plain(problem))


def _length(lesson: Lesson) -> str:
    """How long it takes, and how much of it was seen."""
    seen, steps = len(_seen(lesson)), len(lesson.steps)
    far = "" if not seen else " · done" if seen == steps else f" · {seen} of {steps} steps seen"
    return f"{lesson.numbered} · {lesson.minutes} min · {steps} steps{far}"


def _progress(seen: int, of: int) -> str:
    """How much was seen, as a bar; nothing before anything was."""
    return (
        f"<div class='seen-bar' aria-hidden='true'><i style='width: {100 * seen / of:.0f}%'></i></div>" if seen else ""
    )


def _begin(lessons: list[Lesson]) -> None:
    """Where to begin, or to go on, and how much is done."""
    done = sum(_is_done(lesson) for lesson in lessons)
    begun = [lesson for lesson in lessons if _seen(lesson) and not _is_done(lesson)]
    fresh = [lesson for lesson in lessons if not _seen(lesson)]
    with st.container(key="lessons_begin", horizontal=True, vertical_alignment="center"):
        if begun or (done and fresh):
            lesson = (begun or fresh)[0]
            words = f"Continue with {lesson.numbered.lower()}"
            st.button(plain(words), type="primary", on_click=_open, args=(lesson.slug, _resume(lesson)), key="go_on")
        elif fresh:
            for place, lesson in enumerate(fresh[:2]):
                words = f"{'Start with' if place == 0 else 'or with'} {lesson.numbered.lower()}"
                style = "primary" if place == 0 else "secondary"
                st.button(plain(words), type=style, on_click=_open, args=(lesson.slug,), key=f"start_{place}")
        if done:
            st.caption(f"{done} of {len(lessons)} lessons done")


def _is_done(lesson: Lesson) -> bool:
    return len(_seen(lesson)) == len(lesson.steps)


def _remember() -> None:
    """Steps that the browser remembers of earlier visits."""
    for slug, steps in (sent(state.value(MEMORY), "seen", SeenSteps) or {}).items():
        if lesson := shelf().lessons.get(slug):
            _seen(lesson).update(step for step in steps if 1 <= step <= len(lesson.steps))


def _seen(lesson: Lesson) -> set[int]:
    return state.session_dict("lessons seen").setdefault(lesson.slug, set())


def _resume(lesson: Lesson) -> int:
    """The first step that was not seen, or the first of all."""
    return next((n for n in range(1, len(lesson.steps) + 1) if n not in _seen(lesson)), 1)


def _open(slug: str | None, step: int = 1) -> None:
    state.set_value("lesson", slug)
    state.set_value("lesson step", step)


# ---- a lesson -------------------------------------------------------------------------------------------------------
def _lesson(offered: Shelf, lesson: Lesson) -> None:
    number = _number(lesson)
    step = lesson.steps[number - 1]
    with st.container(key="lessonbench"):
        with st.container(key="lesson_head"):
            st.button("All lessons", type="tertiary", on_click=_open, args=(None,), key="all_lessons")
            titles = [plain_title(one, lesson) for one in lesson.steps]
            lesson_steps(titles, step=number, lesson=lesson.slug, key=STEPS, on_go=_go)
        with st.container(key="lesson_text"):
            _words(lesson, step, number)
            if step.question is not None:
                _question(lesson, step.question, number)
            with st.container(key="lesson_turn", horizontal=True):
                _turn(offered, lesson, number)
                _onward(step, _shown(lesson, step, number))
        with st.container(key="lesson_figure"):
            figure = _shown(lesson, step, number)
            if figure is not None:
                show_figure(figure)
            elif step.question is not None:
                st.html("<p class='lesson-wait'>Predict first. The answer appears here as a live figure.</p>")


def _number(lesson: Lesson) -> int:
    """Of the step that is open."""
    return min(state.value("lesson step"), len(lesson.steps))


def plain_title(step: Step, lesson: Lesson) -> str:
    return filled(step.title, lesson)


def _words(lesson: Lesson, step: Step, number: int) -> None:
    st.html(
        f"<p class='eyebrow'>{_named(lesson)} · {number} of {len(lesson.steps)}</p>"
        f"<h1 class='question'>{escape(plain_title(step, lesson))}</h1>"
    )
    st.markdown(filled(step.text, lesson))


def _named(lesson: Lesson) -> str:
    title = escape(filled(lesson.title, lesson))
    return f"{lesson.numbered}: {title}" if lesson.number else title


def _shown(lesson: Lesson, step: Step, number: int) -> AnyFigure | None:
    return step.reveal if step.reveal is not None and _revealed(lesson, number) else step.figure


def _revealed(lesson: Lesson, number: int) -> bool:
    return (lesson.slug, number) in state.session_dict("revealed")


def _question(lesson: Lesson, question: Prediction, number: int) -> None:
    """Predict, then reveal: no answer without a prediction."""
    guessed = state.session_dict("revealed").get((lesson.slug, number))
    with st.container(key="lesson_question"):
        if guessed is None:
            _predict(lesson, question, number)
        else:
            st.html(_answered(lesson, question, guessed))
            st.markdown(filled(question.why, lesson))


def _predict(lesson: Lesson, question: Prediction, number: int) -> None:
    guess = st.radio(
        plain(filled(question.ask, lesson)),
        range(len(question.choices)),
        format_func=lambda i: plain(filled(question.choices[i], lesson)),
        index=None,
        key=f"guess {lesson.slug} {number}",
        persist_state="session",
    )
    prediction = (lesson.slug, number, guess)
    st.button("Reveal", type="primary", disabled=guess is None, on_click=_reveal, args=prediction, key="reveal")


def _answered(lesson: Lesson, question: Prediction, guess: int) -> str:
    """The question with its right answer and the guess marked."""
    right = question.right - 1
    rows = []
    for i, choice in enumerate(question.choices):
        marks = [words for words, at in (("right", right), ("your guess", guess)) if at == i]
        small = f"<small>{', '.join(marks)}</small>" if marks else ""
        row = "<li class='right'>" if i == right else "<li>"
        rows.append(f"{row}{escape(filled(choice, lesson))} {small}</li>")
    verdict = "Right." if guess == right else "Not this time."
    return (
        f"<p class='lesson-ask'>{escape(filled(question.ask, lesson))}</p><ul class='choices'>{''.join(rows)}</ul>"
        f"<p class='lesson-verdict' role='status'><b>{verdict}</b></p>"
    )


def _reveal(slug: str, number: int, guess: int | None) -> None:
    state.session_dict("revealed")[slug, number] = guess


def _onward(step: Step, figure: AnyFigure | None) -> None:
    """The real page, set as the figure is."""
    link = step.onward or onward_of(figure)
    if link is not None and st.button("Try it yourself", key="onward"):
        state.forget_first_time(f"{link.page} link")  # the page reads the link that it is sent
        state.open_page(link.page, {name: str(value) for name, value in link.link.items()})


def _turn(offered: Shelf, lesson: Lesson, number: int) -> None:
    """On and back; after the last step, the next lesson."""
    st.button("Previous", disabled=number == 1, on_click=_open, args=(lesson.slug, number - 1), key="previous")
    predicts = lesson.steps[number - 1].question is not None and not _revealed(lesson, number)
    onward = "secondary" if predicts else "primary"  # the one thing to do is then to predict
    if number < len(lesson.steps):
        st.button("Next", type=onward, on_click=_open, args=(lesson.slug, number + 1), key="next")
        return
    slugs = list(offered.lessons)
    later = slugs[slugs.index(lesson.slug) + 1 :]
    if later:
        st.button("Next lesson", type="primary", on_click=_open, args=(later[0],), key="next_lesson")
    else:
        st.button("All lessons", type="primary", on_click=_open, args=(None,), key="finish")


def _go() -> None:
    """A step was chosen on the marks or by the arrow keys."""
    step, slug = sent(state.value(STEPS), "go", Number), state.value("lesson")
    if step is not None and slug in shelf().lessons and 1 <= step <= len(shelf().lessons[slug].steps):
        _open(slug, step)
