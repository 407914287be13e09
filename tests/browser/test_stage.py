"""What a person does on the stage itself: starts of their own."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MOVING, axe_violations, box_of, resize, settle, turn
from tests.browser.test_lab import stage, wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def view_at_rest(page):
    settle(page)  # what is drawn above it moves it
    return box_of(page.locator("canvas.view"))


def middle(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


EDGES = """() => Object.fromEntries([...document.querySelectorAll(".st-key-stage_area *")]
  .flatMap(one => [...(one.shadowRoot?.querySelectorAll(".legend button:has(svg)") ?? [])])
  .map(entry => [entry.textContent, [...entry.querySelectorAll("svg *")].map(mark => {
    const { stroke, filter } = getComputedStyle(mark);
    return stroke !== "none" && filter === "none";
  })]))"""


def test_g7_what_is_the_datas_has_no_edge_and_all_else_has(open_page):
    page = open_page()
    wait_for_stage(page)
    edges = page.evaluate(EDGES)
    assert edges.pop("Data") == [False]
    assert len(edges) == 3
    assert all(all(marks) for marks in edges.values())


def test_dragging_puts_a_start_whose_paths_come_back_and_escape_removes_it(open_page):
    page = open_page(**MOVING)
    wait_for_stage(page)
    x, y = middle(view_at_rest(page))
    drag(page, (x + 40, y - 40), (x + 60, y - 60))
    page.wait_for_function("window.particleStage?.own != null")
    page.wait_for_function("location.search.includes('start=')")
    first = stage(page)["start"]
    assert min(first) > 0
    expect(page.locator("canvas.view")).to_have_attribute("aria-label", re.compile("Your start"))
    x, y = middle(view_at_rest(page))
    drag(page, (x + 60, y - 60), (x - 60, y + 60))  # the ring itself, to the other side
    page.wait_for_function("window.particleStage?.own != null && window.particleStage?.start[0] < 0")
    page.locator("canvas.view").focus()
    page.keyboard.press("Escape")
    page.wait_for_function("window.particleStage?.start === null && !location.search.includes('start=')")


def test_a_start_is_steered_with_the_keyboard(open_page):
    page = open_page()
    wait_for_stage(page)
    page.locator("canvas.view").focus()
    page.keyboard.press("s")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("window.particleStage?.own != null && window.particleStage?.start[1] === 0.1")
    page.wait_for_function("window.particleStage?.start.join() === '-0.1,0.1'")
    page.wait_for_function("location.search.includes('start=-0.1')")


def test_a_finger_that_rests_draws_and_one_that_does_not_scrolls(open_page):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, **MOVING)
    wait_for_stage(page)
    settle(page)
    box = box_of(page.locator("canvas.view"))
    x, y = box["x"] + 80, box["y"] + 200
    wire = page.context.new_cdp_session(page)

    def touch(kind, *points):
        wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

    def scroll_back():
        """Once the page has scrolled on to its end: a touch during that goes on scrolling."""
        before = None
        while before != (before := page.get_by_test_id("stMain").evaluate("main => main.scrollTop")):
            page.wait_for_timeout(400)
        page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")  # (x, y) is on the stage again

    page.clock.install()  # how long a finger rests is said here, and not by how busy the machine is
    page.clock.pause_at(page.evaluate("Date.now()") + 1_000)
    touch("touchStart", (x, y))
    touch("touchMove", (x, y - 40))
    page.clock.run_for(1_000)
    touch("touchEnd")
    page.clock.run_for(1_000)
    assert stage(page)["start"] is None

    def rests():
        scroll_back()
        touch("touchStart", (x, y))
        page.clock.run_for(1_000)
        if stage(page)["start"] is not None:
            return True
        touch("touchEnd")
        return False

    assert any(rests() for _ in range(10))
    touch("touchMove", (x + 10, y + 20))
    touch("touchEnd")
    page.clock.resume()
    page.wait_for_function("window.particleStage?.own != null")


def times_of(page):
    return stage(page)["times"]


def test_a_time_is_dragged_and_comes_back_on_a_double_click(open_page):
    page = open_page()
    wait_for_stage(page)
    named = times_of(page)
    handle = page.get_by_role("slider", name="Time 2 of 3")
    settle(page)
    box = box_of(handle)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(page, (x, y), (x + 60, y))
    page.wait_for_function("t => window.particleStage?.times[2] < t", arg=named[2])
    assert times_of(page)[1] == pytest.approx(named[1], rel=1e-3)
    page.wait_for_function("location.search.includes('times=')")
    page.get_by_text("With moved times").wait_for()
    handle.dblclick()
    page.wait_for_function("t => window.particleStage?.times[2] === t", arg=named[2])
    page.wait_for_function("!location.search.includes('times=')")


def test_a_time_is_moved_with_the_arrow_keys_and_keeps_the_focus(open_page):
    page = open_page()
    wait_for_stage(page)
    named = times_of(page)
    handle = page.get_by_role("slider", name="Time 1 of 3")
    handle.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("t => window.particleStage?.times[1] > t", arg=named[1])
    expect(handle).to_have_attribute("aria-valuetext", re.compile("^t = "))
    assert handle.evaluate("h => h.getRootNode().activeElement === h")


def test_a_start_and_moved_times_are_accessible(open_page):
    page = open_page("/?start=1,-1&times=1.5,0.6,0.1")
    wait_for_stage(page, "window.particleStage.own !== null")
    page.get_by_role("button", name="Restore times").wait_for()
    page.get_by_text("Band: 95 % interval").wait_for()
    assert axe_violations(page) == []
    turn(page, "dark")
    resize(page, 390)
    assert axe_violations(page) == []
