"""A real server on a free port, and a page in a real Chromium that fails on any error of its console."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of the lab, started as a person would start it."""
    command = ["-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    with served(command, tmp_path_factory.mktemp("server") / "log.txt") as address:
        yield address


@contextmanager
def served(command: list[str], log: Path) -> Iterator[str]:
    """The address of a server that Python starts with these arguments, on a free port."""
    process, address = start_server(command, log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def start_server(command: list[str], log: Path) -> tuple[subprocess.Popen, str]:
    """The same for those who end it in their own way."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *command, *options],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CONSISTENCY_LAB_KEPT": str(log.with_name("kept"))},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(address, process, log)
    except BaseException:
        process.kill()
        raise
    return process, address


def _wait_until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended at once:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not answer within {START_SECONDS} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser(request):
    from playwright.sync_api import sync_playwright

    from tests.conftest import find_browser

    with sync_playwright() as playwright:
        # A container's root has no user namespaces for Chromium's sandbox.
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


# Opened at /kl, Streamlit cannot know whether it is served under /kl or under /, and asks at both: one answer is a 404.
ASKED_AT_BOTH = re.compile(r"/[a-z]+/_stcore/(health|host-config)$")


def _is_error(message) -> bool:
    return message.type == "error" and not ASKED_AT_BOTH.search(message.location.get("url", ""))


MOVING = {"reduced_motion": "no-preference"}


@pytest.fixture
def open_page(browser, server):
    """Opens a page of the lab; when the test ends, its console must hold no error.

    Nothing moves on it: a stage that plays takes most of a core, so tests about motion ask for it (`MOVING`).
    """
    contexts, errors = [], []

    def open_at(path: str = "/", **options):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 980}, "reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
        page.goto(server + path)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []


def axe_violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds wrong with the page once nothing on it is being redrawn, which is dimmed meanwhile."""
    page.wait_for_function("!document.querySelector('[data-stale=true]')")
    page.wait_for_timeout(500)
    # What passed is asked for in brief: to describe all of it takes half of the time.
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(violation["id"], node["html"][:160]) for violation in found for node in violation["nodes"]]


def turn_dark(page: Page) -> None:
    """The system goes dark while the page is open, and Python has drawn the page again in the other colours."""
    wordmark = page.get_by_test_id("stHeaderLogo")
    light = wordmark.get_attribute("src")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("([image, light]) => image.src !== light", arg=[wordmark.element_handle(), light])
    page.locator("[data-test-script-state=notRunning]").wait_for()


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
    """By how many pixels the page is wider than the window."""
    return page.evaluate(
        "(() => { const main = document.querySelector('[data-testid=stMain]');"
        " return main.scrollWidth - main.clientWidth; })()"
    )
