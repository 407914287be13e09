"""Background work: bounded workers, a queue with places, leases, and cancelling.

A job is a generator run in a worker thread; the page reads its latest value whenever it likes. The worker never calls
Streamlit. A page that stops asking (a closed tab, a lost network) loses its lease after a while and the work stops, so
that nobody trains for nobody; a page that comes back in time notices nothing. A paused job keeps all it has made and
gives its thread to others; it goes on, perhaps in another thread, as if nothing had happened.
"""

import gc
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = ["LEASE_SECONDS", "Busy", "Job", "JobView", "Status", "Workers", "default_workers", "freeze_imports"]

T = TypeVar("T")
Status = Literal["queued", "running", "paused", "finished", "stopped", "failed"]

LEASE_SECONDS = 25.0
"""How long a job lives without anybody looking at it."""

_log = logging.getLogger(__name__)


class Busy(ValueError):
    """The queue is full."""


@dataclass(frozen=True)
class JobView(Generic[T]):
    """What a page sees of a job at one moment.

    Attributes:
        status: where it stands.
        latest: the last value of the generator, None before the first.
        place: 1 for the next to start, 0 once started.
        seconds: since it started, frozen at the end; 0 while queued.
        problem: for a failed job, one sentence.
    """

    status: Status
    latest: T | None
    place: int
    seconds: float
    problem: str = ""

    @property
    def over(self) -> bool:
        return self.status in ("finished", "stopped", "failed")


class Job(Generic[T]):
    """A generator `work(stop)` that looks at the event `stop` often and ends soon after it is set."""

    def __init__(self, work: Callable[[threading.Event], Iterator[T]], *, lease: float = LEASE_SECONDS) -> None:
        self._work = work
        self._lease = lease
        self._lock = threading.RLock()
        self._stop, self._pause = threading.Event(), threading.Event()
        self._values: Iterator[T] | None = None
        self._status: Status = "queued"
        self._latest: T | None = None
        self._problem = ""
        self._seen = time.monotonic()
        self._began = self._ended = 0.0

    def cancel(self) -> None:
        """Ask the work to end; its last value stays readable."""
        self._stop.set()
        with self._lock:
            if self._status == "paused":  # nobody is there to notice
                self._end("stopped")

    def pause(self) -> None:
        """Ask the work to wait at its next value."""
        self._pause.set()

    def wake(self) -> bool:
        """Let it go on; whether it needs a thread for that."""
        with self._lock:
            self._pause.clear()
            if self._status != "paused":
                return False
            self._status = "queued"
            return True

    @property
    def status(self) -> Status:
        return self._status

    def view(self, *, place: int = 0) -> JobView[T]:
        """The job as it stands; looking renews the lease."""
        with self._lock:
            self._seen = time.monotonic()
            end = self._ended or time.monotonic()
            seconds = end - self._began if self._began else 0.0
            return JobView(self._status, self._latest, place, seconds, self._problem)

    def run(self) -> None:
        """Drain the generator; called in a worker thread."""
        if self._stop.is_set() or self._abandoned():
            self._end("stopped")
            return
        with self._lock:
            self._status, self._began = "running", self._began or time.monotonic()
            self._values = self._values or self._work(self._stop)
        try:
            for value in self._values:
                with self._lock:
                    self._latest = value
                if self._abandoned():
                    self._stop.set()
                if self._rests():
                    return
            self._end("stopped" if self._stop.is_set() else "finished")
        except ValueError as error:
            self._end("failed", str(error))
        except Exception as error:  # noqa: BLE001  a worker must outlive any job
            _log.exception("a background job failed")
            self._end("failed", f"Something unexpected happened ({type(error).__name__}); the server's log has more.")

    def _rests(self) -> bool:
        """Whether it waits now, between two values."""
        with self._lock:
            if self._pause.is_set() and not self._stop.is_set():
                self._status = "paused"
            return self._status == "paused"

    def _abandoned(self) -> bool:
        return time.monotonic() - self._seen > self._lease

    def _end(self, status: Status, problem: str = "") -> None:
        with self._lock:
            self._status, self._problem, self._ended = status, problem, time.monotonic()


class Workers:
    """A few threads and a short queue in front of them.

    The threads are daemons: an executor's would be waited for when the server is told to end, and a training run would
    hold it for minutes.

    Args:
        name: of the threads.
        workers: how many jobs run at once.
        waiting: how many may wait; beyond that a submission is refused with :class:`Busy`.
    """

    def __init__(self, name: str, *, workers: int, waiting: int = 16) -> None:
        self._tasks: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._waiting = waiting
        self._line: list[Job] = []
        self._lock = threading.Lock()
        for i in range(workers):
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._tasks.get().run()

    def submit(self, work: Callable[[threading.Event], Iterator[T]], *, lease: float = LEASE_SECONDS) -> Job[T]:
        """Queue a piece of work."""
        job = Job(work, lease=lease)
        with self._lock:
            self._line = [waiting for waiting in self._line if waiting.status == "queued"]
            if len(self._line) >= self._waiting:
                raise Busy("The lab is busy: its queue is full. Try again in a minute.")
            self._line.append(job)
        self._tasks.put(job)
        return job

    def resume(self, job: Job[T]) -> None:
        """Let a paused job go on as soon as a thread is free."""
        if job.wake():
            with self._lock:
                self._line.append(job)
            self._tasks.put(job)

    def view(self, job: Job[T]) -> JobView[T]:
        """The job as it stands, with its place in the queue."""
        with self._lock:
            self._line = [waiting for waiting in self._line if waiting.status == "queued"]
            place = self._line.index(job) + 1 if job in self._line else 0
        return job.view(place=place)


def default_workers() -> int:
    """One thread per core, less one for the server."""
    return max(1, (os.cpu_count() or 2) - 1)


def freeze_imports() -> None:
    """Take everything imported so far out of the collector's sight.

    A full collection walks every object that torch and plotly made at import, about 0.2 s with the interpreter lock
    held; those objects never go away, so looking at them again is pure loss.
    """
    gc.collect()
    gc.freeze()
