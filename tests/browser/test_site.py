"""The static site as a reader has it: opened from files, without a network, its content policy in force."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, expect

from app.pages.lessons.catalogue import FOLDER, lessons_of
from app.site.command import write_site
from app.site.files import LARGEST_PAGE
from app.site.lessons import path_of
from tests.app.site.pages_of_site import check_site
from tests.browser.conftest import PATIENCE, USUAL, eventually
from tests.browser.fingers import PHONE, too_small

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LAB = "http://localhost:8501"
LESSONS = lessons_of(str(FOLDER)).lessons
PAGES = (
    "index.html", "explore/two_spirals.html", "kl.html", "kl/checkerboard.html", "scaling.html",
    "scaling/dimension.html", "lessons.html", "lessons/flow-map/1.html", "lessons/constant-steps/2.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    written = write_site(folder, runs=(), lab=LAB)
    assert written.warnings == ()
    return folder


class Reader:
    """Somebody with a browser that has no network, and all that was said and asked there."""

    def __init__(self, browser: Browser, *, has_touch: bool) -> None:
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(offline=True, reduced_motion="reduce", has_touch=has_touch).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))

    def forget(self) -> bool:
        """Leave the site as somebody who was never there; False for a page that cannot, which is closed."""
        try:
            self.page.goto("about:blank")
            wire = self.page.context.new_cdp_session(self.page)
            wire.send("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": "all"})
            wire.detach()
        except Error:
            self.page.context.close()
            return False
        self.errors.clear()
        self.asked.clear()
        return True


@pytest.fixture(scope="module")
def readers() -> Iterator[dict[bool, list[Reader]]]:
    """Those who read nothing now, without a touch screen and with one: for a new one Chromium starts a process."""
    idle: dict[bool, list[Reader]] = {False: [], True: []}
    yield idle
    for reader in (*idle[False], *idle[True]):
        reader.page.context.close()


@pytest.fixture
def read(browser, site, readers) -> Iterator:
    """Opens a page of the site from its file; nothing is asked of anybody, and its console holds no error."""
    taken: list[tuple[bool, Reader]] = []

    def at(path: str, *, has_touch: bool = False, color_scheme="light", viewport=USUAL["viewport"]) -> Page:
        reader = readers[has_touch].pop() if readers[has_touch] else Reader(browser, has_touch=has_touch)
        taken.append((has_touch, reader))
        reader.page.bring_to_front()
        reader.page.set_viewport_size(viewport)
        reader.page.emulate_media(color_scheme=color_scheme)
        reader.page.goto(f"file://{site}/{path}")
        return reader.page

    yield at
    errors = [error for _, reader in taken for error in reader.errors]
    asked = [url for _, reader in taken for url in reader.asked]
    for has_touch, reader in taken:
        readers[has_touch] += [reader] if reader.forget() else []
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def until(page: Page, condition: str) -> None:
    """Wait for what the page says of itself: its policy lets nobody evaluate a string there but the debugger."""
    assert eventually(page, lambda: page.evaluate(condition)), f"never: {condition}"


def test_every_page_is_small_and_every_link_on_it_leads_somewhere(site):
    files = {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    check_site(files, lab=LAB, largest=LARGEST_PAGE)
    assert {path_of(slug, n) for slug, lesson in LESSONS.items() for n in range(1, len(lesson.steps) + 1)} <= set(files)


@pytest.mark.parametrize("slug", LESSONS)
def test_a_lesson_is_walked_by_key_alone(read, slug):
    lesson = LESSONS[slug]
    page = read(path_of(slug, 1))
    for number, step in enumerate(lesson.steps, 1):
        page.wait_for_url(f"**/{path_of(slug, number)}")
        page.locator("h1").wait_for()
        if step.question is not None:
            predict(page, right=step.question.right)
        figure = step.reveal or step.figure
        if figure is not None and figure.show == "stage":
            page.locator(".stage-place:visible canvas.view").wait_for()
            until(page, f"window.particleStage?.steps === {figure.steps}")
        elif figure is not None:
            expect(page.locator(".lesson-figure .chart > svg:visible").first).to_be_visible()
        if figure is not None and getattr(figure, "card", False):
            page.locator(".card strong:visible").wait_for()
        page.keyboard.press("ArrowRight")
    assert page.url.endswith(f"/{slug}/{len(lesson.steps)}.html")  # the last step is where it ends
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/{path_of(slug, len(lesson.steps) - 1)}")


NOTHING_TO_DRAW = """![...document.querySelectorAll('[aria-label="Being drawn"]')].some(one => one.checkVisibility())"""


def predict(page: Page, *, right: int) -> None:
    """The first choice, by Tab and Space, and then Reveal; before that there is no answer."""
    assert not page.locator(".answered").is_visible()
    page.keyboard.press("ArrowDown")  # no key reveals anything
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type === 'radio'"):
            break
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".answered").wait_for()
    expect(page.locator(".lesson-verdict")).to_have_text("Right." if right == 1 else "Not this time.")
    expect(page.locator(".choices li.right")).to_contain_text("right")


def axe_violations(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [(violation["id"], node["html"][:160]) for violation in found for node in violation["nodes"]]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible_and_fits_a_phone(read, path, scheme):
    page = read(path, color_scheme=scheme)
    until(page, NOTHING_TO_DRAW)
    assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert axe_violations(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_p11_on_a_phone_what_is_pressed_is_forty_pixels_each_way(read, path):
    page = read(path, **PHONE)
    page.locator("h1").first.wait_for()
    assert too_small(page) == []


def test_the_picture_the_number_and_the_chart_go_together(read):
    page = read("index.html")
    until(page, "window.particleStage?.steps === 4")
    marked = page.locator(".measured:visible .chosen-line")
    before = marked.get_attribute("x1")
    four = page.locator(".card-value strong:visible").inner_text()
    page.locator("canvas.view").focus()
    page.keyboard.press("8")
    until(page, "window.particleStage.steps === 8")
    expect(page.locator(".card-value strong:visible")).not_to_have_text(four)
    assert eventually(page, lambda: float(marked.get_attribute("x1")) > float(before))
    page.get_by_role("button", name="16", exact=True).click()
    until(page, "window.particleStage.steps === 16")
    page.keyboard.press("r")
    page.locator("canvas.view").focus()
    page.keyboard.press("r")
    expect(page.locator(".measured:visible .card h2:visible")).to_have_text("KL(model ∥ data), δ = 0.02")
    page.get_by_role("button", name="KL(data ∥ model)").click()
    expect(page.locator(".measured:visible .card h2:visible")).to_have_text("KL(data ∥ model), δ = 0.02")


def test_every_choice_is_drawn_in_the_browser_and_what_was_not_measured_shows_no_number(read):
    page = read("explore/moons.html?sampler=renoise")
    until(page, "window.particleStage?.choice?.sampler === 'renoise'")
    number = page.locator(".card-value strong:visible")
    number.wait_for()
    page.get_by_text("Times and noise").click()
    for field, value, drawn in (
        (page.locator("[data-input=eta]:visible"), "0.9", "choice.share === 0.9"),
        (page.locator("[data-input=seed]"), "7", "choice.seed === 7"),
    ):
        before = page.evaluate("window.particleStage.pictures")
        field.fill(value)
        until(page, f"window.particleStage.{drawn} && window.particleStage.pictures > {before}")
    expect(number).to_have_count(0)
    page.get_by_text("Not measured.").locator("visible=true").wait_for()
    page.locator("[data-input=eta]:visible").fill("0.5")
    number.wait_for()  # the seed of the picture is no part of what was measured
    page.locator("[data-input=grid]").select_option("constant_step")
    until(page, "window.particleStage.choice.grid === 'constant_step'")
    expect(number).to_have_count(0)
    expect(page.locator(".in-lab")).to_have_attribute("href", re.compile("grid=constant_step"))
    assert page.evaluate("window.consistencyLabMaps.evaluator") == "wasm"


def test_a_time_that_was_moved_takes_the_number_away_until_it_is_given_back(read):
    page = read("index.html")
    until(page, "window.particleStage?.steps === 4")
    number = page.locator(".card-value strong:visible")
    number.wait_for()
    handle = page.get_by_role("slider", name="Time 2 of 3 between T and δ")
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(number).to_have_count(0)
    handle.focus()
    page.keyboard.press("Escape")
    number.wait_for()


def test_a_link_opens_its_choices(read):
    page = read("explore/moons.html?n=2&sampler=renoise&from=data")
    until(page, "window.particleStage?.steps === 2")
    expect(page.locator(".measured:visible .card h2:visible")).to_have_text("KL(data ∥ model), δ = 0.02")
    other = read("explore/moons.html?n=3&sampler=%3Cscript%3E")
    until(other, "window.particleStage?.steps === 4")


def test_a_mark_of_a_chart_says_how_its_value_is_known(read):
    page = read("kl/eight_gaussians.html")
    page.locator(".trace .dot:visible").first.hover(force=True)
    for words in ("nats", "n =", "seed"):
        expect(page.locator(".tip")).to_contain_text(words)


def test_the_dials_of_the_claims_draw_them_anew(read):
    page = read("scaling.html")
    before = page.locator(".claim-place svg.wide").get_attribute("aria-label")
    page.get_by_role("button", name="No density").click()
    expect(page.locator(".claim-place h1")).to_contain_text("minimal assumptions")
    page.get_by_role("button", name="300", exact=True).click()
    expect(page.locator(".claim-place h2")).to_contain_text("d = 300")
    expect(page.locator(".claim-place svg.wide")).not_to_have_attribute("aria-label", before)
    for setting in ("question=claims", "data=minimal", "d=300", "error=0.1"):
        expect(page.locator(".in-lab")).to_have_attribute("href", re.compile(rf"[?&]{re.escape(setting)}(&|$)"))
