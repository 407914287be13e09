"""Work of a session in the background: begun when a page first needs it, looked at in every rerun, its result kept.

A page asks for the result of a piece of work under a key. Where there is none yet the work is queued, and the page
shows how far it is (`app/background/progress.py`).
"""

import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import streamlit as st

from app import state
from app.background.jobs import LEASE_SECONDS, Busy, Interrupted, Job, JobView, Workers
from app.background.once import Measurable

T = TypeVar("T")

PATIENCE = 0.4
"""Seconds that a page waits for what may be there at once, before it shows how far it is."""


class Report(Generic[T]):
    """How far a piece of work is: the worker calls it, the page reads it.

    Attributes:
        share: of the work that is done, from 0 to 1.
        words: what is being done, a sentence.
        result: what came of it, once it has ended.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.share, self.words, self._at = 0.0, "", time.monotonic()
        self._began = self._at
        self.result: T | None = None

    def __call__(self, share: float, words: str) -> None:
        """Say how far it is. Raises Interrupted where it should end."""
        if self._stop.is_set():
            raise Interrupted
        self.share, self.words, self._at = min(1.0, share), words, time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """As the work has gone so far; None while that says little."""
        if not 0.1 <= self.share < 1:
            return None
        whole = (self._at - self._began) / self.share
        return max(1.0, self._began + whole - time.monotonic())

    def follow(self, steps: Generator[Any, None, Any], words: str = "") -> Any:
        """What a generator returns that yields the share it has done, or the share and what it does now."""
        while True:
            try:
                step = next(steps)
            except StopIteration as done:
                return done.value
            share, said = step if isinstance(step, tuple) else (step, words)
            self(share, said)


Work = Callable[[Report[T]], T | None]


class Task(Generic[T]):
    """A kind of work that a session has done, one piece at a time: a piece under a new key ends the one before.

    Args:
        name: of the task.
        workers: the threads that do it.
        size: results that the session keeps; the one that was not asked for the longest goes first.
        lease: seconds without a look after which the work ends.
        resumes: whether work that was ended so, or cancelled, begins anew with the next look. Such work ends already
            when the tab is closed: one that is only reloaded, or comes back, begins it again.
    """

    def __init__(
        self,
        name: str,
        workers: Callable[[], Workers],
        *,
        size: int = 1,
        lease: float = LEASE_SECONDS,
        resumes: bool = True,
    ) -> None:
        self.name = name
        self._workers, self._size, self._lease, self._resumes = workers, size, lease, resumes

    # ---- looking ------------------------------------------------------------------------------------------------
    @property
    def key(self) -> Any:
        """What is being worked on, or was last; None where that has its result."""
        return self._slot[0]

    def view(self, key: Hashable) -> JobView[Report[T]] | None:
        """The work under this key as it stands, which keeps it alive; None where there is none."""
        current, job = self._slot
        if job is None or current != key:
            return None
        view = self._workers().view(job)
        if view.status == "finished":
            self._slot = None, None  # and with the job what it worked with
            if view.latest is not None and view.latest.result is not None:
                self._keep(key, view.latest.result)
        return view

    def result(self, key: Hashable) -> T | None:
        """What came of the work under this key, as long as the session keeps it."""
        self.view(key)
        results = self._results
        if key not in results:
            return None
        results[key] = results.pop(key)  # the newest now
        return results[key]

    # ---- beginning ----------------------------------------------------------------------------------------------
    def start(self, key: Hashable, work: Work[T]) -> None:
        """Begin, and end what goes on under another key. Raises Busy where the queue is full."""
        self.end()
        gone = state.tab_is_closed() if self._resumes else lambda: False
        self._slot = key, self._workers().submit(partial(_reported, work), lease=self._lease, gone=gone)

    def ensure(self, key: Hashable, work: Work[T]) -> JobView[Report[T]] | None:
        """The work as it stands, begun now if need be; None once there is its result.

        Where the queue is full it is a queued one with a problem, and the next look tries it.
        """
        if self.result(key) is not None:
            return None
        view = self.view(key)
        if view is None or (view.status == "stopped" and self._resumes):
            try:
                self.start(key, work)
            except Busy as busy:
                return JobView("queued", None, 0, 0.0, str(busy))
            view = self.view(key)
        return None if view is None or view.status == "finished" else view

    def get(self, key: Hashable, work: Work[T]) -> T | None:
        """The result; None while it is worked on. The first look waits a moment for it. ValueError: the problem."""
        deadline = time.monotonic() + PATIENCE * (self.key != key)
        view = self.ensure(key, work)
        while view is not None and not view.over and time.monotonic() < deadline:
            time.sleep(0.01)
            view = self.view(key)
        if view is not None and view.problem:
            raise ValueError(view.problem)
        return self.result(key)

    def wait(self, key: Hashable, work: Work[T], words: str, on_cancel: Callable[[], Any]) -> T | None:
        """The result, for a page that is nothing without it. A page that is left, or runs anew, ends the work.

        Where it takes more than a moment the page says so, with a Cancel. ValueError: the problem.
        """
        began, line, words_of = time.monotonic(), None, None
        try:
            while (view := self.ensure(key, work)) is not None and not view.over and not view.problem:
                if line is None and time.monotonic() - began > PATIENCE:
                    line = st.empty()
                    area = line.container(horizontal=True, vertical_alignment="center")
                    words_of = area.empty()
                    area.button("Cancel", key=f"cancel:{self.name}", on_click=on_cancel)
                if words_of is not None:
                    words_of.caption(f"{words}: place {view.place} in the queue …" if view.place else f"{words} …")
                time.sleep(0.02)
        except BaseException:
            self.end()
            raise
        if line is not None:
            line.empty()
        if view is not None:
            self.end()
            raise ValueError(view.problem or view.ended or f"{words} took too long.")
        return self.result(key)

    def measure(self, key: Hashable, quantities: Sequence[Measurable[Any]]) -> JobView[Report[Any]] | None:
        """The measuring of what is missing of some quantities, in their order; None once all is there."""
        if not any(quantity.missing for quantity in quantities):
            self.end()
            return None
        return self.ensure(key, partial(measure_missing, quantities))

    # ---- ending -------------------------------------------------------------------------------------------------
    def cancel(self) -> None:
        """Ask the work to end; it is there to be looked at."""
        if self._slot[1] is not None:
            self._slot[1].cancel()

    def end(self, *, but: Hashable = None) -> None:
        """Ask the work to end, unless it is under this key, and forget it; results stay."""
        if self.key is None or self.key != but:
            self.cancel()
            self._slot = None, None

    def forget(self) -> None:
        """The same, and forget all results."""
        self.end()
        self._results.clear()

    # ---- in the session -----------------------------------------------------------------------------------------
    @property
    def _slot(self) -> tuple[Any, Job[Report[T]] | None]:
        return state.session_dict("tasks").get(self.name, (None, None))

    @_slot.setter
    def _slot(self, new: tuple[Any, Job[Report[T]] | None]) -> None:
        state.session_dict("tasks")[self.name] = new

    @property
    def _results(self) -> dict[Hashable, T]:
        return state.session_dict(f"results of {self.name}")

    def _keep(self, key: Hashable, result: T) -> None:
        results = self._results
        results[key] = result
        while len(results) > self._size:
            del results[next(iter(results))]


def _reported(work: Work[T], stop: threading.Event) -> Iterator[Report[T]]:
    """The work as a job, whose only value is its report."""
    report = Report[T](stop)
    yield report
    report.result = work(report)


def measure_missing(quantities: Sequence[Measurable[Any]], report: Report[Any]) -> None:
    """Measure one after the other; what cannot be measured leaves its reason, and the others go on."""
    missing = [quantity for quantity in quantities if quantity.missing]
    whole, spent = sum(quantity.cost for quantity in missing), 0.0
    for done, quantity in enumerate(missing):
        report(spent / whole, f"Measuring {quantity.words}, {done} of {len(missing)}.")
        spent += quantity.cost
        with suppress(ValueError):
            quantity.measure()
