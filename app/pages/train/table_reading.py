"""A table read, and a law fitted to its rows, in the background: nothing of that is done in the page's thread.

What was read last is kept by the session: the file that is uploaded, and a few laws, so that a choice can be taken back
at once.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from app import state
from app.background.jobs import Interrupted, JobView
from app.background.pools import table_workers
from cmcore.targets.files import TableFile
from cmcore.targets.table_fit import fit_table
from cmcore.targets.table_target import TableTarget
from cmcore.targets.tables import opening_table, reading_numbers, real_table

T = TypeVar("T")

PATIENCE = 0.4
"""Seconds that a page waits for what may be there at once, before it shows how far it is."""
LAWS = 4
MOST_VALUES = 2_000_000
"""Of the chosen columns, 16 MB; of a longer table one row in a few is read."""


@dataclass(frozen=True)
class Fitted:
    """A table as a target, and the mean log-likelihood, in nats, of the rows that were kept out of the fit."""

    target: TableTarget
    held_out_log_likelihood: float


@dataclass(frozen=True)
class Reading(Generic[T]):
    """How far it is: what is done in words, the share that is done, and in the end what came out."""

    words: str
    share: float = 0.0
    result: T | None = None


# ---- for the page -----------------------------------------------------------------------------------------------
def opened(key: str, content: bytes, settings: Mapping[str, Any]) -> TableFile | None:
    """What an uploaded file holds; None while it is being read. Raises ValueError where it is no table."""
    return _result("opened", key, 1, partial(_open, content, dict(settings)))


def fitted(key: str, table: TableFile, columns: Sequence[str], *, drop_missing: bool, **fit: Any) -> Fitted | None:
    """The law of the chosen columns, with settings of `fit_table`; None while it is being fitted."""
    return _result("fitted", key, LAWS, partial(_fit, table, tuple(columns), drop_missing, fit))


def shipped(key: str, name: str, **fit: Any) -> Fitted | None:
    """The law of a table that comes with the lab; None while it is being fitted."""
    return _result("fitted", key, LAWS, partial(_fit_shipped, name, fit))


def forget_table() -> None:
    """End the reading of an uploaded file that is gone, and forget what it held."""
    state.drop_jobs("table ")
    state.session_dict("table opened").clear()


def reading_view() -> JobView[Reading] | None:
    """The reading or fitting that the page waits for, if there is one."""
    job = state.job(state.value("table job", ""))
    return None if job is None else table_workers().view(job)


def cancel_reading() -> None:
    """Give up what is being read or fitted."""
    if (job := state.job(state.value("table job", ""))) is not None:
        job.cancel()


def forget_reading() -> None:
    """Forget one that ended, so that the page begins it anew."""
    if name := state.value("table job"):
        state.drop_jobs(name)


# ---- the job ----------------------------------------------------------------------------------------------------
def _result(kind: str, key: str, most: int, work: Callable[[threading.Event], Iterator[Reading[T]]]) -> T | None:
    """What the session has under this key, or its job begun; the oldest of more than `most` results goes."""
    results = state.session_dict(f"table {kind}")
    if key in results:
        results[key] = results.pop(key)  # the newest now
        return results[key]
    name = f"table {kind}:{key}"
    state.set_value("table job", name)
    job = state.job(name)
    if job is None:
        state.drop_jobs(f"table {kind}:")
        state.keep_job(name, job := table_workers().submit(work))
        _wait(lambda: table_workers().view(job).over)
    view = table_workers().view(job)
    if view.problem:
        raise ValueError(view.problem)
    if view.status != "finished" or view.latest is None:
        return None
    results[key] = view.latest.result
    state.drop_jobs(name)  # and with it what it worked with
    while len(results) > most:
        results.pop(next(iter(results)))
    return results[key]


def _wait(over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not over() and time.monotonic() < deadline:
        time.sleep(0.01)


def _open(content: bytes, settings: dict[str, Any], stop: threading.Event) -> Iterator[Reading[TableFile]]:
    words = "Reading the table."
    table = yield from _steps(opening_table(content, **settings), words, stop)
    yield Reading(words, 1.0, table)


def _fit(
    table: TableFile, columns: tuple[str, ...], drop_missing: bool, fit: dict[str, Any], stop: threading.Event
) -> Iterator[Reading[Fitted]]:
    steps = reading_numbers(table, columns, drop_missing=drop_missing, most_values=MOST_VALUES)
    values, chosen, notes = yield from _steps(steps, "Reading the chosen columns.", stop)
    yield Reading("Fitting a law to the rows.", 1.0)
    yield _finished(fit_table(values, columns=chosen, notes=notes, **fit))


def _fit_shipped(name: str, fit: dict[str, Any], _stop: threading.Event) -> Iterator[Reading[Fitted]]:
    yield Reading("Fitting a law to the rows.")
    yield _finished(real_table(name, **fit))


def _finished(target: TableTarget) -> Reading[Fitted]:
    return Reading("", 1.0, Fitted(target, target.held_out_log_likelihood()))


def _steps(steps: Generator[float, None, T], words: str, stop: threading.Event) -> Generator[Reading[Any], None, T]:
    """How far the steps are, and in the end what they return."""
    while not stop.is_set():
        try:
            share = next(steps)
        except StopIteration as done:
            return done.value
        yield Reading(words, share)
    raise Interrupted
