"""Take the README's pictures in a real Chromium: the first page in light, dark and motion, and three more pages.

.venv/bin/python -m assets.take_pictures
"""

import io
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import find_browser

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1440, "height": 900}
MOMENT = 620
"""Thousandths of the film at which the particles are caught."""
FILM = {"width": 1180, "height": 760}
FRAMES = 45
FRAME_MS = 110
REST_MS = 1600
FLAGS = ["--no-sandbox", "--font-render-hinting=none"]  # letters as on a screen of today, not on whole pixels
FIRST = "/?n=4"
"""Explore, as to who comes by a link: without the tour."""
OTHERS = {"kl": "/kl", "inside": "/inside", "lessons": "/lessons?lesson=one-jump&step=2"}


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    server = subprocess.Popen([sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *options], cwd=ROOT)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            IMAGES.mkdir(exist_ok=True)
            for scheme in ("light", "dark"):
                take(browser, f"http://127.0.0.1:{port}{FIRST}", scheme)
            film(browser, f"http://127.0.0.1:{port}{FIRST}")
            for name, path in OTHERS.items():
                look_at(browser, f"http://127.0.0.1:{port}{path}", name)
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
    """The first page at one moment."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme, bypass_csp=True)
    still(page, address)
    scrub(page, MOMENT)
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / f"explore-{scheme}.png")
    page.close()


def film(browser: Browser, address: str) -> None:
    """The first page from noise to data, as an animation that rests at its end."""
    page = browser.new_page(viewport=FILM, color_scheme="light", bypass_csp=True)
    still(page, address)
    pictures = []
    for moment in range(FRAMES):
        scrub(page, round(1000 * moment / (FRAMES - 1)))
        page.wait_for_timeout(120)
        pictures.append(Image.open(io.BytesIO(page.screenshot())))
    page.close()
    durations = [FRAME_MS] * (FRAMES - 1) + [REST_MS]
    first, *later = pictures
    settings = {"save_all": True, "append_images": later, "duration": durations, "loop": 0, "quality": 60, "method": 4}
    first.save(IMAGES / "explore.webp", **settings)


def look_at(browser: Browser, address: str, name: str) -> None:
    """The top of another page, once nothing on it is being measured."""
    page = browser.new_page(viewport=SIZE, color_scheme="light", bypass_csp=True)
    page.goto(address)
    page.locator("canvas:visible, .js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
    page.get_by_text("Measuring").first.wait_for(state="hidden", timeout=300_000)
    page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


def still(page: Page, address: str) -> None:
    """The first page with everything measured, its film stopped."""
    page.goto(address)
    page.wait_for_function("window.particleStage?.frames > 3", timeout=60_000)
    page.locator(".card-value strong:visible").wait_for(timeout=60_000)
    page.get_by_text("Measuring").wait_for(state="hidden", timeout=300_000)
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.locator("canvas.view").focus()
    page.keyboard.press("Space")


def scrub(page: Page, moment: int) -> None:
    """Move the film to a moment, in thousandths."""
    time_axis = page.get_by_role("slider", name="Time, from noise to data")
    time_axis.fill(str(moment))
    time_axis.blur()


if __name__ == "__main__":
    main()
