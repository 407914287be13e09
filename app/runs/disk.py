"""Runs of visitors, and results that they brought in, on the disk, so that a reload finds them again.

Both together are bounded in number, size and time.

Every visitor has a folder, named by a hash of the token: whoever can list the folders still cannot become a visitor,
and nothing that a browser sends becomes part of a path. Where the server may not write, nothing is kept and the lab
works on.
"""

import contextlib
import hashlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field

import cmcore as cm
from app.hosting.limits import limits
from app.runs.disk_space import Bounds, DiskSpace, NoSpace, by_age, remove, rounded
from cmcore.files import read_plain, write_atomically
from cmcore.json_input import parse_json
from cmcore.store import BadRun, ReadLimits, load, run_files, write_run

HOME = Bounds(days=400, runs=100, of_one=1 << 30, of_all=4 << 30)  # browsers keep no cookie for longer
HOSTED = Bounds(days=7, runs=24, of_one=64 << 20, of_all=1 << 30)
LARGEST_ABOUT = 10_000
ABOUT_FILE, RUN_FILE, RESULT_FILE = "about.json", "run.json", "result.zip"
LARGEST_RESULT = 16 << 20
"""Bytes of a result from elsewhere, packed or unfolded."""

_log = logging.getLogger(__name__)


class NotStored(ValueError):
    """A run that the server could not store; the message says why, as a clause."""


@dataclass(frozen=True)
class StoredRun:
    """A run on the disk: its key and name, whether it is pinned, and the model."""

    key: str
    label: str
    pinned: bool
    model: cm.TrainedModel


@dataclass(frozen=True)
class StoredResult:
    """A result from elsewhere on the disk: its key and name, and the zip that was brought in."""

    key: str
    label: str
    content: bytes


class RunLabel(BaseModel):
    """What lies beside a run or a result: what people call it."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    key: str = Field(max_length=200)
    label: str = Field(max_length=200)
    pinned: bool = False


def bounds() -> Bounds:
    """How much this server keeps: no more of a visitor than a session has, so that all of it comes back."""
    now = limits()
    most = HOSTED if now.hosted else HOME
    return replace(most, runs=min(most.runs, now.runs + now.results))


def root() -> Path | None:
    """The folder of all visitors; None where nothing is kept. CONSISTENCY_LAB_KEPT names it, or is empty."""
    named = os.environ.get("CONSISTENCY_LAB_KEPT")
    if named is not None:
        return Path(named) if named else None
    return user_data_path("consistency-lab", appauthor=False) / "runs"


def store(token: str, one: StoredRun | StoredResult) -> None:
    """Write a run or a result, or what it is called now, where the server keeps any at all.

    NotStored says why it could not.
    """
    top = root()
    if top is None:
        return
    folder = _folder(top, token) / _hash(one.key)
    pinned = isinstance(one, StoredRun) and one.pinned
    about = RunLabel(key=one.key, label=one.label, pinned=pinned).model_dump_json().encode()
    try:
        if not _is_renamed(folder, about):
            files = _files_of(one.model) if isinstance(one, StoredRun) else {RESULT_FILE: one.content}
            _write(top, folder, about, files)
    except NoSpace as problem:
        raise NotStored(str(problem)) from None
    except (ValueError, RuntimeWarning) as problem:
        raise NotStored(str(problem).rstrip(".")) from None
    except OSError:
        _log.warning("a run could not be kept", exc_info=True)
        raise NotStored("its disk may be full") from None


def _is_whole(folder: Path) -> bool:
    """Whether the last of its files is there; another process may be writing it."""
    return (folder / RUN_FILE).exists() or (folder / RESULT_FILE).exists()


def _is_renamed(folder: Path, about: bytes) -> bool:
    """Whether it is there already, and is called as it should be now."""
    with contextlib.suppress(FileNotFoundError):  # another tab has just removed it
        if _is_whole(folder):
            write_atomically(folder / ABOUT_FILE, about)
            return True
    return False


def _files_of(model: cm.TrainedModel) -> dict[str, bytes]:
    """The files of a run, ready to be continued; a target that cannot be written is refused with RuntimeWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return run_files(model, resumable=True)


def _write(top: Path, folder: Path, about: bytes, files: dict[str, bytes]) -> None:
    """Write a new run or result within the bounds, or nothing of it."""
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _space(top).room(folder, rounded([len(about), *map(len, files.values())]), bounds()):
        try:
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(exist_ok=True)
            write_atomically(folder / ABOUT_FILE, about)
            write = write_run if RUN_FILE in files else _write_all
            write(folder, files)  # its own file comes last, so that where it is, everything is
        except BaseException:
            remove(folder)
            raise


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_atomically(folder / name, content)


def _space(top: Path) -> DiskSpace:
    """The bytes of all visitors, counted once in the process."""
    with _lock:
        if top not in _spaces:
            _spaces[top] = DiskSpace(top, _pinned)
        return _spaces[top]


_spaces: dict[Path, DiskSpace] = {}
_lock = threading.Lock()


def stored(token: str) -> Iterator[StoredRun]:
    """The runs of a visitor, oldest first, as many as are stored. What cannot be read is left out."""
    now = limits()
    most = ReadLimits(reports=now.reports, check=now.check_run)
    for folder, about in _labelled(token, RUN_FILE, min(bounds().runs, now.runs)):
        with _left_out_if_unreadable():
            yield StoredRun(about.key, about.label, about.pinned, load(folder, limits=most))


def stored_results(token: str) -> Iterator[StoredResult]:
    """The same of the results from elsewhere; whoever reads one checks it as if it had just been brought in."""
    for folder, about in _labelled(token, RESULT_FILE, limits().results):
        with _left_out_if_unreadable():
            yield StoredResult(about.key, about.label, read_plain(folder / RESULT_FILE, LARGEST_RESULT))


def _labelled(token: str, file: str, most: int) -> Iterator[tuple[Path, RunLabel]]:
    """The newest so many folders of a visitor that hold this file, pinned ones first to stay, and their labels."""
    top = root()
    if top is None:
        return
    home = _folder(top, token)
    whole = [folder for folder in by_age(home) if (folder / file).exists()]  # another process may be at one
    for folder in _within(whole, most):
        with _left_out_if_unreadable():
            yield folder, _about(folder)
    with contextlib.suppress(OSError):
        os.utime(home)  # somebody came back


@contextlib.contextmanager
def _left_out_if_unreadable() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, BadRun):
        _log.warning("what was kept of a visitor could not be read", exc_info=True)


def delete(token: str, key: str) -> None:
    """Remove a run or a result from the disk."""
    top = root()
    if top is not None:
        _space(top).remove(_folder(top, token) / _hash(key))


# ---- places -----------------------------------------------------------------------------------------------------
def _folder(top: Path, token: str) -> Path:
    return top / _hash(token)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _about(folder: Path) -> RunLabel:
    content = read_plain(folder / ABOUT_FILE, LARGEST_ABOUT)
    return RunLabel.model_validate(parse_json(content, largest=LARGEST_ABOUT, most_values=16))


def _pinned(folder: Path) -> bool:
    try:
        return _about(folder).pinned
    except (OSError, ValueError):
        return False


def _within(folders: list[Path], most: int) -> list[Path]:
    """The newest so many, pinned ones before others, in the order in which they came."""
    last = sorted(folders, key=_pinned)[-most:]
    return [folder for folder in folders if folder in last]
