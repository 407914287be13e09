"""Runs of visitors on the server's disk, so that a reload finds them again; bounded in number, size and time.

Every visitor has a folder, named by a hash of the token: whoever can list the folders still cannot become a visitor,
and nothing that a browser sends becomes part of a path. Where the server may not write, nothing is kept and the lab
works on.
"""

import contextlib
import hashlib
import logging
import math
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

import cmcore as cm
from cmcore.files import write_atomically
from cmcore.store import BadRun

__all__ = ["DAYS", "Kept", "forget", "keep", "kept", "root"]

DAYS = 7
"""Runs of a visitor who has not come back for so long are removed."""
MOST_RUNS = 24
"""Of one visitor; the oldest one that is not pinned goes first."""
MOST_BYTES = 64 << 20
"""Of one visitor."""
MOST_BYTES_IN_ALL = 1 << 30
SWEEP_SECONDS = 600.0

_log = logging.getLogger(__name__)
CLOCK_SET = 3600.0
"""Seconds by which the clock may move otherwise than time itself; beyond, it was set, or the machine slept."""
_swept = {"at": -float("inf"), "clock": 0.0}
_sweeping = threading.Lock()


@dataclass(frozen=True)
class Kept:
    """A run as it is kept: its key and name, whether it is pinned, and the model."""

    key: str
    label: str
    pinned: bool
    model: cm.TrainedModel


class About(BaseModel):
    """What lies beside a run: what people call it."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    key: str = Field(max_length=200)
    label: str = Field(max_length=200)
    pinned: bool = False


def root() -> Path | None:
    """The folder of all visitors; None where nothing is kept. CONSISTENCY_LAB_KEPT names it, or is empty."""
    told = os.environ.get("CONSISTENCY_LAB_KEPT")
    if told is not None:
        return Path(told) if told else None
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "consistency-lab" / "kept-runs"


def keep(token: str, run: Kept) -> bool:
    """Write a run, or what it is called now; whether it is kept. A target that cannot be written is not."""
    top = root()
    if top is None:
        return False
    folder = _folder(top, token) / _hash(run.key)
    fresh = not (folder / "run.json").exists()
    try:
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        if fresh:
            _save(run.model, folder)
        about = About(key=run.key, label=run.label, pinned=run.pinned)
        write_atomically(folder / "about.json", about.model_dump_json().encode())
    except (OSError, ValueError, RuntimeWarning):
        _log.warning("a run could not be kept", exc_info=True)
        if fresh:  # what was kept before stays, under its older name
            shutil.rmtree(folder, ignore_errors=True)
        return False
    _bound(folder.parent, MOST_RUNS, MOST_BYTES, spare=folder)
    _sweep(top)
    return True


def _save(model: cm.TrainedModel, folder: Path) -> None:
    """Write the run; a target that cannot be written with it is refused with RuntimeWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        cm.save(model, folder, resumable=False)


def kept(token: str) -> Iterator[Kept]:
    """The runs of a visitor, oldest first. What cannot be read is left out."""
    top = root()
    if top is None:
        return
    home = _folder(top, token)
    for folder in _by_age(home):
        try:
            about = About.model_validate_json((folder / "about.json").read_bytes())
            yield Kept(about.key, about.label, about.pinned, cm.load(folder))
        except (OSError, ValueError, BadRun):
            _log.warning("a kept run could not be read", exc_info=True)
    with contextlib.suppress(OSError):
        os.utime(home)  # somebody came back


def forget(token: str, key: str) -> None:
    """Remove a run from the disk."""
    top = root()
    if top is not None:
        shutil.rmtree(_folder(top, token) / _hash(key), ignore_errors=True)


# ---- places -----------------------------------------------------------------------------------------------------
def _folder(top: Path, token: str) -> Path:
    return top / _hash(token)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _by_age(folder: Path) -> list[Path]:
    """The folders in it, oldest first."""
    try:
        return sorted((path for path in folder.iterdir() if path.is_dir()), key=_age)
    except OSError:
        return []


def _age(folder: Path) -> float:
    try:
        return (folder / "run.json").stat().st_mtime
    except OSError:
        return 0.0


def _bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0


# ---- bounds -----------------------------------------------------------------------------------------------------
def _bound(home: Path, most: int, most_bytes: int, *, spare: Path) -> None:
    """Remove a visitor's oldest runs until the rest is within bounds; pinned ones last, and never the newest."""
    folders = sorted(_by_age(home), key=_pinned)  # a stable sort: by age within each
    sizes = {folder: _bytes(folder) for folder in folders}
    for folder in folders:
        if len(sizes) <= most and sum(sizes.values()) <= most_bytes:
            return
        if folder != spare:
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]


def _pinned(folder: Path) -> bool:
    try:
        return About.model_validate_json((folder / "about.json").read_bytes()).pinned
    except (OSError, ValueError):
        return False


def _sweep(top: Path) -> None:
    """Now and then: remove visitors who have been away too long, and the longest away while there is too much.

    When the clock was set since the last time, nobody can tell who has been away for how long, so that everybody's week
    begins anew.
    """
    with _sweeping:
        passed, clock = time.monotonic() - _swept["at"], time.time()
        if passed < SWEEP_SECONDS:
            return
        was_set = math.isfinite(passed) and abs(clock - _swept["clock"] - passed) > CLOCK_SET
        _swept.update(at=time.monotonic(), clock=clock)
    try:
        homes = sorted((path.stat().st_mtime, path) for path in top.iterdir() if path.is_dir())
        if was_set:
            for _, path in homes:
                os.utime(path, (clock, clock))
            homes = [(clock, path) for _, path in homes]
    except OSError:
        return
    sizes = {path: _bytes(path) for _, path in homes}
    total = sum(sizes.values())
    for seen, path in homes:
        if time.time() - seen > DAYS * 24 * 3600 or total > MOST_BYTES_IN_ALL:
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]
