"""The image without a container engine: the Dockerfile's steps in a fresh Debian root, then a visit to the lab in it.

    python -m benchmarks.image_walk FOLDER [--bind PATH …]

FOLDER becomes a Debian root by debootstrap, or is one already that this made. Debian's Python stands for that of the
base image. Every step runs there by chroot, with mounts that end with it, and as the user whom the Dockerfile names;
the health check is the Dockerfile's own. Then Chromium outside opens the lab and trains a moment. Prints what it saw.
Needs root, debootstrap, unshare, pip's network, and playwright with a Chromium. `--bind` shows a path of this machine
at the same place inside: pip's settings, certificates, wheels.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.browser import find_browser
from benchmarks.wheel_walk import PATIENCE, walk

ROOT = Path(__file__).parents[1]
BASE = ("python3", "python3-pip", "python3-venv", "ca-certificates")
FRESH = "/var/lib/consistency-lab-base"
"""Lies in a root whose making has ended."""
NO_PYCACHE = shutil.ignore_patterns("__pycache__")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The steps of a Dockerfile, each with what follows it, lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


class Image:
    """A folder that the Dockerfile's steps are walked in.

    Args:
        folder: the root.
        bind: paths of this machine that are seen at the same place inside.
    """

    def __init__(self, folder: Path, bind: list[Path]) -> None:
        self.folder, self._bind = folder, bind
        self._variables = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}
        self._variables |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        self._place, self._user = "/", "0"
        self.health: list[str] = []
        self.command: list[str] = []

    def make_base(self) -> None:
        """What stands for the base image: Debian with a Python of its own, which pip may install for."""
        if not (self.folder / FRESH[1:]).exists():
            _run("debootstrap", "--variant=minbase", f"--include={','.join(BASE)}", "bookworm", self.folder)
            for managed in self.folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                managed.unlink()
            (self.folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            (self.folder / FRESH[1:]).touch()
        for name in ("etc/resolv.conf", "etc/hosts"):
            shutil.copy(f"/{name}", self.folder / name)

    def take(self, name: str, rest: str) -> None:
        """Walk one step; ValueError for one of which this program knows nothing."""
        match name:
            case "ENV":
                self._variables |= dict(word.split("=", 1) for word in shlex.split(rest))
            case "WORKDIR":
                self._place = rest
                self._inside(rest).mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = shlex.split(rest)
                for source in sources:
                    self._copy(ROOT / source, target)
            case "RUN":
                _run(*self.inside("/bin/sh", "-c", rest))
            case "USER":
                self._user = rest
            case "HEALTHCHECK":
                self.health = json.loads(rest.partition("CMD")[2])
            case "CMD":
                self.command = json.loads(rest)
            case "FROM" | "EXPOSE":
                pass  # Debian's own, and the address is that of this machine
            case _:
                raise ValueError(f"a step that cannot be walked here: {name}")

    def inside(self, *command: str) -> list[str]:
        """The command, as the image would run it."""
        shown = " ".join(
            f"mount --bind {shlex.quote(str(path))} {shlex.quote(self._target(path))};" for path in self._bind
        )
        root = shlex.quote(str(self.folder))
        mounts = f"set -e; mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev; {shown}"
        variables = {**self._variables, **({"HOME": "/home/lab"} if self._user != "0" else {})}
        chroot = ["chroot", f"--userspec={self._user}:{self._user}", str(self.folder), "/usr/bin/env", "-i"]
        chroot += [f"{name}={value}" for name, value in variables.items()]
        chroot += ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self._place, *command]
        return ["unshare", "--mount", "/bin/sh", "-c", f'{mounts} exec "$@"', "walk", *chroot]

    def _inside(self, path: str) -> Path:
        return self.folder / (Path(self._place) / path).relative_to("/")

    def _target(self, path: Path) -> str:
        target = self.folder / str(path)[1:]
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        return str(target)

    def _copy(self, source: Path, target: str) -> None:
        place = self._inside(target)
        if source.is_dir():  # its content goes there, as Docker has it
            shutil.copytree(source, place, dirs_exist_ok=True, ignore=NO_PYCACHE)
        else:
            place = place / source.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


@contextmanager
def served(image: Image, log: Path) -> Iterator[float]:
    """The image's own command, once its own health check holds; seconds until then."""
    since = time.monotonic()
    with log.open("w") as out:
        server = subprocess.Popen(image.inside(*image.command), stdout=out, stderr=subprocess.STDOUT)
    try:
        while subprocess.run(image.inside(*image.health), check=False, capture_output=True).returncode:
            if server.poll() is not None or time.monotonic() > since + PATIENCE:
                raise RuntimeError(f"The server did not answer:\n{log.read_text()}")
            time.sleep(0.5)
        yield time.monotonic() - since
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def _seconds(work: Callable[[], object]) -> float:
    since = time.monotonic()
    work()
    return time.monotonic() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bind", type=Path, nargs="*", default=[])
    choices = parser.parse_args()
    image = Image(choices.folder.resolve(), choices.bind)
    print(f"a Debian root with Python: {_seconds(image.make_base):.0f} s", flush=True)
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        seconds = _seconds(lambda name=name, rest=rest: image.take(name, rest))
        print(f"{name} {rest[:80]}: {seconds:.0f} s", flush=True)
    print("python:", _run(*image.inside("python", "--version")).strip())
    print("may write the code:", _run(*image.inside("sh", "-c", "test -w app && echo yes || echo no")).strip())
    with served(image, image.folder / "log.txt") as seconds, sync_playwright() as playwright:
        print(f"healthy after {seconds:.0f} s")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        kept = image.folder / "home/lab/.local/share/consistency-lab/runs"
        for what, value in walk("http://127.0.0.1:8501", browser, kept).items():
            print(f"{what}: {value}")
        browser.close()


if __name__ == "__main__":
    main()
