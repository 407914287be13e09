"""The worker threads of this process, made once for everybody: one pool for each kind of work.

They live in the module and not in a cache of Streamlit's: any browser may ask Streamlit to clear its caches, and a
second set of threads beside the first would be twice what the limits allow.
"""

import threading

from app.background.jobs import Workers, freeze_imports
from app.hosting.limits import Limits, limits

LONGEST_READING = 60.0
"""Seconds after which a shared server ends the reading of a file; 5 MB of a table take a few."""

_pools: dict[str, Workers] = {}
_lock = threading.Lock()


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
    """One thread that reads zips and runs from the disk, so that those who bring them cost one core together."""
    return _pool("reading")


def table_workers() -> Workers:
    """One thread that reads tables and fits a law to their rows."""
    return _pool("tables")


def _pool(name: str) -> Workers:
    with _lock:
        if name not in _pools:
            freeze_imports()
            _pools[name] = _make(name, limits())
        return _pools[name]


def _make(name: str, now: Limits) -> Workers:
    """A pool under the limits of this server: how many threads, how many may wait, and how long anything may take."""
    if name == "training":
        return Workers(name, workers=now.trainings, waiting=now.waiting, longest=now.longest)
    longest = now.answer
    if name in ("reading", "tables") and now.hosted and now.answer:
        longest = min(LONGEST_READING, now.answer)
    threads = 2 if name == "measuring" else 1
    return Workers(name, workers=threads, waiting=now.waiting, longest=longest, interruptible=True)
