"""What a researcher comes for, done by clicking what the screen offers, with the number of clicks it takes."""

import pytest
import torch

import cmcore as cm
from app.runs.library import LEADING, SHIPPED
from tests.browser.conftest import axe_violations, settle, sticks_out
from tests.browser.test_train import open_sheet, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Clicks:
    """Clicks, and how many."""

    def __init__(self):
        self.count = 0

    def __call__(self, place, **how):
        self.count += 1
        place.click(**how)


def test_three_objectives_are_compared_on_a_drawing_in_four_clicks(open_page):
    page, click = open_page("/train?steps=60&network=small"), Clicks()
    x, y = open_sheet(page)
    page.mouse.move(x - 120, y)
    page.mouse.down()
    page.mouse.move(x + 120, y + 40, steps=12)
    page.mouse.up()
    settled(page, 1)
    click.count += 2  # Draw, and the line
    click(page.get_by_text("Compare objectives on this data"))
    click(page.get_by_role("button", name="Train all"))
    page.get_by_text("3 of 3 trainings have left a run.").wait_for()
    page.locator(".st-key-comparison_curves .js-plotly-plot").first.wait_for()
    page.locator(".st-key-compared_objectives").scroll_into_view_if_needed()
    page.locator(".st-key-compared_objectives canvas").first.wait_for()
    assert click.count == 4
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0


@pytest.fixture
def theirs(tmp_path):
    target = cm.load(SHIPPED / LEADING[0]).target  # that of the run on show
    generator = torch.Generator().manual_seed(0)
    points = {n: target.sample(3_000, generator=generator) for n in (1, 4)}
    return cm.save_external(tmp_path / "theirs.zip", name="Their flow", target=target, points=points, method="a flow")


def test_own_samples_are_measured_and_stand_beside_the_labs_own_in_three_clicks(open_page, theirs):
    page, click = open_page("/runs"), Clicks()
    click(page.get_by_text("Import a run, or a result from elsewhere", exact=True))
    click.count += 1
    page.locator("[data-testid=stFileUploader] input").set_input_files(theirs)
    page.get_by_text("3,000 samples brought in, N = 1").wait_for()
    click(page.get_by_role("link", name="KL", exact=True))
    page.locator(".st-key-kl_curves .annotation-text", has_text="Their flow, from").wait_for()
    assert click.count == 3
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0


def test_a_clicked_row_is_compared_and_the_link_says_so(open_page):
    page = open_page("/runs")
    page.locator(".st-key-compared_curves_0 .js-plotly-plot").first.wait_for()
    table = page.locator(".st-key-ledger_area canvas").first
    table.wait_for()
    settle(page)
    table.click(position={"x": 15, "y": 36 + 2.5 * 38}, force=True)  # what is painted lies below what it is found by
    page.locator("[class*=st-key-compared_row_]").nth(2).wait_for()
    page.wait_for_function("location.search.split(',').length === 3")
