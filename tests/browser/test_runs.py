"""Runs as a person meets them: a ledger that survives a reload, and things to take away that live without the lab."""

import zipfile
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from app.export.html_page import page as offline_page
from app.kl import question as estimates
from app.kl.curves import DIRECTIONS
from app.kl.one_run import kl_of_run
from app.kl.question import Question
from app.kl.table import ONE, lines
from app.runs.library import SHIPPED, Run, runs_in
from app.stage.scene import grids_of, make_scene, map_layers
from app.ui.cards import number
from cmcore.config import SamplerConfig
from cmcore.store import to_zip
from tests.app.conftest import untrained
from tests.browser.conftest import PATIENCE, axe_violations, eventually, resize, row_of, settle, sticks_out, turn

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_runs(open_page, **options):
    page = open_page("/runs", **options)
    page.get_by_role("heading", name="Your runs: what made the difference?").wait_for()
    page.locator("[class*=st-key-compared_curves] .js-plotly-plot").first.wait_for()
    return page


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "mine.zip"
    model = replace(untrained(), config=untrained().config.model_copy(update={"seed": 77}))
    path.write_bytes(to_zip(model))
    return path


def bring_in(page, path):
    page.get_by_text("Import a run, or a result from elsewhere", exact=True).click()
    page.locator("[data-testid=stFileUploader] input").set_input_files(path)
    row_of(page, "mine").wait_for(state="attached")


def test_a_run_survives_a_reload_with_its_name_and_nobody_else_sees_it(open_page, exported):
    page = open_runs(open_page)
    bring_in(page, exported)
    row_of(page, "77").wait_for(state="attached")
    stranger = open_runs(open_page)
    row_of(stranger, "Eight Gaussians").wait_for(state="attached")
    assert not row_of(stranger, "mine").count()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    token = cookies["consistency_lab_visitor"]["value"]
    assert token not in page.url
    assert token not in {cookie["value"] for cookie in stranger.context.cookies()}
    page.reload()
    row_of(page, "mine").wait_for(state="attached")
    page.get_by_text("Seeds together").click()  # the menu is drawn once more before it is opened
    settle(page)
    page.locator("[class*=st-key-compared_row_]", has_text="mine").get_by_text("More", exact=True).click()
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_value("mine")
    for nothing in ("", "  "):
        name.fill(nothing)
        name.press("Enter")
        expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("moons  again")
    name.press("Enter")
    row_of(page, "moons again").wait_for(state="attached")
    expect(name).to_be_focused()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("moons again was deleted.").wait_for()
    page.reload()
    row_of(page, "Eight Gaussians").wait_for(state="attached")
    page.locator("[class*=st-key-compared_curves] .js-plotly-plot").first.wait_for()
    assert not row_of(page, "moons again").count()


def test_a_forged_cookie_finds_nothing(open_page, exported, server):
    page = open_runs(open_page)
    bring_in(page, exported)
    page.get_by_role("link", name="Explore", exact=True).click()
    page.get_by_role("img", name="mine").click()
    page.wait_for_function("location.search.includes('run=')")
    address = page.url
    host, shared = urlsplit(server).hostname, {"path": "/", "expires": -1, "httpOnly": False, "secure": False}
    for forged in ("../../../etc/passwd", "a" * 43, "x" * 4000, "%00"):
        cookie = {"name": "consistency_lab_visitor", "value": forged, "domain": host, "sameSite": "Lax", **shared}
        page.goto("about:blank")  # the lab would set its own again
        page.context.clear_cookies()
        page.context.add_cookies([cookie])
        page.goto(address)
        page.get_by_role("img", name="Eight Gaussians").wait_for()
        assert not page.get_by_role("img", name="mine").count()


def test_what_a_run_is_exported_as_can_be_read(open_page, tmp_path):
    page = open_runs(open_page)
    page.locator(".st-key-ledger_area").get_by_text("More", exact=True).first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Weights and config (zip)").click()
    path = tmp_path / "run.zip"
    download.value.save_as(path)
    assert "run.json" in zipfile.ZipFile(path).namelist()
    with page.expect_download() as download:
        page.get_by_role("button", name="Page that works offline").click()
    assert download.value.suggested_filename.endswith(".html")


