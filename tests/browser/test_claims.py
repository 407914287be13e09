"""The claims in a browser: dialled, read by anybody, and the way to an experiment and back."""

import re

import pytest

from tests.browser.conftest import axe_violations, resize, sticks_out
from tests.browser.test_everywhere import until_link

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_c7_the_claims_are_dialled_and_lead_to_their_experiments(open_page):
    page = open_page("/scaling?d=1000000")
    page.get_by_text(re.compile("d = 1,000,000 and")).wait_for()
    page.locator(".st-key-panel_claim .js-plotly-plot").first.wait_for()
    page.get_by_role("radio", name="No density").click()
    until_link(page, "data=minimal")
    page.get_by_text(re.compile("Steps without the 1/d")).wait_for()
    assert axe_violations(page) == []
    resize(page, 390)
    assert sticks_out(page) <= 1
    page.get_by_role("button", name=re.compile("E10 ")).click()
    until_link(page, "question=curvature")
