"""The lab as it is installed: builds the wheel, installs it elsewhere, opens its page in Chromium and trains a moment.

    python -m benchmarks.wheel_walk [--borrow] [--folder FOLDER]

Prints what it saw. Without --borrow the environment is really fresh: PyTorch and the rest are installed into it, which
takes minutes and the network. With it, the environment takes the libraries of the one that runs this, and the lab alone
is installed. Nothing of the checkout is used after the wheel is built. Needs pip, and playwright with a Chromium.
"""

import argparse
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.browser import find_browser

ROOT = Path(__file__).parents[1]
PATIENCE = 180
"""Seconds for the server to answer, and for the training, on a loaded machine."""
PAPER = "rgb(251, 251, 249)"
"""The light paper of .streamlit/config.toml."""
WHERE = "import app, cmcore; print(app.__file__); print(cmcore.__file__)"


def build(out: Path, source: Path = ROOT) -> Path:
    """The wheel of a checkout or of an unpacked source distribution."""
    own = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *own, "--wheel-dir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *, borrow: bool) -> Path:
    """A new environment with the wheel in it; its Python."""
    venv.create(folder, with_pip=not borrow, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if borrow:
        # A path alone: what an editable install of the lab adds to it stands in .pth files there, which are not read.
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (site_packages(python) / "borrowed.pth").write_text("\n".join(sorted(paths)) + "\n")
        pip = [sys.executable, "-m", "pip", "--python", python]
        _run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", wheel)
    else:
        _run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    return python


def site_packages(python: Path) -> Path:
    """Where an environment's packages lie."""
    return Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def installed_files(python: Path) -> set[str]:
    """Every file in an environment but compiled modules."""
    place = site_packages(python)
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.suffix != ".pyc" and path.is_file()}


def imported_from(python: Path, home: Path) -> list[str]:
    """The files of the modules app and cmcore, as a program finds them that runs in another folder."""
    return _run(python, "-c", WHERE, cwd=home, env=environment(home)).split()


def environment(home: Path) -> dict[str, str]:
    """What a person's shell says whose home is there, and who never saw a checkout."""
    own = ("PYTHONPATH", "CONSISTENCY_LAB_", "STREAMLIT_", "XDG_", "CMCORE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "OMP_NUM_THREADS": "1"}


@contextmanager
def serve(python: Path, home: Path, *options: str, **variables: str) -> Iterator[str]:
    """The address of the lab that `cmcore app` opens in another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python.with_name("cmcore"), "app", "--port", str(port), "--no-browser", *options]
    log = home / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=home, env={**environment(home), **variables}, stdout=out, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)  # what is measured at the moment ends first


def _wait(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The server did not answer:\n{log.read_text()}")


def walk(address: str, browser: Browser, kept: Path) -> Mapping[str, object]:
    """What a visitor sees: the first page, an answer that came with the lab, and a training that is kept there."""
    page = browser.new_page(
        viewport={"width": 1440, "height": 980}, color_scheme="light", reduced_motion="reduce", bypass_csp=True
    )
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(address)
    page.wait_for_function("window.particleStage?.frames > 0")
    seen = {
        "title": page.title(),
        "the run on the stage": page.evaluate("window.particleStage.key"),
        "the paper": page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"),
    }
    page.goto(f"{address}/scaling")
    page.locator(".stPlotlyChart .main-svg").first.wait_for()
    seen["figures of a shipped answer"] = page.locator(".stPlotlyChart").count()
    page.goto(f"{address}/train?objective=lsd&network=small&steps=60")
    page.get_by_role("button", name="Start training").click()
    deadline = time.monotonic() + PATIENCE
    while not (runs := [path.parent for path in kept.glob("*/*/run.json")]) and time.monotonic() < deadline:
        page.wait_for_timeout(200)  # the page must go on being looked at
    seen |= {"runs kept": len(runs), "errors": errors}
    page.context.close()
    return seen


def _run(*command: object, **options: Any) -> str:
    """What a command prints; its words where it fails."""
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--borrow", action="store_true", help="take the libraries of this environment")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    choices = parser.parse_args()
    folder = choices.folder or Path(tempfile.mkdtemp(prefix="lab-"))
    home = folder / "home"
    home.mkdir(parents=True)
    wheel = build(folder / "wheel")
    print(f"{wheel.name}: {wheel.stat().st_size >> 10:,} kB")
    python = install(wheel, folder / "environment", borrow=choices.borrow)
    for place in imported_from(python, home):
        print(f"imported from {place}")
    before, kept = installed_files(python), home / "runs"
    with serve(python, home, "--keep", str(kept)) as address, sync_playwright() as playwright:
        print(f"cmcore app, in {home}, answers at {address}")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for what, value in walk(address, browser, kept).items():
            print(f"{what}: {value}")
        browser.close()
    print(f"files written among the packages: {len(installed_files(python) - before)}")
    if choices.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
