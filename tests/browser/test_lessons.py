"""Every step of every lesson, as a reader goes through it: by the arrow keys, with a guess, to the live figure."""

import pytest

from app.pages.lessons.catalogue import FOLDER, lessons_of
from app.pages.lessons.numbers import filled
from tests.browser.conftest import axe_violations, eventually, resize, settle, sticks_out, turn

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LESSONS = lessons_of(str(FOLDER)).lessons


def at_step(page, slug, number):
    page.wait_for_function(f"window.lessonSteps?.lesson === '{slug}' && window.lessonSteps.step === {number}")
    page.wait_for_function(f"location.search.includes('step={number}')")


def figure_is_there(page, figure):
    place = page.locator(".st-key-lesson_figure")
    if figure.show == "stage":
        place.locator("canvas.view").wait_for()
        page.wait_for_function(f"window.particleStage?.steps === {figure.steps}")
    else:
        place.locator(".js-plotly-plot .main-svg").first.wait_for()


@pytest.mark.parametrize("slug", list(LESSONS))
def test_a_lesson_is_walked_from_end_to_end(open_page, slug):
    lesson = LESSONS[slug]
    scheme = "dark" if slug == next(iter(LESSONS)) else "light"
    page = open_page(f"/lessons?lesson={slug}", color_scheme=scheme)
    for number, step in enumerate(lesson.steps, 1):
        at_step(page, slug, number) if number > 1 else page.wait_for_function("window.lessonSteps?.step === 1")
        page.get_by_role("heading", name=step.title, exact=True).wait_for()
        if step.question:
            question = page.locator(".st-key-lesson_question")
            question.get_by_text(filled(step.question.choices[0], lesson), exact=True).click()
            question.get_by_role("button", name="Reveal").click()
            page.locator(".lesson-verdict").wait_for()
        figure_is_there(page, step.reveal or step.figure)
        if number == 2:
            assert axe_violations(page) == [], step.title
        if number < len(lesson.steps):
            page.evaluate("document.activeElement.blur()")
            page.keyboard.press("ArrowRight")
    assert axe_violations(page) == [], "the last step"
    page.keyboard.press("ArrowLeft")
    at_step(page, slug, len(lesson.steps) - 1)


def test_the_gallery_is_accessible_and_opens_a_lesson_from_anywhere_on_a_card(open_page):
    page = open_page("/lessons")
    slug = list(LESSONS)[1]
    card = page.locator(f".st-key-lessoncard_{slug}")
    page.locator(f".st-key-lessoncard_{list(LESSONS)[-1]}").get_by_text("min ·").wait_for()
    assert axe_violations(page) == []
    turn(page, "dark")
    assert axe_violations(page) == []
    card.locator("img").click(force=True)
    page.wait_for_function(f"window.lessonSteps?.lesson === '{slug}'")
    settle(page)
    page.get_by_role("button", name="All lessons").click()
    card.get_by_text("1 of").wait_for()


def test_arrows_leave_a_widget_alone_and_the_figure_opens_on_its_own_page(open_page):
    page = open_page("/lessons?lesson=flow-map&step=4")
    at_step(page, "flow-map", 4)
    page.wait_for_function("window.particleStage?.steps === 4")
    page.get_by_role("slider", name="Time, from noise to data").press("ArrowLeft")
    page.locator("canvas.view").focus()
    page.keyboard.press("2")
    page.wait_for_function("window.particleStage?.steps === 2")
    assert page.evaluate("window.lessonSteps.step") == 4
    page.get_by_role("button", name="Try it yourself").click()
    page.wait_for_function("location.pathname === '/'")  # Explore is the first page
    page.wait_for_function("window.particleStage?.steps === 4")
    page.get_by_role("slider", name="Network calls N").wait_for()


def test_nothing_sticks_out_sideways(open_page):
    page = open_page("/lessons?lesson=renoising&step=3", viewport={"width": 390, "height": 844})
    figure_is_there(page, LESSONS["renoising"].steps[2].figure)
    for width in (390, 1024):
        resize(page, width)
        assert sticks_out(page) <= 0


@pytest.mark.parametrize(
    ("lesson", "step", "mover", "colour"),
    [("flow-map", 2, "Exact jumps", "exact"), ("one-jump", 2, "Solver steps", "baseline")],
)
def test_what_jumps_has_the_colour_and_the_name_of_what_it_is(open_page, lesson, step, mover, colour):
    page = open_page(f"/lessons?lesson={lesson}&step={step}")
    page.get_by_role("button", name=mover, exact=True).wait_for()
    place = ["data", "model", "exact", "error", "baseline"].index(colour)

    def has_it():
        drawn, meant = page.locator("section.stage").evaluate(
            """(stage, place) => {
              const style = getComputedStyle(stage);
              const colours = style.getPropertyValue('--st-chart-categorical-colors').split(',');
              return [style.getPropertyValue('--model').trim(), colours[place].trim()];
            }""",
            place,
        )
        return drawn == meant

    assert eventually(page, has_it)
