"""Runs of visitors on the disk, so that a reload finds them again; bounded in number, size and time.

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
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field

import cmcore as cm
from app.limits import limits
from cmcore.files import read_plain, write_atomically
from cmcore.json_input import parse_json
from cmcore.store import BadRun

__all__ = ["Kept", "bounds", "forget", "keep", "kept", "root"]


@dataclass(frozen=True)
class Bounds:
    """How much is kept.

    Attributes:
        days: runs of a visitor who has not come back for so long are removed.
        runs: of one visitor; the oldest one that is not pinned goes first.
        of_one, of_all: bytes of a visitor, and of all of them.
    """

    days: int
    runs: int
    of_one: int
    of_all: int


HOME = Bounds(days=400, runs=100, of_one=1 << 30, of_all=4 << 30)  # browsers keep no cookie for longer
HOSTED = Bounds(days=7, runs=24, of_one=64 << 20, of_all=1 << 30)
LARGEST_ABOUT = 10_000
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


def bounds() -> Bounds:
    """How much this server keeps."""
    return HOSTED if limits().hosted else HOME


def root() -> Path | None:
    """The folder of all visitors; None where nothing is kept. CONSISTENCY_LAB_KEPT names it, or is empty."""
    told = os.environ.get("CONSISTENCY_LAB_KEPT")
    if told is not None:
        return Path(told) if told else None
    return user_data_path("consistency-lab", appauthor=False) / "runs"


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
        folder.mkdir(exist_ok=True)
        about = About(key=run.key, label=run.label, pinned=run.pinned)
        write_atomically(folder / "about.json", about.model_dump_json().encode())
        if fresh:  # the run's own file comes last, so that where it is, everything is
            _save(run.model, folder)
    except (OSError, ValueError, RuntimeWarning):
        _log.warning("a run could not be kept", exc_info=True)
        if fresh:  # what was kept before stays, under its older name
            _remove(folder)
        return False
    _bound(folder.parent, bounds(), spare=folder)
    _sweep(top)
    return True


def _save(model: cm.TrainedModel, folder: Path) -> None:
    """Write the run, ready to be continued; a target that cannot be written is refused with RuntimeWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        cm.save(model, folder)


def kept(token: str) -> Iterator[Kept]:
    """The runs of a visitor, oldest first. What cannot be read is left out."""
    top = root()
    if top is None:
        return
    home = _folder(top, token)
    for folder in _by_age(home):
        if not (folder / "run.json").exists():
            continue  # another process is at it
        try:
            about = _about(folder)
            yield Kept(about.key, about.label, about.pinned, cm.load(folder))
        except (OSError, ValueError, BadRun):
            _log.warning("a kept run could not be read", exc_info=True)
    with contextlib.suppress(OSError):
        os.utime(home)  # somebody came back


def forget(token: str, key: str) -> None:
    """Remove a run from the disk."""
    top = root()
    if top is not None:
        _remove(_folder(top, token) / _hash(key))


# ---- places -----------------------------------------------------------------------------------------------------
def _folder(top: Path, token: str) -> Path:
    return top / _hash(token)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _by_age(folder: Path) -> list[Path]:
    """The folders of runs in it, oldest first."""
    try:
        return sorted((path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."), key=_written)
    except OSError:
        return []


def _written(folder: Path) -> float:
    """When the run was written; of one that is being written, when that began."""
    for path in (folder / "run.json", folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _about(folder: Path) -> About:
    content = read_plain(folder / "about.json", LARGEST_ABOUT)
    return About.model_validate(parse_json(content, largest=LARGEST_ABOUT, most_values=16))


def _remove(folder: Path) -> None:
    """Remove a folder in one step for whoever looks on, and then from the disk."""
    gone = folder.with_name(f".{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0


# ---- bounds -----------------------------------------------------------------------------------------------------
def _bound(home: Path, most: Bounds, *, spare: Path) -> None:
    """Remove a visitor's oldest runs until the rest is within bounds; pinned ones last, and never the newest."""
    for left in home.glob(".*"):  # by one that was killed while it removed
        shutil.rmtree(left, ignore_errors=True)
    folders = sorted(_by_age(home), key=_pinned)  # a stable sort: by age within each
    sizes = {folder: _bytes(folder) for folder in folders}
    for folder in folders:
        if len(sizes) <= most.runs and sum(sizes.values()) <= most.of_one:
            return
        if folder != spare:
            _remove(folder)
            del sizes[folder]


def _pinned(folder: Path) -> bool:
    try:
        return _about(folder).pinned
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
    total, most = sum(sizes.values()), bounds()
    for seen, path in homes:
        if time.time() - seen > most.days * 24 * 3600 or total > most.of_all:
            _remove(path)
            total -= sizes[path]
