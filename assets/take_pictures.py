"""Take the README's pictures: the lab's first page in a real Chromium, light and dark.

.venv/bin/python -m assets.take_pictures
"""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.conftest import find_browser

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1440, "height": 900}
MOMENT = 620
"""Thousandths of the film at which the particles are caught."""


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    server = subprocess.Popen([sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *options], cwd=ROOT)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                take(browser, f"http://127.0.0.1:{port}/", scheme)
            browser.close()
    finally:
        server.terminate()


def wait_for(address: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{address} did not answer within {seconds:g} s")


def take(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.goto(address)
    page.wait_for_function("window.particleStage?.frames > 3", timeout=60_000)
    page.locator(".card-value strong").wait_for(timeout=60_000)
    page.get_by_text("Measuring").wait_for(state="hidden", timeout=300_000)
    page.locator("canvas.view").focus()
    page.keyboard.press("Space")
    time_axis = page.get_by_role("slider", name="Time, from noise to data")
    time_axis.fill(str(MOMENT))
    time_axis.blur()
    page.wait_for_timeout(1500)
    IMAGES.mkdir(exist_ok=True)
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.screenshot(path=IMAGES / f"explore-{scheme}.png")
    page.close()


if __name__ == "__main__":
    main()
