"""In front of a class: a projector at the front, phones in the rows."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.classroom import phone
from benchmarks.visitor import Tally
from tests.browser.conftest import box_of, eventually, settle
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


SMALL = """() => {
  const found = [];
  const look = (root) => {
    for (const one of root.querySelectorAll("button, a, summary, [role=radio]")) {
      const { height } = one.getBoundingClientRect();
      if (height && height < 40 && one.checkVisibility() && !one.matches(".term, [data-testid=stTopNav] *")) {
        found.push([(one.ariaLabel ?? one.textContent).trim().slice(0, 40), Math.round(height)]);
      }
    }
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) look(one.shadowRoot);
  };
  look(document);
  return found;
}"""


def test_p11_on_a_phone_what_is_pressed_is_forty_pixels_high(open_page):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True)
    wait_for_stage(page)
    page.locator(".st-key-chart_area .main-svg").first.wait_for()
    settle(page)
    small = page.evaluate(SMALL)
    assert [each for each in small if each[0] not in ("Skip to main content", "Navigate to home page")] == []


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
