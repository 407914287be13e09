"""The trainings of this server by visitor: a reload, or a second tab, finds the one that its visitor started.

A reload ends a session, and a training outlives it: it belongs to its visitor, whose token (`app/runs/visitor.py`)
nobody else has. Every visitor has one training at a time. It goes on as long as some page of the visitor looks at it,
within the leases of `app/background/jobs.py`. When it ends its weights are written to the visitor's runs on disk,
whoever is looking, and the result stays here for a while, so that the page that comes back says how it ended.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from app.background.jobs import Busy, Job, JobView, Workers
from app.hosting import memory
from app.runs import disk
from app.runs.library import Run, new_key
from app.training.choice import Choice
from app.training.continuation import continued_name
from app.training.job import LiveKL, TrainingProgress, final_progress, train_live
from app.training.previous import Trained
from cmcore.config import TrainingConfig

UNSEEN_SECONDS = 600.0
"""How long the result of a training stays here without a look; the run itself is on disk by then."""
MOST_ENDED = 32
"""Results that stay here, a few megabytes each; the one that was not looked at for the longest goes first."""


class Training:
    """A training run of one visitor, whichever of the visitor's pages shows it.

    Args:
        visitor: the token of its owner.
        choice: what is learned.
        config: how, as it was asked for.
        continues: the run whose weights it goes on from.
        before: the run it is compared with.
        earlier_kl: what was measured of the run that it continues.

    Attributes:
        run_key: the key of the run that it becomes.
        seen: whether its owner has looked at how it ended.
        deleted: whether its owner has deleted the run it became.
    """

    def __init__(
        self,
        visitor: str,
        choice: Choice,
        config: TrainingConfig,
        *,
        continues: Run | None = None,
        before: Trained | None = None,
        earlier_kl: Sequence[LiveKL] = (),
    ) -> None:
        self.visitor, self.choice, self.config = visitor, choice, config
        self.continues, self.before, self.earlier_kl = continues, before, tuple(earlier_kl)
        self.run_key = new_key(choice.name)
        self.seen = self.deleted = False
        self._lock = threading.RLock()
        self._workers: Workers | None = None
        self._job: Job[TrainingProgress] | None = None
        self._ended: JobView[TrainingProgress] | None = None
        self._looked = time.monotonic()

    def submit(self, workers: Workers, measuring: Workers | None) -> None:
        """Begin, or wait for a worker. Raises Busy where the queue is full."""
        self._workers = workers
        self._job = workers.submit(
            lambda stop: self._saving(
                train_live(
                    self.choice.target,
                    self.config,
                    stop,
                    measuring=measuring,
                    resume=self.continues.model if self.continues else None,
                )
            ),
            expected=None if self.config.steps else (self.config.seconds or 0.0) - self.first_seconds,
            left=lambda progress: progress.event.seconds_left,
        )

    # ---- looking ------------------------------------------------------------------------------------------------
    def view(self) -> JobView[TrainingProgress]:
        """How it stands; looking renews its lease."""
        with self._lock:
            self._looked = time.monotonic()
            if self._ended is None:
                assert self._workers is not None
                assert self._job is not None
                view = self._workers.view(self._job)
                if not view.over:
                    return view
                self._end(view)
            assert self._ended is not None
            return self._ended

    @property
    def over(self) -> bool:
        """Whether it has ended; asking is not looking."""
        with self._lock:
            if self._ended is None and self._job is not None and self._job.status in ("finished", "stopped", "failed"):
                self._end(self._job.view(renew=False))
            return self._ended is not None

    def nothing_left(self) -> str:
        """Why it left no run, once it has ended; else empty."""
        view = self._ended
        if view is None or (view.latest is not None and view.latest.model is not None):
            return ""
        return view.problem or view.ended or "Stopped before the first step."

    @property
    def unseen_seconds(self) -> float:
        """For how long nobody has looked."""
        return time.monotonic() - self._looked

    @property
    def first_step(self) -> int:
        """Steps that were done before it began."""
        return self.continues.model.steps if self.continues else 0

    @property
    def first_seconds(self) -> float:
        """Seconds of training that were spent before it began; the budget is that of the whole run."""
        return self.continues.model.seconds if self.continues else 0.0

    def label(self, steps: int) -> str:
        """What the run is called, once it has done so many steps."""
        return continued_name(self.continues.label, steps) if self.continues else self.choice.label

    # ---- steering -----------------------------------------------------------------------------------------------
    def pause(self) -> None:
        """Wait at the next value, and give the worker to others."""
        if self._job is not None:
            self._job.pause()

    def resume(self) -> None:
        """Go on after a pause, as soon as a worker is free."""
        if self._job is not None and self._workers is not None:
            self._workers.resume(self._job)

    def cancel(self) -> None:
        """End it; its weights are kept."""
        if self._job is not None:
            self._job.cancel()

    # ---- its end ------------------------------------------------------------------------------------------------
    def _end(self, view: JobView[TrainingProgress]) -> None:
        """Keep how it ended, and let go of the job and of all that it learned from."""
        latest = view.latest
        if view.status == "failed" or latest is None:
            self._ended = replace(view, latest=None)
        elif (
            latest.model is None and latest.event.step > self.first_step
        ):  # it waited, paused or queued, and has not moved since
            latest = final_progress(latest.event, latest.curve, latest.kl, stopped=True)
            self._ended = replace(view, latest=latest)
            self._write(latest)
        else:
            self._ended = view
        self._job = None

    def _saving(self, values: Iterator[TrainingProgress]) -> Iterator[TrainingProgress]:
        """In the worker: what it ends with is on disk before anybody can see that it has ended."""
        for progress in values:
            self._write(progress)
            yield progress

    def _write(self, progress: TrainingProgress) -> None:
        if progress.model is not None:
            label = self.label(progress.model.steps)
            with suppress(disk.NotStored):  # the page that joins it to its runs says so
                disk.store(self.visitor, disk.StoredRun(self.run_key, label, pinned=False, model=progress.model))


class Comparison:
    """Trainings of several objectives and seeds on one target, one after the other: each waits for its turn anew.

    The next one begins when a page of its visitor looks on and the one before has ended.

    Args:
        choice: what all of them learn.
        trainings: in their order.
    """

    def __init__(self, choice: Choice, trainings: Sequence[Training]) -> None:
        self.choice = choice
        self.configs = {training.run_key: training.config for training in trainings}
        self.pending = list(trainings)
        self.problems: dict[str, str] = {}

    @property
    def run_keys(self) -> list[str]:
        """The runs that it leaves, in their order, those to come among them."""
        return list(self.configs)


# ---- of all visitors --------------------------------------------------------------------------------------------
_trainings: dict[str, Training] = {}
_comparisons: dict[str, Comparison] = {}
_lock = threading.RLock()


def start(training: Training, workers: Workers, measuring: Workers | None) -> None:
    """Begin a training; Busy where its visitor has one under way already, or where the queue is full."""
    with _lock:
        let_go()
        current = _trainings.get(training.visitor)
        if current is not None and not current.over:
            raise Busy("You have a training under way, here or in another tab. Stop it, or wait until it has ended.")
        training.submit(workers, measuring)
        _trainings[training.visitor] = training


def compare(visitor: str, comparison: Comparison, workers: Workers, measuring: Workers | None) -> None:
    """Begin a comparison; Busy as for a single training."""
    start(comparison.pending[0], workers, measuring)
    with _lock:
        del comparison.pending[0]
        _comparisons[visitor] = comparison


def comparison_of(visitor: str) -> Comparison | None:
    """The comparison that this visitor began last."""
    return _comparisons.get(visitor)


def go_on(visitor: str, workers: Workers, measuring: Workers | None) -> None:
    """Begin what comes next in a comparison, once its last training has ended and the queue has room."""
    with _lock:
        comparison, last = _comparisons.get(visitor), _trainings.get(visitor)
        if comparison is None or (last is not None and not last.over):
            return
        if last is not None and last.run_key in comparison.configs and (why := last.nothing_left()):
            comparison.problems[last.run_key] = why
        if comparison.pending:
            with suppress(Busy):
                start(comparison.pending[0], workers, measuring)
                del comparison.pending[0]


def stop_comparison(visitor: str) -> None:
    """Leave out what has not begun, and end what trains now; its weights are kept."""
    with _lock:
        comparison, last = _comparisons.get(visitor), _trainings.get(visitor)
        if comparison is not None:
            for training in comparison.pending:
                comparison.problems[training.run_key] = "Left out."
            comparison.pending.clear()
        if last is not None:
            last.cancel()


def current(visitor: str) -> Training | None:
    """The training of this visitor, or the last one, as long as it is held."""
    with _lock:
        let_go()
        return _trainings.get(visitor)


def forget(visitor: str, run_key: str) -> None:
    """The visitor has deleted the run: the training that made it does not bring it back."""
    with _lock:
        current = _trainings.get(visitor)
        if current is not None and current.run_key == run_key:
            current.deleted = True
            del _trainings[visitor]


def let_go() -> None:
    """Drop results that nobody has looked at for long, and those above the bound."""
    with _lock:
        ended = [training for training in _trainings.values() if training.over]
        ended.sort(key=lambda training: training.unseen_seconds, reverse=True)
        for i, training in enumerate(ended):
            if training.unseen_seconds > UNSEEN_SECONDS or len(ended) - i > MOST_ENDED:
                del _trainings[training.visitor]
                _comparisons.pop(training.visitor, None)


memory.RELEASES.append(let_go)
