"""Bytes that kept runs and results take on the disk: of each visitor and of all, counted as they are written.

Space is asked for before a run is written. A visitor's own oldest runs make room for a new one; those of others only
where nobody came for them for a day. What is left is a refusal in a sentence.
"""

import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK = 4096
"""Bytes that a file or a folder takes at least."""
COUNT_SECONDS = 600.0
"""After so long all bytes are counted anew: other servers may write to the same folder."""
CLOCK_SET = 3600.0
"""Seconds by which the clock may move otherwise than time itself; beyond, it was set, or the machine slept."""
DAY = 24 * 3600.0


class NoSpace(ValueError):
    """There is no room for a run; the message says why, as a clause."""


@dataclass(frozen=True)
class Bounds:
    """How much is kept.

    Attributes:
        days: runs of a visitor who has not come back for so long are removed.
        runs: and results of one visitor; the oldest one that is not pinned goes first.
        of_one, of_all: bytes of a visitor, and of all of them.
    """

    days: int
    runs: int
    of_one: int
    of_all: int


class DiskSpace:
    """The bytes below a folder that has a folder for each visitor, and in it one for each run.

    Args:
        top: the folder.
        is_pinned: whether the run in a folder is pinned, so that it goes last.
    """

    def __init__(self, top: Path, is_pinned: Callable[[Path], bool]) -> None:
        self._top, self._is_pinned = top, is_pinned
        self._lock = threading.RLock()
        self._sizes: dict[Path, dict[Path, int]] = {}
        self._counted, self._clock = -math.inf, 0.0

    @property
    def total(self) -> int:
        """Bytes of all visitors."""
        with self._lock:
            return sum(sum(runs.values()) for runs in self._sizes.values())

    @contextmanager
    def room(self, run: Path, size: int, most: Bounds) -> Iterator[None]:
        """Have so many bytes for the run in this folder while it is written; NoSpace where there are none."""
        with self._lock:
            self._count_now_and_then(most)
            self._make_room_of_own(run, size, most)
            self._make_room_of_all(run, size, most)
            self._set(run, size)
        try:
            yield
        finally:
            with self._lock:
                self._set(run, on_disk(run))

    def remove(self, run: Path) -> None:
        """Remove a run, and count its bytes no more; of a visitor without runs nothing stays."""
        with self._lock:
            remove(run)
            self._set(run, 0)

    def _set(self, run: Path, size: int) -> None:
        runs = self._sizes.setdefault(run.parent, {})
        if size:
            runs[run] = size
        else:
            runs.pop(run, None)
        if not runs:
            del self._sizes[run.parent]
            with suppress(OSError):
                run.parent.rmdir()  # if it is empty

    # ---- making room ------------------------------------------------------------------------------------------------
    def _make_room_of_own(self, run: Path, size: int, most: Bounds) -> None:
        """Remove a visitor's oldest runs, pinned ones last, until one more of this size is within bounds."""
        if size > most.of_one:
            raise NoSpace(f"it has {_megabytes(size)}, and each visitor has {_megabytes(most.of_one)}")
        for left in run.parent.glob(".*"):  # by one that was killed while it removed
            shutil.rmtree(left, ignore_errors=True)
        runs = self._sizes.get(run.parent, {})
        for oldest in sorted(by_age(run.parent), key=self._is_pinned):  # a stable sort: by age within each
            others = [bytes_ for other, bytes_ in runs.items() if other != run]
            if len(others) < most.runs and sum(others) + size <= most.of_one:
                return
            if oldest != run:
                self.remove(oldest)

    def _make_room_of_all(self, run: Path, size: int, most: Bounds) -> None:
        """Remove the visitors who were away for the longest, and for a day at least, until there is room."""
        before = self._sizes.get(run.parent, {}).get(run, 0)
        for seen, home in self._by_last_seen():
            if self.total - before + size <= most.of_all:
                return
            if home != run.parent and time.time() - seen > DAY:
                self._remove_home(home)
        if self.total - before + size > most.of_all:
            raise NoSpace(f"the runs of all visitors fill its {_megabytes(most.of_all)}")

    def _remove_home(self, home: Path) -> None:
        remove(home)
        self._sizes.pop(home, None)

    # ---- counting ---------------------------------------------------------------------------------------------------
    def _count_now_and_then(self, most: Bounds) -> None:
        """Count all bytes anew, and remove the visitors who were away for too long.

        When the clock was set since the last time, nobody can tell who has been away for how long, so that everybody's
        time begins anew.
        """
        passed, clock = time.monotonic() - self._counted, time.time()
        if passed < COUNT_SECONDS:
            return
        was_set = math.isfinite(passed) and abs(clock - self._clock - passed) > CLOCK_SET
        self._counted, self._clock = time.monotonic(), clock
        homes = self._by_last_seen()
        if was_set:
            for _, home in homes:
                with suppress(OSError):
                    os.utime(home, (clock, clock))
            homes = [(clock, home) for _, home in homes]
        self._sizes = {home: {run: on_disk(run) for run in by_age(home)} for _, home in homes}
        for seen, home in homes:
            if clock - seen > most.days * DAY:
                self._remove_home(home)

    def _by_last_seen(self) -> Sequence[tuple[float, Path]]:
        """When each visitor was here last, and the visitor's folder; the longest away first."""
        try:
            return sorted((path.stat().st_mtime, path) for path in self._top.iterdir() if path.is_dir())
        except OSError:
            return []


# ---- folders ----------------------------------------------------------------------------------------------------
def by_age(home: Path) -> list[Path]:
    """The folders of runs in it, oldest first."""
    try:
        return sorted((path for path in home.iterdir() if path.is_dir() and path.name[0] != "."), key=_written)
    except OSError:
        return []


def _written(folder: Path) -> float:
    """When the run was written; of one that is being written, when that began."""
    for path in (folder / "run.json", folder / "result.zip", folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def remove(folder: Path) -> None:
    """Remove a folder in one step for whoever looks on, and then from the disk."""
    gone = folder.with_name(f".{uuid.uuid4().hex}")
    with suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def on_disk(folder: Path) -> int:
    """Bytes of a folder and its files; 0 where there is none."""
    try:
        return rounded([path.stat().st_size for path in folder.iterdir()])
    except OSError:
        return 0


def rounded(sizes: Sequence[int]) -> int:
    """Bytes that files of these sizes take in a folder."""
    return BLOCK + sum(-(-size // BLOCK) * BLOCK for size in sizes)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"
