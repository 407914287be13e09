"""The lab as strangers find it: every page works under the headers that keep other sites out."""

import urllib.request

import pytest

from tests.browser.conftest import PATIENCE, eventually, served, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def hosted(tmp_path_factory):
    with served(["hosted.py"], tmp_path_factory.mktemp("hosted") / "log.txt", anew=True) as address:
        yield address


def test_every_answer_carries_the_headers(hosted):
    for path in ("/", "/_stcore/health", "/nothing/here.js"):
        with urllib.request.urlopen(hosted + path) as answer:
            assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"], path
            assert " 'unsafe-eval'" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_no_page_breaks_the_content_policy(hosted, browser):
    page = browser.new_page(viewport={"width": 1440, "height": 980}, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    broken = []
    page.on("console", lambda message: broken.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(hosted)
    page.locator("canvas.view").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    assert eventually(
        page,
        lambda: page.evaluate("window.particleStage?.frames > 0 && window.consistencyLabMaps.evaluator === 'wasm'"),
    )
    for name, part in {
        "KL": ".st-key-kl_curves .js-plotly-plot",
        "Scaling": ".st-key-panel_claim .js-plotly-plot",
        "Diagnostics": ".st-key-inside_starts .js-plotly-plot",
        "Runs": ".st-key-ledger_area canvas",
        "Lessons": ".st-key-lessongallery img",
    }.items():
        page.get_by_role("link", name=name, exact=True).click()
        page.locator(part).first.wait_for()
        settle(page)  # what a page loads late is under the policy too
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_text("This lab is shared").wait_for()
    page.goto(f"{hosted}/train?objective=lsd&network=small&steps=50000")  # which does not end before it is stopped
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-testid=stVegaLiteChart] svg").wait_for()  # of steps that were taken
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped early").wait_for()
    page.close()
    assert broken == []
