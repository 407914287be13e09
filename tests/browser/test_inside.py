"""Inside as a person meets it: a flow to point at by mouse, touch and keys, and pictures that anybody can read."""

import pytest

from tests.browser.conftest import axe_violations, box_of, resize, sticks_out, turn

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READY = ".st-key-inside_starts .js-plotly-plot"


def open_inside(open_page, run, **options):
    page = open_page("/inside", **options)
    page.get_by_role("heading", name="Where does the map err, and how does it bend space?").wait_for()
    choose(page, run)
    return page


def choose(page, run):
    page.get_by_role("img", name=run).click()
    page.locator(".facts", has_text=run).wait_for()


def told(page):
    return page.evaluate("window.flowPicture")


def test_the_flow_answers_mouse_keys_and_touch_and_the_view_lives_in_the_link(open_page):
    page = open_inside(open_page, "Three Gaussians", has_touch=True)
    picture = page.get_by_label("the density from noise")
    picture.wait_for()
    page.wait_for_function("window.flowPicture?.frames > 0")
    box = box_of(picture)
    picture.hover(position={"x": 0.5 * box["width"], "y": 0.4 * box["height"]})
    page.wait_for_function("window.flowPicture.at !== null")
    page.get_by_text("the exact path ends at").wait_for()
    first = told(page)
    assert 0.1 < first["at"][0] < 2
    page.mouse.move(5, 5)
    page.wait_for_function("window.flowPicture.at === null")
    picture.tap(position={"x": 0.7 * box["width"], "y": 0.6 * box["height"]})
    page.wait_for_function("location.search.includes('at=')")
    tapped = told(page)
    picture.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("8")
    page.wait_for_function("window.flowPicture.steps === 8 && location.search.includes('n=8')")
    moved = told(page)
    assert moved["at"][1] > tapped["at"][1]
    assert moved["end"] > tapped["end"]
    assert abs(moved["landed"] - moved["end"]) < 0.2


def test_accessible_and_nothing_sticks_out(open_page):
    page = open_inside(open_page, "Grid of Gaussians")  # the smallest map
    page.locator(READY).wait_for()
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0
    turn(page, "dark")
    resize(page, 390)
    choose(page, "Three Gaussians")
    page.locator(READY).wait_for()
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0


def test_p20_on_a_very_wide_screen_the_maps_grow_and_are_whole(open_page):
    page = open_inside(open_page, "Grid of Gaussians", viewport={"width": 2560, "height": 1440})
    page.locator(READY).wait_for()
    for key, least in (("inside_map", 700), ("inside_det_map", 560), ("inside_times", 360), ("inside_straight", 420)):
        place = page.locator(f".st-key-{key}")
        inner, outer = place.locator(".main-svg").first.bounding_box(), place.bounding_box()
        assert inner["height"] >= least, key
        assert inner["height"] <= outer["height"] + 1, key
