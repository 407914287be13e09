"""How long from a click to the first useful number of each page, beside Streamlit's own smallest page.

    python -m benchmarks.first_number [--before COMMIT] [--tries 10] [--only explore,kl,…]

Each page is opened by its address in a browser that was never here, and, where another page of the lab leads to it, by
a click there. Its first number is a KL on a card or in a sentence, or a point or a line of a chart; on Train, where
nothing was trained yet, the seconds that starting would take, on the card that says what would be learned
(`benchmarks/page.py --only thirty` times a training). With `--before` the lab as it was at that commit is served too,
and each try goes through all servers in turn, so that what else the machine does falls on all of them alike.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import find_browser
from benchmarks.page import ROOT, SLIDER, opened, plain_app, server

WATCH = """
window.firstNumber = null;
window.clicked = 0;
try { localStorage.setItem("consistency-lab-tour", "seen"); } catch {} // it would lie over what is clicked
const begin = () => { window.clicked = performance.now(); window.firstNumber = null; watch(); };
addEventListener("pointerdown", begin, true);
let round = 0;
function watch() {
  const mine = ++round, holds = new Function(`return (${CONDITION})`);
  const look = () => {
    if (mine !== round) return;
    if (holds()) window.firstNumber = performance.now(); else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
watch();
"""


@dataclass(frozen=True)
class Where:
    """A page and its first number.

    Attributes:
        path: its address.
        number: a condition in the browser that holds as soon as the number can be read.
        title: in the navigation; empty where the page itself, without a further choice, has no number.
    """

    path: str
    number: str
    title: str = ""


def _seen(place: str, test: str = "/[0-9]/.test(e.textContent)") -> str:
    return f"[...document.querySelectorAll('{place}')].some(e => e.checkVisibility() && {test})"


IN_SIGHT = "e.getBoundingClientRect().top < innerHeight"
"""Of a mark or a sentence with a KL."""
PAGES = {
    "explore": Where("/", _seen(".st-key-number_area .card-value strong"), "Explore"),
    "lesson": Where("/lessons?lesson=more-steps", _seen(".st-key-lesson_figure .card-value strong")),
    "train": Where("/train", _seen(".card", "/not trained yet/.test(e.textContent)"), "Train"),
    "kl": Where("/kl", _seen(".st-key-curves_area :is(.scatterlayer .points path, .reading)", IN_SIGHT), "KL"),
    "inside": Where("/inside", _seen(".st-key-mean_area .card-value strong"), "Diagnostics"),
    "scaling": Where("/scaling", _seen(".st-key-answer_area .scatterlayer .js-line", "true"), "Scaling"),
    "runs": Where("/runs", _seen(".run b, .run-sign small", "/[.][0-9]/.test(e.textContent)"), "Runs"),
}


# ---- what is served ---------------------------------------------------------------------------------------------
@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The lab as it was at a commit, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lab"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", place, commit], cwd=ROOT, check=True)
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", place], cwd=ROOT, check=True)


# ---- what is measured -------------------------------------------------------------------------------------------
def by_address(browser: Browser, address: str, where: Where) -> float:
    """Seconds from the navigation to the first number, in a browser without a cache."""
    with _opened(browser, address + where.path, where.number) as page:
        page.wait_for_function("window.firstNumber !== null")
        return page.evaluate("window.firstNumber") / 1000


def by_click(browser: Browser, address: str, where: Where) -> float:
    """Seconds from a click in the navigation of another page, which has come to rest, to the first number."""
    start = PAGES["kl" if where.path == "/" else "explore"]
    with _opened(browser, address + start.path, where.number) as page:
        page.wait_for_function(start.number)
        page.wait_for_timeout(2_000)
        page.get_by_test_id("stTopNavLinkContainer").get_by_role("link", name=where.title, exact=True).click()
        return _since_click(page)


@contextmanager
def _opened(browser: Browser, address: str, number: str) -> Iterator[Page]:
    with opened(browser, address, watch=WATCH.replace("${CONDITION}", number)) as page:
        yield page


def _since_click(page: Page) -> float:
    page.wait_for_function("window.clicked > 0 && window.firstNumber !== null")
    return page.evaluate("window.firstNumber - window.clicked") / 1000


# ---- what is printed --------------------------------------------------------------------------------------------
def measure(browser: Browser, servers: dict[str, str], names: list[str], tries: int) -> dict[tuple[str, str], list]:
    """Seconds by what was done and by server; the first round of all fills the servers' memories and does not count."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(tries + 1):
        for label, address in servers.items():
            if label == "Streamlit":
                found = [("its title and slider", by_address(browser, address, Where("/", SLIDER)))]
            else:
                found = _of_lab(browser, address, names)
            for what, value in found:
                print(f"try {number}, {label}: {what} {value:.2f} s", file=sys.stderr, flush=True)
                if number:
                    seconds[what, label].append(value)
    return seconds


def _of_lab(browser: Browser, address: str, names: list[str]) -> Iterator[tuple[str, float]]:
    for name in names:
        where = PAGES[name]
        yield f"{name}, by its address", by_address(browser, address, where)
        if where.title:
            yield f"{name}, by a click", by_click(browser, address, where)


def show(seconds: dict[tuple[str, str], list[float]], labels: list[str]) -> None:
    """A row for each thing done: medians with the least and the most, and how they compare with Streamlit's own."""
    own = statistics.median(seconds["its title and slider", "Streamlit"])
    print(f"{'seconds: median (least … most)':28}" + "".join(f"{label:>26}  ÷ own" for label in labels))
    for what in dict.fromkeys(what for what, _ in seconds):
        cells = []
        for label in labels:
            values = seconds.get((what, label))
            if not values:
                cells.append(f"{'':26}       ")
                continue
            middle = statistics.median(values)
            cells.append(f"{f'{middle:.2f} ({min(values):.2f} … {max(values):.2f})':>26}  {middle / own:5.2f}")
        print(f"{what:28}" + "".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="COMMIT", help="measure the lab as it was at this commit too")
    parser.add_argument("--only", default=",".join(PAGES), help="pages, with commas between them")
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--port", type=int, default=8670)
    parser.add_argument("--browser", default=find_browser())
    choices = parser.parse_args()
    names = choices.only.split(",")
    if unknown := set(names) - set(PAGES):
        raise SystemExit(f"There is no page {', '.join(sorted(unknown))}; there is {', '.join(PAGES)}.")
    with ExitStack() as stack:
        folders = {"Streamlit": stack.enter_context(plain_app())}
        if choices.before:
            folders["before"] = stack.enter_context(checkout(choices.before))
        folders["now"] = ROOT
        servers = {
            label: stack.enter_context(server(choices.port + number, folder))
            for number, (label, folder) in enumerate(folders.items())
        }
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=choices.browser, args=["--no-sandbox"])
        show(measure(browser, servers, names, choices.tries), list(folders))
        browser.close()


if __name__ == "__main__":
    main()
