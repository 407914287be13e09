"""KL as a person meets it: curves at once, choices that answer, a page that anybody can read."""

import time

import pytest
from playwright.sync_api import Error

from tests.browser.conftest import PATIENCE, axe_violations, resize, settle, sticks_out, turn

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_kl(open_page, **options):
    page = open_page("/kl", **options)
    page.get_by_role("heading", name="How far from the truth, after how many").wait_for()
    page.locator(".st-key-kl_curves .js-plotly-plot").first.wait_for()
    return page


def choose(page, name):
    """Pick a baseline; the list closes when the page is drawn anew, so it is opened until the choice is made."""
    box = page.locator(".st-key-kl_baselines").get_by_role("combobox")
    option = page.get_by_role("option", name=name)
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        settle(page)
        box.click()
        box.fill(name)
        try:
            return option.click(timeout=15_000)
        except Error:
            continue
    return pytest.fail(f"the list of baselines never offered {name}")


def test_the_shipped_curves_are_there_at_once_and_choices_answer(open_page):
    page = open_kl(open_page)
    page.get_by_text("Grid of Gaussians is closest at").wait_for()
    page.get_by_text("Renoise", exact=True).click()
    page.get_by_text("KL(data ∥ model)", exact=True).click()
    page.wait_for_function("location.search.includes('sampler=renoise') && location.search.includes('from=data')")
    page.locator(".st-key-curves_area h2", has_text="KL(data ∥ model), δ = 0.02").wait_for()
    page.locator(".st-key-path_kl .js-plotly-plot").first.wait_for()
    page.get_by_text("Parts in nats").click()
    page.get_by_role("region", name="The KL of the paths by part, in nats").wait_for()


def test_a_point_that_is_not_known_is_measured_while_one_watches(open_page):
    page = open_kl(open_page)
    page.get_by_text("Grid of Gaussians is closest at").wait_for()
    choose(page, "DPM-Solver++(2M)")
    page.wait_for_function("location.search.includes('dpm')")
    page.locator(".st-key-kl_curves .annotation-text", has_text="DPM-Solver++(2M)").wait_for()
    page.get_by_text("Table", exact=True).click()
    page.get_by_role("region", name="KL by curve and network calls, in nats").wait_for()


def test_accessible_and_nothing_sticks_out(open_page):
    page = open_kl(open_page)
    page.get_by_text("Renoise", exact=True).click()
    page.get_by_text("KL(data ∥ model)", exact=True).click()
    page.locator(".st-key-path_kl .js-plotly-plot").first.wait_for()
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0
    turn(page, "dark")
    resize(page, 390)
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0
