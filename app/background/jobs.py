"""Background work: bounded workers, a queue with places, leases, and cancelling.

A job is a generator run in a worker thread; the page reads its latest value whenever it likes. The worker never calls
Streamlit. A page that stops asking (a closed tab, a lost network) loses its lease after a while and the work stops, so
that nobody trains for nobody; a page that comes back in time notices nothing. What a page would begin anew by itself
ends as soon as its tab is known to be closed, so that nobody else waits for it meanwhile. A paused job keeps all it has
made and gives its thread to others; it goes on, perhaps in another thread, as if nothing had happened. It takes memory
and no time, so that its lease is longer. All waiting is counted on the monotonic clock: when the wall clock jumps,
nothing ends and nothing lives longer.
"""

import atexit
import gc
import heapq
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from torch.overrides import TorchFunctionMode

from cmcore.runtime import give_memory_back
from cmcore.threads import piecewise

T = TypeVar("T")
Status = Literal["queued", "running", "paused", "finished", "stopped", "failed"]

LEASE_SECONDS = 25.0
"""How long a job lives without anybody looking at it."""
PAUSED_SECONDS = 600.0
"""The same of one that is paused."""
LEAVING_SECONDS = 5.0
"""How long the end of the process waits for what runs."""
ASKED_SECONDS = 0.05
"""Between two questions whether work is due to end, at least: most work looks thousands of times a second."""

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
        wait: seconds until a queued job starts, None where that cannot be said.
        ended: for a job that was stopped by the lab and not by a person, one sentence.
    """

    status: Status
    latest: T | None
    place: int
    seconds: float
    problem: str = ""
    wait: float | None = None
    ended: str = ""

    @property
    def over(self) -> bool:
        return self.status in ("finished", "stopped", "failed")


class _Stop(threading.Event):
    """Set by a person, by a lost lease, or by the clock: work that only looks at it keeps to all three."""

    def __init__(self, due: Callable[[], bool]) -> None:
        super().__init__()
        self._due, self._asked = due, -math.inf

    def is_set(self) -> bool:
        """Whether the work should end."""
        if not super().is_set() and (now := time.monotonic()) - self._asked >= ASKED_SECONDS:
            self._asked = now
            if self._due():
                self.set()
        return super().is_set()


class Interrupted(Exception):
    """Work whose end was asked for, left in the middle."""


class _Interruptible(TorchFunctionMode):
    """Every call of torch in this thread first looks whether the work should end: estimates need not ask themselves."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._stop.is_set():
            raise Interrupted
        return func(*args, **(kwargs or {}))


class Job(Generic[T]):
    """A generator `work(stop)` that looks at the event `stop` often and ends soon after it is set.

    Args:
        work: the generator.
        lease: seconds without a look after which it ends.
        expected: seconds it is meant to take; None where nobody knows.
        left: of a value of the generator, how many seconds of work it leaves, where that can be said.
        longest: seconds of running after which it ends; None: it may take as long as it takes.
        gone: says whether whoever asked for it has left, at which it ends.
        interruptible: whether it may be left at any call of torch, which is at once, and makes no value after that.
    """

    def __init__(
        self,
        work: Callable[[threading.Event], Iterator[T]],
        *,
        lease: float = LEASE_SECONDS,
        expected: float | None = None,
        left: Callable[[T], float | None] | None = None,
        longest: float | None = None,
        gone: Callable[[], bool] = lambda: False,
        interruptible: bool = False,
    ) -> None:
        self._work, self._left_after, self._gone = work, left, gone
        self._lease, self._longest = lease, longest
        self._expected = min((seconds for seconds in (expected, longest) if seconds is not None), default=None)
        self._lock = threading.RLock()
        self._stop, self._pause = _Stop(self._due), threading.Event()
        self._mode = _Interruptible(self._stop) if interruptible else nullcontext()
        self._values: Iterator[T] | None = None
        self._status: Status = "queued"
        self._latest: T | None = None
        self._problem = self._why = ""
        self._seen = time.monotonic()
        self._began = self._ended = 0.0
        self._ran, self._since = 0.0, 0.0

    def cancel(self) -> None:
        """Ask the work to end; its last value stays readable. What does not run ends at once."""
        self._stop.set()
        with self._lock:
            if self._status in ("queued", "paused"):  # nobody is there to notice
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
        if self._status in ("queued", "paused") and self._stop.is_set():
            self.cancel()  # nobody waits for it any more
        return self._status

    @property
    def left(self) -> float | None:
        """Seconds it still takes, if that is known: what it says itself, within what it may take at most."""
        latest = self._latest
        left = self._left_after(latest) if self._left_after is not None and latest is not None else None
        if left is None:
            return None if self._expected is None else max(0.0, self._expected - self._running())
        return left if self._longest is None else max(0.0, min(left, self._longest - self._running()))

    def _running(self) -> float:
        """Seconds that it ran, pauses left out."""
        return self._ran + (time.monotonic() - self._since if self._since else 0.0)

    def view(self, *, place: int = 0, wait: float | None = None, renew: bool = True) -> JobView[T]:
        """The job as it stands; looking renews the lease, unless `renew` is false."""
        with self._lock:
            self._seen = time.monotonic() if renew else self._seen
            end = self._ended or time.monotonic()
            seconds = end - self._began if self._began else 0.0
            return JobView(self._status, self._latest, place, seconds, self._problem, wait, self._why)

    def run(self) -> None:
        """Drain the generator; called in a worker thread."""
        with self._lock:
            if self.status != "queued":
                return
            self._since = time.monotonic()
            self._status, self._began = "running", self._began or self._since
        try:
            with self._mode, piecewise():
                self._values = self._values or self._work(self._stop)
                for value in self._values:
                    with self._lock:
                        self._latest = value
                    self._stop.is_set()  # work that never asks is stopped at its next value all the same
                    if self._rests():
                        return
            self._end("stopped" if self._stop.is_set() else "finished")
        except Interrupted:
            self._end("stopped")
        except ValueError as error:
            self._end("failed", str(error))
        except MemoryError:
            self._end("failed", "There is not enough memory for this. Choose something smaller.")
        except Exception as error:  # noqa: BLE001  a worker must outlive any job
            _log.exception("a background job failed")
            self._end("failed", f"Something unexpected happened ({type(error).__name__}); the server's log has more.")

    def _rests(self) -> bool:
        """Whether it waits now, between two values."""
        with self._lock:
            if self._pause.is_set() and not self._stop.is_set():
                self._status = "paused"
                self._ran, self._since = self._running(), 0.0
            return self._status == "paused"

    def _due(self) -> bool:
        """Whether who asked for it has left, nobody has looked for a whole lease, or it has run as long as it may."""
        if self._ended:
            return False
        if self._gone():
            self._why = "The page that asked for it was closed, so it was stopped."
            return True
        lease = max(self._lease, PAUSED_SECONDS) if self._status == "paused" else self._lease
        if time.monotonic() - self._seen > lease:
            self._why = f"Nobody looked at it for {lease:.0f} s, so it was stopped."
        elif self._longest is not None and self._running() > self._longest:
            self._why = f"Nothing runs for longer than {self._longest:.0f} s on this server, so it was stopped."
        return bool(self._why)

    def _end(self, status: Status, problem: str = "") -> None:
        with self._lock:
            self._status, self._problem, self._ended = status, problem, time.monotonic()
            self._why = self._why if status == "stopped" else ""
            self._values = None  # what it worked with may go


