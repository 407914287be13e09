"""In front of a class: a projector at the front, phones in the rows."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.classroom import phone
from benchmarks.visitor import Tally
from tests.browser.conftest import box_of, eventually, settle
from tests.browser.fingers import PHONE, too_small
from tests.browser.test_lab import wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TICK = """() => Math.min(...[...document.querySelectorAll(".st-key-chart_area :is(.xtick, .ytick) text")].map(tick =>
  Number.parseFloat(getComputedStyle(tick).fontSize) * tick.getBoundingClientRect().width / tick.getBBox().width))"""


def within(page, *parts):
    """Whether all of them are within the screen, and under nothing: the way out of the presentation is the lowest."""
    return max(box["y"] + box["height"] for box in map(box_of, parts)) <= box_of(page.locator(".way-out"))["y"]


def test_p9_on_a_projector_n_play_and_the_curve_are_in_reach_and_large(open_page):
    page = open_page("/?present=1", viewport={"width": 1920, "height": 1080})
    wait_for_stage(page)
    page.locator(".st-key-chart_area .xtick text").first.wait_for()
    assert eventually(page, lambda: page.evaluate(TICK) >= 18)
    there = [page.get_by_role("button", name="Play"), page.locator(".st-key-chart_area .main-svg").first]
    assert eventually(page, lambda: within(page, *there, page.get_by_role("button", name=re.compile("^N = 2"))))
    page.get_by_role("button", name=re.compile("^N = 2")).click()
    wait_for_stage(page, "window.particleStage.steps === 2")


EVERY_PAGE = {
    "/": ".st-key-chart_area .main-svg",
    "/kl": ".st-key-kl_curves .main-svg",
    "/inside": ".st-key-inside_starts .main-svg",
    "/runs": ".st-key-compared_training_chart .main-svg",
    "/scaling": ".main-svg",
    "/scaling?question=constant_step": ".main-svg",
    "/lessons": ".st-key-lessongallery button",
    "/lessons?lesson=more-steps&step=2": ".st-key-lesson_question label",
    "/lessons?lesson=more-steps&step=5": ".st-key-lesson_figure .main-svg",
    "/train": ".st-key-budget",
    "/train?drawing=": "canvas",
}
"""Each with what comes last on it."""
BESIDE = {
    "/": (("Share", ".sharing"), ("Export", "[data-testid=stPopoverBody]")),
    "/kl": (("Export", "[data-testid=stPopoverBody]"),),
    "/runs": (("More", "[data-testid=stPopoverBody]"),),
}
"""What is opened by a button, and where it is then."""


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_p11_on_a_phone_what_is_pressed_is_forty_pixels_each_way(open_page, path):
    page = open_page(path, **PHONE)
    page.locator(EVERY_PAGE[path]).first.wait_for()
    assert too_small(page) == []
    for opener, place in BESIDE.get(path, ()):
        page.get_by_role("button", name=re.compile(f"^{opener}")).first.click()
        page.locator(place).first.wait_for()
        assert too_small(page, place) == []
        page.keyboard.press("Escape")


LARGE = """() => [...document.querySelectorAll(".js-plotly-plot :is(.xtick, .ytick) text")]
  .filter(tick => tick.checkVisibility()).map(tick => {
    const drawn = tick.getBoundingClientRect().height / tick.getBBox().height;
    return Number.parseFloat(getComputedStyle(tick).fontSize) * drawn;
  })"""
OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    const words = [...chart.querySelectorAll("text")].filter((e) => e.textContent.trim() && e.checkVisibility());
    const boxes = words.map((e) => [e.textContent, e.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (across > 6 && down > 6) found.push([a, b]);
    }));
  }
  return found;
}"""


@pytest.mark.parametrize(
    "path",
    ["/kl", "/scaling", "/scaling?question=equal_calls", "/inside", "/lessons?lesson=more-steps&step=5", "/runs"],
)
def test_p9_on_a_projector_the_type_of_every_chart_is_large_and_nothing_lies_over_it(open_page, path):
    page = open_page(f"{path}{'&' if '?' in path else '?'}present=1", viewport={"width": 1920, "height": 1080})
    page.locator(".js-plotly-plot .xtick text").first.wait_for()
    settle(page)
    assert eventually(page, lambda: min(page.evaluate(LARGE), default=0) >= 18)
    assert eventually(page, lambda: page.evaluate(OVERLAPS) == []), page.evaluate(OVERLAPS)


def test_p9_one_link_opens_a_step_of_a_lesson_on_thirty_phones(server):
    async def a_class():
        tally = Tally()
        link = "lesson=3&step=2"
        return tally, await asyncio.gather(*(phone(server, tally, n, link, goes_on=False) for n in range(30)))

    with ThreadPoolExecutor(1) as elsewhere:  # the browser's own loop runs in this thread
        tally, seen = elsewhere.submit(lambda: asyncio.run(a_class())).result()
    assert not tally.errors
    assert {heading for _, heading, _ in seen} == {"From one jump to two"}


def test_p11_on_a_phone_the_buttons_of_the_table_of_runs_lie_over_nothing(open_page):
    page = open_page("/runs", viewport={"width": 390, "height": 844}, has_touch=True)
    page.locator(".st-key-ledger_area canvas").first.wait_for()
    buttons = page.locator(".st-key-ledger_area").get_by_test_id("stElementToolbar").first
    last = page.locator(".st-key-run_filters").get_by_test_id("stSelectbox").last

    def apart():
        above, below = box_of(last), box_of(buttons)
        return below["height"] > 0 and above["y"] + above["height"] <= below["y"]

    assert eventually(page, apart)
