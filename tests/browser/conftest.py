"""A real server on a free port, and a page in a real Chromium that fails on any error of its console."""

import functools
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, FloatRect, Locator, Page, expect

from benchmarks.browser import find_browser
from tests import forked
from tests.forked import Forked

ROOT = Path(__file__).parents[2]
PATIENCE = 240_000
"""Milliseconds after which what a test waits for never comes, on the slowest machine that should pass: no wait is for
a pace, so all have the same."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of the lab, started as a person would start it."""
    command = ["-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with served(command, log, anew=True) as address:
        yield address
    assert "overflow" not in log.read_text()  # of a watcher that follows every file beneath the project


@contextmanager
def served(command: list[str], log: Path, *, anew: bool = False) -> Iterator[str]:
    """The address of a server that Python starts with these arguments, on a free port."""
    process, address = start_server(command, log, anew=anew)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE / 1000)  # what is measured at the moment ends first


def start_server(
    command: list[str], log: Path, *, kept: Path | None = None, anew: bool = False
) -> tuple[subprocess.Popen | Forked, str]:
    """The same for those who end it in their own way; `kept` is where visitors' runs are, else beside the log.

    Python starts anew where that is said, as where a person starts it; else it has loaded the lab already.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*command, f"--server.port={port}", "--server.address=127.0.0.1"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "CONSISTENCY_LAB_KEPT": str(kept or log.with_name("kept"))}
    if anew:
        with log.open("w") as out:
            said = {"stdout": out, "stderr": subprocess.STDOUT}
            process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=variables, **said)
    else:
        process = forked.python(words, ROOT, variables, log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(address, process, log)
    except BaseException:
        process.kill()
        raise
    return process, address


def _wait_until_healthy(address: str, process: subprocess.Popen | Forked, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended at once:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=20) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not answer within {PATIENCE // 1000} s:\n{log.read_text()}")


FLAGS = [
    "--no-sandbox",  # a container's root has no user namespaces for it
    # A tab keeps its process when it leaves the lab, and finds the scripts compiled when it comes back: 2.3 seconds of
    # the processor for a page instead of 3.7.
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
]


@pytest.fixture(scope="session")
def browser(request):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield chromium
        chromium.close()


# Opened at /kl, Streamlit cannot know whether it is served under /kl or under /, and asks at both: one answer is a 404.
ASKED_AT_BOTH = re.compile(r"/[a-z]+/_stcore/(health|host-config)$")


def _is_error(message) -> bool:
    return message.type == "error" and not ASKED_AT_BOTH.search(message.location.get("url", ""))


def _watch(page: Page, errors: list[str]) -> None:
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)


EVALUATES = {"bypass_csp": True}
"""Conditions that a test waits for are strings, and the lab's content policy lets no page evaluate those. Whether pages
keep to the policy is looked at in test_hosted.py, without this."""


TOUR_SEEN = "try { localStorage.setItem('consistency-lab-tour', 'seen') } catch {}"
"""The tour of Explore plays for who was never here; tests ask for it."""


class Tab:
    """A page that one test after another finds as if it were new: in a new one Chromium compiles all scripts again."""

    def __init__(self, browser: Browser, *, has_touch: bool) -> None:
        self._browser, self._has_touch = browser, has_touch
        self.errors: list[str] = []
        """Of the test that has it."""
        self._page, self._own = self._open(), None

    def _open(self) -> Page:
        page = self._browser.new_context(**EVALUATES, has_touch=self._has_touch).new_page()
        page.add_init_script(TOUR_SEEN)
        _watch(page, self.errors)
        return page

    def take(self, *, own: bool, tour: bool, **looks) -> Page:
        """The page; or one of the test's `own`, which has compiled all scripts too, for what no page loses again."""
        self.errors.clear()
        page = self._page
        if own or tour:
            page = self._own = self._page.context.new_page()
            _watch(page, self.errors)
            if not tour:
                page.add_init_script(TOUR_SEEN)
        page.bring_to_front()  # what is behind another page draws no frames
        page.set_viewport_size(looks.pop("viewport"))
        page.emulate_media(**looks)
        return page

    def give_back(self, server: str) -> None:
        """Leave the lab and forget everything; a page that cannot is replaced."""
        page = self._page
        if self._own is not None:
            self._own = self._own.close()
        try:
            page.wait_for_function("true", polling=100)  # else what follows may never end
            page.mouse.up()
            page.mouse.move(0, 0)
            page.goto(f"{server}/_stcore/health")  # of the same origin, and without scripts that write once more
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
            page.goto("about:blank")
            page.context.clear_cookies()
            page.context.clear_permissions()
            wire = page.context.new_cdp_session(page)
            wire.send("Page.resetNavigationHistory")
            wire.detach()
        except Error:
            page.context.close()
            self._page = self._open()


