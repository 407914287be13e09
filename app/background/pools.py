"""The worker threads of this process, made once for everybody: one pool for each kind of work.

They live in the module and not in a cache of Streamlit's: any browser may ask Streamlit to clear its caches, and a
second set of threads beside the first would be twice what the limits allow.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from app.background.jobs import Workers, freeze_imports
from app.hosting.limits import Limits, limits

LONGEST_READING = 60.0
"""Seconds after which a shared server ends the reading of a file; 5 MB of a table take a few."""


def training_workers() -> Workers:
    """The threads that train."""
    return _pool("training")


def measuring_workers() -> Workers:
    """Two threads for the estimates of Explore, so that a new question need not wait for what an old one is at."""
    return _pool("measuring")


def curve_workers() -> Workers:
    """One thread for the curves of the page KL; what Explore waits for has its own."""
    return _pool("curves")


def inside_workers() -> Workers:
    """One thread for the maps of the page Diagnostics."""
    return _pool("inside")


def answer_workers() -> Workers:
    """One thread for the questions of the page Scaling."""
    return _pool("answers")


def reading_workers() -> Workers:
    """One thread that reads zips and kept runs, so that those who bring them cost one core together."""
    return _pool("reading")


def table_workers() -> Workers:
    """One thread that reads tables and fits a law to their rows."""
    return _pool("tables")


def _training(now: Limits) -> Workers:
    return Workers("training", workers=now.trainings, waiting=now.waiting, longest=now.longest)


def _measuring(name: str, workers: int, now: Limits) -> Workers:
    return Workers(name, workers=workers, waiting=now.waiting, longest=now.answer, interruptible=True)


def _reading(name: str, now: Limits) -> Workers:
    longest = min(LONGEST_READING, now.answer) if now.hosted and now.answer else now.answer
    return Workers(name, workers=1, waiting=now.waiting, longest=longest, interruptible=True)


_MAKE: Mapping[str, Callable[[Limits], Workers]] = {
    "training": _training,
    "measuring": partial(_measuring, "measuring", 2),
    "curves": partial(_measuring, "curves", 1),
    "inside": partial(_measuring, "inside", 1),
    "answers": partial(_measuring, "answers", 1),
    "reading": partial(_reading, "reading"),
    "tables": partial(_reading, "tables"),
}
_pools: dict[str, Workers] = {}
_lock = threading.Lock()


def _pool(name: str) -> Workers:
    with _lock:
        if name not in _pools:
            freeze_imports()
            _pools[name] = _MAKE[name](limits())
        return _pools[name]
