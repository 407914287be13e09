"""How fast and how large the static site is: asked beside measured, medians over several tries.

    python -m benchmarks.site [--folder FOLDER] [--tries 10]

Writes the site (or takes that of FOLDER) and opens its pages in headless Chromium, each time in a new context, from a
file and from a server of Python's own. What writes, serves and draws shares this machine's cores.
"""

import argparse
import re
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.browser import find_browser
from benchmarks.page import moving, opened, show

MOVING = ("index.html", "explore/two_spirals.html", "lessons/flow-map/1.html", "lessons/flow-map/4.html")
ASKED = re.compile(rb'<(?:script[^>]* src|link[^>]* href)="([^"]+\.(?:js|css))"')


class Silent(SimpleHTTPRequestHandler):
    """Files, without a word about each."""

    def log_message(self, *arguments: object) -> None: ...


def sizes(folder: Path) -> Iterator[tuple[str, str, list[float]]]:
    pages = sorted(folder.rglob("*.html"))
    weights = [weight_of(page) / 1e6 for page in pages]
    yield f"a page with all that it loads at once, MB, of {len(pages)} pages", "≤ 1.5 MB", weights
    yield "the whole site, MB", "", [sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6]


def weight_of(page: Path) -> int:
    content = page.read_bytes()
    return len(content) + sum((page.parent / name.decode()).resolve().stat().st_size for name in ASKED.findall(content))


def pictures(browser: Browser, folder: Path, tries: int) -> Iterator[tuple[str, str, list[float]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    roots = {"file": f"file://{folder}", "http": f"http://127.0.0.1:{server.server_port}"}
    for way, root in roots.items():
        for path in MOVING:
            seconds = []
            for _ in range(tries + 1):  # the first one fills the caches of the system
                with opened(browser, f"{root}/{path}") as page:
                    moving(page)
                    seconds.append(page.evaluate("window.firstPicture") / 1000)
            yield f"{way}: {path} → first moving picture, s", "≤ 1 s", seconds[1:]
    server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a site that is written already")
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--browser", default=find_browser())
    choices = parser.parse_args()
    with tempfile.TemporaryDirectory() as new, sync_playwright() as playwright:
        folder = choices.folder or Path(new) / "site"
        if choices.folder is None:
            from app.site.command import write_site

            print(write_site(folder, runs=(), lab="http://localhost:8501"), flush=True)
        browser = playwright.chromium.launch(executable_path=choices.browser, args=["--no-sandbox"])
        print(f"{'':62} {'asked':>12} {'median':>9} {'least':>9} {'most':>9}  tries", flush=True)
        show(sizes(folder.resolve()))
        show(pictures(browser, folder.resolve(), choices.tries))
        browser.close()


if __name__ == "__main__":
    main()