def test_the_stage_is_saved_as_a_picture_and_the_view_as_files(open_page, tmp_path):
    page = open_page()
    page.wait_for_function("window.particleStage?.frames > 0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Image", exact=True).click()
    path = tmp_path / "stage.png"
    download.value.save_as(path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page.get_by_text("Export", exact=True).click()
    for name, beginning in (("Parquet", b"PAR1"), ("CSV", b"x1@3,"), ("Script", b'"""Consistency Lab')):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).first.click()
        download.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(beginning)


PRESSED = (4, 1)
"""The N that are looked at, by their keys."""


def measured_run(model):
    """A run whose deterministic jumps were measured here, and how they are drawn."""
    run = Run("small", "A small run", model)
    config = SamplerConfig(sampler="deterministic", steps=4)
    for n in PRESSED:
        estimates.measure(run, Question.on_grid(config.sampler, n, DIRECTIONS[0], config.delta))
    return run, config, DIRECTIONS[0]


def shipped_renoised():
    """The run that the lab opens on, with the renoised curve that it ships with."""
    run = runs_in(str(SHIPPED))["gaussian_grid"]
    return run, SamplerConfig(sampler="renoise", steps=4, delta=0.02), DIRECTIONS[1]


THREE_RUNS = {
    "plane, jumps and folds": lambda: measured_run(untrained()),
    "shipped, renoised": shipped_renoised,
    "three dimensions": lambda: measured_run(untrained("gaussian", dim=3)),
}


@pytest.fixture(scope="module", params=THREE_RUNS)
def offline_file(request, tmp_path_factory):
    """The page of a run whose numbers are known, those numbers, and the words of each N on the stage."""
    estimates.forget()
    run, config, direction = THREE_RUNS[request.param]()
    kl = kl_of_run(run, config, direction)
    drawn = {"config": config, "grids": grids_of(config), "seed": 0, "particles": 500}
    scene = make_scene(run.model, run.target, key=run.key, **drawn)
    scene = replace(scene, layers=map_layers(run.model, run.target, **drawn))
    words = {"heading": run.label, "facts": "facts", "about": "about"}
    path = tmp_path_factory.mktemp("offline") / "page.html"
    path.write_text(
        offline_page(scene, kl.estimates, lines(kl.view, kl.curves, ONE), steps=4, **words), encoding="utf-8"
    )
    assert set(kl.estimates) >= set(PRESSED)
    return path, kl.estimates, {n: draw.summary for n, draw in scene.draws.items()}


def await_that(page, expression):
    """Poll an expression: the page's own policy forbids the eval that Playwright would wait with."""
    come = eventually(page, lambda: page.evaluate(expression))
    assert come, page.evaluate("JSON.stringify(window.particleStage ?? null)")


def test_the_pages_of_three_runs_live_without_server_and_network_and_say_their_numbers(browser, offline_file):
    path, told, summaries = offline_file
    context = browser.new_context(offline=True, color_scheme="light", viewport={"width": 1200, "height": 900})
    page, problems = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "blob:")) else problems.append(request.url)
    )
    page.goto(path.as_uri())
    await_that(page, "window.particleStage?.frames > 20 && window.particleStage.u > 0.02")
    for n in PRESSED:
        page.keyboard.press(str(n))
        await_that(page, f"window.particleStage.steps === {n}")
        card = page.locator(f"#cards > [data-n='{n}']")
        card.wait_for()
        expect(card).to_contain_text(number(told[n].value))
        expect(page.locator("#cards > :visible")).to_have_count(1)
        expect(page.locator("canvas.view")).to_have_attribute("aria-label", summaries[n])
        expect(page.locator(f"tr[data-n='{n}']")).to_contain_text(number(told[n].value, 4))
    page.locator("svg .dot.model").first.hover()
    expect(page.locator("#point")).to_contain_text("learned map, 1 call")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    violations = axe_violations(page)
    page.emulate_media(color_scheme="dark")
    violations += axe_violations(page)
    context.close()
    assert problems == []
    assert violations == []


def test_accessible_and_nothing_sticks_out(open_page):
    page = open_runs(open_page)
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0
    more = page.locator(".st-key-ledger_area").get_by_text("More", exact=True).first
    more.click()
    pin = page.get_by_role("button", name="Pin to the top")
    pin.wait_for()
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    pin.wait_for(state="hidden")
    turn(page, "dark")
    resize(page, 390)
    assert axe_violations(page) == []
    assert sticks_out(page) <= 0
    more.click()
    pin.wait_for()
    assert axe_violations(page) == []
