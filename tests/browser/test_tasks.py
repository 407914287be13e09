"""What people come to do, done by clicking alone what the screen offers; each with its number of clicks."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from app.export.program import zip_name
from app.runs.library import runs
from cmcore.store import to_zip
from tests.browser.conftest import PATIENCE, ROOT, eventually, settle
from tests.browser.test_lab import wait_for_stage
from tests.browser.test_train import until_it_learns

pytestmark = [pytest.mark.browser, pytest.mark.slow]
VALUE = ".card-value strong:visible"


class Hand:
    """Clicks, and counts them."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def button(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("button", name=name, exact=True).first)

    def words(self, text: str) -> None:
        self.click(self.page.get_by_text(text, exact=True).first)

    def go_to(self, page: str) -> None:
        self.click(self.page.get_by_role("link", name=page, exact=True))
        self.page.wait_for_url(f"**/{page.lower()}*")
        settle(self.page)  # until then there is some of the page before, whose widgets nobody reads any more


@pytest.fixture
def hand(open_page) -> Hand:
    page = open_page()
    wait_for_stage(page)
    return Hand(page)


def test_learn_what_n_buys(hand):
    values = []
    for n in (1, 4):
        hand.button(re.compile(f"^N = {n}"))
        hand.page.wait_for_function(f"window.particleStage?.steps === {n}")
        values.append(float(hand.page.locator(f'[data-steps="{n}"]:visible strong').inner_text()))
    assert values[1] < values[0] / 2
    assert hand.clicks == 2


def test_find_out_what_floor_means(hand):
    hand.click(hand.page.locator(".card:visible .term", has_text="smallest detectable KL"))
    expect(hand.page.locator("#term-words")).to_contain_text("The floor: ")
    assert hand.clicks == 1


def test_present_lesson_3(hand):
    hand.go_to("Lessons")
    hand.button("More steps, less KL")
    hand.page.wait_for_function("window.lessonSteps?.lesson === 'more-steps'")
    hand.button("Presentation")
    hand.page.wait_for_function("document.documentElement.hasAttribute('data-presenting')")
    hand.page.get_by_role("button", name=re.compile("^N = 4")).wait_for()
    assert hand.clicks == 3


def test_find_which_jump_loses_the_accuracy(hand):
    hand.go_to("KL")
    hand.words("Renoise")
    hand.words("KL(data ∥ model)")
    hand.words("Parts in nats")
    table = hand.page.get_by_role("region", name="The KL of the paths by part, in nats")
    expect(table.get_by_text(re.compile(r"^jump \d+: ")).first).to_be_visible()
    assert hand.clicks == 4


def test_send_a_link_to_a_comparison(hand, open_page):
    page = hand.page
    hand.go_to("Runs")
    page.locator(".st-key-comparison_area .js-plotly-plot .main-svg").first.wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hand.button("Share")
    hand.button("Copy link")
    page.get_by_text("Copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(link[link.index("/", 8) :])
    other.locator(".st-key-comparison_area .js-plotly-plot .main-svg").first.wait_for()

    def both_compare_the_same():
        one, two = (each.locator(".st-key-clouds h3").all_inner_texts() for each in (page, other))
        return len(one) >= 2 and one == two

    assert eventually(page, both_compare_the_same)
    assert hand.clicks == 3


def test_export_the_script_of_a_figure_and_run_it(hand, tmp_path):
    hand.button(re.compile("^N = 1"))
    hand.page.wait_for_function("location.search.includes('n=1')")  # what is exported is what the server was told
    settle(hand.page)
    hand.words("Export")
    with hand.page.expect_download() as download:
        hand.button("Script")
    script = tmp_path / "figure.py"
    download.value.save_as(script)
    text = script.read_text(encoding="utf-8")
    for dots in (r"(POINTS = \{\n[^\n]*\n).*?\n(?=\})", r"('': \{1: \([^)]*\))[^\n]*(?=\},)"):
        text = re.sub(dots, r"\1", text, count=1, flags=re.DOTALL)  # the first of the chart's dots: all take minutes
    script.write_text(text, encoding="utf-8")
    run = runs()["gaussian_grid"]  # beside the script: trained again on another processor it is another map
    (tmp_path / zip_name(run)).write_bytes(to_zip(run.model))
    how = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    ran = subprocess.run([sys.executable, str(script)], timeout=PATIENCE / 1000, check=False, **how)
    assert ran.returncode == 0, ran.stderr[-2000:]
    apart = re.search(r"N = 1: (\S+) apart, relative to the page", ran.stdout)
    assert apart, ran.stdout
    assert float(apart[1]) < 1e-6
    assert hand.clicks == 3


def test_train_on_an_own_table_see_its_curve_and_go_on_training(hand, tmp_path):
    page, rows = hand.page, np.random.default_rng(0).normal(size=(60, 2))
    file = tmp_path / "measured.csv"
    file.write_text("left,right\n" + "\n".join(f"{a:.5f},{b:.5f}" for a, b in rows))
    hand.go_to("Train")
    hand.words("Your data (CSV)")
    page.locator("input[type=file]").set_input_files(str(file))
    page.wait_for_function("window.sampleCloud?.key.startsWith('file:')")
    hand.button("Start training")
    until_it_learns(page)
    hand.button("Stop")
    hand.button("Continue training")
    page.get_by_text("Continues", exact=True).wait_for()
    until_it_learns(page)
    hand.button("Stop")
    hand.button("Open in Explore")
    page.wait_for_function("window.particleStage?.key.startsWith('measured')")
    page.locator(VALUE).wait_for()
    assert hand.clicks == 7