class Workers:
    """A few threads and a short queue in front of them.

    The threads are daemons: an executor's would be waited for when the server is told to end, and a training run would
    hold it for minutes. At the end everything is cancelled and gets a few seconds to leave torch, since the interpreter
    would abort under it.

    Args:
        name: of the threads.
        workers: how many jobs run at once.
        waiting: how many may wait; beyond that a submission is refused with :class:`Busy`.
        longest: seconds after which any job is ended; None: never.
        interruptible: whether their jobs may be left in the middle, as in :class:`Job`.
    """

    def __init__(
        self, name: str, *, workers: int, waiting: int = 16, longest: float | None = None, interruptible: bool = False
    ) -> None:
        self._tasks: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._workers, self._waiting, self._longest = workers, waiting, longest
        self._interruptible = interruptible
        self._line: list[Job] = []
        self._running: list[Job] = []
        self._lock = threading.Lock()
        for i in range(workers):
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True).start()
        atexit.register(self.end_all)

    def end_all(self) -> None:
        """Cancel what runs and what waits, and give it a few seconds to leave."""
        with self._lock:
            jobs = [*self._line, *self._running]
        for job in jobs:
            job.cancel()
        deadline = time.monotonic() + LEAVING_SECONDS
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)

    def _serve(self) -> None:
        while True:
            job = self._tasks.get()
            with self._lock:
                self._running.append(job)
            job.run()
            with self._lock:
                self._running.remove(job)
            del job  # and what it holds, before the next one comes
            give_memory_back()

    def submit(
        self,
        work: Callable[[threading.Event], Iterator[T]],
        *,
        lease: float = LEASE_SECONDS,
        expected: float | None = None,
        left: Callable[[T], float | None] | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Job[T]:
        """Queue a piece of work; how long it takes and when it ends are said as in :class:`Job`."""
        job = Job(
            work,
            lease=lease,
            expected=expected,
            left=left,
            longest=self._longest,
            gone=gone,
            interruptible=self._interruptible,
        )
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
        """The job as it stands, with its place in the queue and how long it waits there at most."""
        job.view()  # before the line is looked through, which ends what nobody looks at
        with self._lock:
            self._line = [waiting for waiting in self._line if waiting.status == "queued"]
            place = self._line.index(job) + 1 if job in self._line else 0
            wait = self._wait(place - 1) if place else None
        return job.view(place=place, wait=wait)

    def _wait(self, before: int) -> float | None:
        """Seconds until the first worker is free for who has `before` jobs before it in the line."""
        lefts = [job.left for job in self._running]
        ahead = [job.left for job in self._line[:before]]
        if None in lefts or None in ahead:
            return None
        free = [left or 0.0 for left in lefts] + [0.0] * (self._workers - len(lefts))
        heapq.heapify(free)
        for seconds in ahead:
            heapq.heappush(free, heapq.heappop(free) + (seconds or 0.0))
        return free[0]


def freeze_imports() -> None:
    """Take everything imported so far out of the collector's sight.

    A full collection walks every object that torch and plotly made at import, about 0.2 s with the interpreter lock
    held; those objects never go away, so looking at them again is pure loss.
    """
    gc.collect()
    gc.freeze()
