"""What a stranger meets: a tour, words that explain themselves, and lessons that remember her."""

import re
from itertools import product

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import EVALUATES, MOVING, PATIENCE, axe_violations, box_of, settle
from tests.browser.fingers import PHONE
from tests.browser.test_lab import stage, wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLOTLY = re.compile(r"/PlotlyChart\.[^/]*js")
SCENE = "window.labTour?.scene === {}"


def panel(page):
    return page.get_by_role("region", name="Guided tour")


def test_p5_the_tour_plays_for_who_was_never_here_and_is_remembered(open_page):
    page = open_page(tour=True, **MOVING)
    page.wait_for_function(f"{SCENE.format(0)} && window.particleStage?.u === 0")
    page.wait_for_function("window.labTour?.scene > 0")  # by itself
    panel(page).hover()  # who points at it stops its clock
    while page.evaluate("window.labTour.scene") > 1:  # which may have gone on meanwhile
        at = page.evaluate("window.labTour.scene")
        panel(page).get_by_role("button", name="Back").click()
        page.wait_for_function(SCENE.format(at - 1))
    page.wait_for_function("window.particleStage?.steps === 1 && window.particleStage?.playing")
    panel(page).get_by_role("button", name="Next").click()
    page.wait_for_function("window.particleStage?.steps === 4")
    expect(panel(page)).to_contain_text("times less")
    panel(page).get_by_role("button", name="Skip").click()
    panel(page).wait_for(state="hidden")
    page.reload()
    wait_for_stage(page)
    page.wait_for_timeout(600)  # the tour looks for the stage in less
    assert not panel(page).is_visible()
    page.get_by_role("button", name="30-second tour").click()
    page.wait_for_function(SCENE.format(0))


def test_p5_the_tour_is_walked_by_keyboard_and_gives_way_to_who_acts(open_page):
    page = open_page(tour=True)  # reduced motion: it waits to be asked for
    wait_for_stage(page)
    page.get_by_role("button", name="30-second tour").press("Enter")
    for scene in range(5):
        page.wait_for_function(SCENE.format(scene))
        if scene == 3:
            assert axe_violations(page) == []
        panel(page).get_by_role("button", name=re.compile("Next|Done")).press("Enter")
    panel(page).wait_for(state="hidden")
    page.wait_for_function("!document.documentElement.hasAttribute('data-tour')")
    page.wait_for_function("window.particleStage?.steps === 4")
    page.get_by_role("button", name="30-second tour").click()
    panel(page).get_by_role("button", name="Next").click()
    page.wait_for_function("window.particleStage?.steps === 1")
    page.locator("canvas.view").click(position={"x": 5, "y": 5})
    panel(page).wait_for(state="hidden")
    assert stage(page)["steps"] == 1  # as it was


WORDS = ("KL(model ∥ data)", "δ", "nats", "Folds", "smallest detectable KL")


def term(page, word):
    return page.locator(".card:visible .term", has_text=re.compile(f"^{re.escape(word)}$")).first


def test_p5_five_words_are_explained_to_mouse_keyboard_and_finger(open_page):
    for ways, options in ((("focus", "hover"), {}), (("tap",), PHONE)):
        page = open_page(**options)
        wait_for_stage(page)
        page.locator(".st-key-chart_area .main-svg").first.wait_for()
        settle(page)  # nothing moves any more
        box = page.locator("#term-words")
        for how, word in product(ways, WORDS):
            term(page, word).evaluate("term => term.scrollIntoView({ block: 'center' })")
            getattr(term(page, word), how)()
            expect(box).to_be_visible()
            expect(box).to_have_text(term(page, word).get_attribute("data-words"))
            at = box_of(box)
            assert at["x"] >= 0
            assert at["x"] + at["width"] <= page.viewport_size["width"]
            page.keyboard.press("Escape")
            expect(box).to_be_hidden()


def test_lessons_are_a_click_from_explore_and_remember_what_was_seen(open_page):
    page = open_page()
    wait_for_stage(page)
    page.get_by_role("button", name="lesson 0").click()
    page.wait_for_function("window.lessonSteps?.step === 1")
    page.get_by_text(re.compile("^Lesson 0: ")).wait_for()
    page.get_by_role("button", name="Next", exact=True).click()
    page.wait_for_function("window.lessonSteps?.step === 2")
    page.wait_for_function("Object.values(JSON.parse(localStorage.getItem('consistency-lab-lessons')))[0].includes(2)")
    page.goto(page.url.partition("?")[0])  # another visit
    page.get_by_role("button", name=re.compile("^Continue with lesson 0")).click()
    page.wait_for_function("window.lessonSteps?.step === 3")


DRAWN = """
window.drawn = null;
setInterval(() => { if (window.particleStage?.frames >= 1) window.drawn ??= performance.now(); }, 5);
"""


def test_the_first_picture_does_not_wait_for_the_code_of_the_charts(browser, server):
    context = browser.new_context(**EVALUATES, **MOVING)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(DRAWN)
    with page.expect_request(PLOTLY):
        page.goto(server)
    assert page.evaluate("window.drawn") is not None
    page.locator(".st-key-chart_area .main-svg").first.wait_for()
    context.close()


def test_the_charts_come_also_where_the_stage_draws_nothing(browser, server):
    context = browser.new_context(**EVALUATES)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script("Object.defineProperty(window, 'particleStage', { get() {}, set() {} })")  # nobody hears of it
    with page.expect_request(PLOTLY):
        page.goto(server)
    context.close()
