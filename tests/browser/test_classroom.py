"""In front of a class: a projector at the front, phones in the rows."""

import re

import pytest

from tests.browser.test_lab import wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TICK = """() => Math.min(...[...document.querySelectorAll(".st-key-chart_area :is(.xtick, .ytick) text")].map(tick =>
  Number.parseFloat(getComputedStyle(tick).fontSize) * tick.getBoundingClientRect().width / tick.getBBox().width))"""


def test_p9_on_a_projector_n_play_and_the_curve_are_in_reach_and_large(open_page):
    page = open_page("/?present=1", viewport={"width": 1920, "height": 1080})
    wait_for_stage(page)
    page.locator(".st-key-chart_area .xtick text").first.wait_for()
    assert page.evaluate(TICK) >= 18
    there = [page.get_by_role("button", name="Play"), page.locator(".st-key-chart_area .main-svg").first]
    way_out = page.locator(".way-out").bounding_box()
    for part in (*there, page.get_by_role("button", name=re.compile("^N = 2"))):
        box = part.bounding_box()
        assert box["y"] + box["height"] <= way_out["y"]  # within the screen, and under nothing
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
    small = page.evaluate(SMALL)
    assert [each for each in small if each[0] not in ("Skip to main content", "Navigate to home page")] == []