@pytest.fixture(scope="session")
def tab_of(browser) -> Callable[[bool, int], Tab]:
    """The tabs of the first visitor, the second and so on, without a touch screen or with one, which none loses."""
    return functools.cache(lambda has_touch, visitor: Tab(browser, has_touch=has_touch))


MOVING = {"reduced_motion": "no-preference"}
USUAL = {"viewport": {"width": 1440, "height": 980}, "color_scheme": "light", "reduced_motion": "reduce"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Beside what failed stands what each of its pages showed then: it may not fail once more where somebody looks."""
    report = yield
    if report.failed and call.when == "call":
        for number, page in enumerate(item.stash.get(PAGES, []), 1):
            report.sections.append((f"page {number}", _shown(page)))
    return report


PAGES = pytest.StashKey[list[Page]]()
"""The pages that a test has opened."""


def _shown(page: Page) -> str:
    """The address of a page, what Streamlit says of its script and its connection, what moves, and its first words.

    A page that is stuck answers nothing, so it is asked only in ways that end.
    """
    page.set_default_timeout(5_000)
    try:
        page.wait_for_function("true", polling=100)  # one that does not answer would be evaluated for ever
        app, moves = (page.wait_for_function(asked).json_value() for asked in (APP, MOVES))
        return f"{page.url}\n{app}\n{moves}\n{page.inner_text('body')[:2_000]}"
    except Error as problem:
        return f"cannot be asked: {problem.message}"


@pytest.fixture
def new_page(browser, server, tab_of, request):
    """Makes a page for somebody who was never here; when the test ends, its console must hold no error.

    Nothing moves on it: a stage that plays takes most of a core, so tests about motion ask for it (`MOVING`). What is
    done to the page before it is opened, or in place of the browser, is done to one of the test's `own`.
    """
    contexts, errors, taken = [], [], []
    pages = request.node.stash.setdefault(PAGES, [])

    def make(*, own: bool = False, tour: bool = False, **options) -> Page:
        wanted = {**USUAL, **options}
        has_touch = wanted.pop("has_touch", False)
        if wanted.keys() == USUAL.keys():
            tab = next(tab for visitor in range(9) if (tab := tab_of(has_touch, visitor)) not in taken)
            taken.append(tab)
            page = tab.take(own=own, tour=tour, **wanted)
        else:  # another device
            contexts.append(browser.new_context(**EVALUATES, **wanted, has_touch=has_touch))
            contexts[-1].add_init_script(TOUR_SEEN)
            page = contexts[-1].new_page()
            _watch(page, errors)
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        return page

    yield make
    for context in contexts:
        context.close()
    for tab in taken:
        tab.give_back(server)
        errors += tab.errors
    assert errors == []


@pytest.fixture
def open_page(new_page, server):
    """Opens a page of the lab on a new page."""

    def open_at(path: str = "/", **options) -> Page:
        page = new_page(**options)
        page.goto(server + path)
        return page

    return open_at


def eventually(page: Page, look: Callable[[], Any]) -> Any:
    """What `look` says once it says something true; what it says last where that never comes.

    For what no one locator can wait for: numbers and places of several things, which a page that is still being drawn
    moves. Also on pages whose policy lets nobody evaluate a string, as Playwright's own waiting does.
    """
    deadline = time.monotonic() + PATIENCE / 1000
    while not (seen := _if_there(look)) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    return seen


def _if_there(look: Callable[[], Any]) -> Any:
    """What is asked of something that is being replaced is answered by the next look."""
    try:
        return look()
    except Error:
        return None


def choose_option(page: Page, box: Locator, name: str) -> None:
    """Choose from a list; it closes when the page is drawn anew, so it is opened until the choice is made."""
    option = page.get_by_role("option", name=name)

    def chosen() -> bool:
        box.click()
        option.click(timeout=15_000)
        return True

    assert eventually(page, chosen), f"the list never offered {name}"


AT_REST = """() => {
  const drawn = (place) => place.querySelector(".main-svg") || !place.checkVisibility();
  const moves = (one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity;
  return !document.querySelector("[data-stale=true], [data-test-script-state=running], [data-testid=stSkeleton]")
    && [...document.querySelectorAll(".stPlotlyChart")].every(drawn) && !document.getAnimations().some(moves);
}"""


APP = "() => ({ ...document.querySelector('.stApp')?.dataset })"
MOVES = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const moves = (one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity;
  const named = (one) => (one.closest("[class*=st-key-]") ?? one).className;
  return {
    stale: all("[data-stale=true]").map(named),
    skeletons: all("[data-testid=stSkeleton]").map(named),
    undrawn: all(".stPlotlyChart").filter((one) => one.checkVisibility() && !one.querySelector(".main-svg")).map(named),
    animations: document.getAnimations().filter(moves).map((one) => one.animationName ?? one.transitionProperty),
  };
}"""
"""What keeps a page from rest."""


def settle(page: Page) -> None:
    """Wait until nothing is being drawn: the script rests, no part is dimmed, charts are there, nothing glides.

    Of an action that was just taken this says nothing: its effect is waited for first.
    """
    assert eventually(page, lambda: page.evaluate(AT_REST)), "the page never came to rest"


def box_of(place: Locator) -> FloatRect:
    """Where it is, once it is seen."""
    place.wait_for()
    return place.bounding_box()


def axe_violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds wrong with the page at rest. What is being redrawn is dimmed: then another look is taken."""
    found: list[tuple[str, str]] = []
    for _ in range(8):
        settle(page)
        page.evaluate(WATCH)
        # What passed is asked for in brief: to describe all of it takes half of the time.
        seen = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        undisturbed = page.evaluate("window.axeSaw.takeRecords().length + window.axeSaw.count === 0")
        twice = [(violation["id"], node["html"][:160]) for violation in seen for node in violation["nodes"]]
        if not twice or (undisturbed and twice == found):
            return twice
        found = twice
    return found


WATCH = """() => {
  window.axeSaw?.disconnect();
  const watch = window.axeSaw = new MutationObserver((records) => watch.count += records.length);
  watch.count = 0;
  watch.observe(document, { subtree: true, attributeFilter: ["data-stale", "data-test-script-state"] });
}"""
"""Counts from now on how often something is dimmed or the script runs."""


def turn(page: Page, scheme: Literal["light", "dark"]) -> None:
    """The system goes dark or light while the page is open, and Python has drawn the page again in those colours."""
    before = page.get_by_test_id("stHeaderLogo").get_attribute("src")
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "before => ![before, undefined].includes(document.querySelector('[data-testid=stHeaderLogo]')?.src)",
        arg=before,
    )
    settle(page)


def resize(page: Page, width: int) -> None:
    """Make the window this wide and wait for what is drawn by scripts to be as wide as its place."""
    page.set_viewport_size({"width": width, "height": page.viewport_size["height"]})
    page.wait_for_function(
        """width => innerWidth === width && [...document.querySelectorAll(".stPlotlyChart")].every(place => {
          const figure = place.querySelector(".main-svg");
          return !figure || Math.abs(figure.clientWidth - place.clientWidth) <= 1;
        })""",
        arg=width,
    )


def sticks_out(page: Page) -> int:
    """By how many pixels the page at rest is wider than the window."""
    settle(page)
    return page.evaluate(
        "(() => { const main = document.querySelector('[data-testid=stMain]');"
        " return main.scrollWidth - main.clientWidth; })()"
    )


def row_of(page, name):
    """A run in the table, as a screen reader finds it: what is seen is painted."""
    return page.locator(".st-key-ledger_area canvas [role=gridcell]", has_text=name).first
