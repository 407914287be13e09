"""Background work ends when it should, and says where it stands."""

import threading
import time

import pytest
import torch

from app.background import jobs
from app.background.jobs import Busy, Workers

LONG = 120.0
"""Seconds after which a test that waits has failed; whatever is waited for comes at the machine's own pace."""


def wait_for(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def count_to(n, *, pause=0.0):
    def work(stop):
        for i in range(n):
            if stop.is_set():
                return
            yield i
            time.sleep(pause)

    return work


tests: list[threading.Event] = [threading.Event()]
"""Of each test whether it is over."""


@pytest.fixture(autouse=True)
def _nothing_goes_on():
    """What a test leaves running ends with it, and does not take its share of every later test."""
    tests.append(threading.Event())
    yield
    tests[-1].set()


def endless(stop):
    i, over = 0, tests[-1]
    while not (stop.is_set() or over.is_set()):
        yield (i := i + 1)
        time.sleep(0.01)


def test_a_job_runs_to_its_end():
    workers = Workers("test", workers=1)
    job = workers.submit(count_to(5))
    wait_for(lambda: workers.view(job).over)
    view = workers.view(job)
    assert (view.status, view.latest, view.place) == ("finished", 4, 0)


def test_a_job_can_be_stopped_and_keeps_its_last_value():
    workers = Workers("test", workers=1)
    job = workers.submit(endless)
    wait_for(lambda: workers.view(job).latest)
    job.cancel()
    wait_for(lambda: workers.view(job).over)
    assert workers.view(job).status == "stopped"
    assert workers.view(job).latest > 0


@pytest.mark.parametrize("how", ["cancelled", "nobody looks"])
def test_what_may_be_interrupted_ends_in_the_middle_of_its_work(how, clock):
    began, left = threading.Event(), threading.Event()

    def never_asks(stop):
        yield 1
        try:
            while True:
                began.set()
                torch.zeros(1).add_(1)
        finally:
            left.set()

    workers = Workers("test", workers=1, interruptible=True)
    job = workers.submit(never_asks, lease=25.0)
    assert began.wait(LONG)
    if how == "cancelled":
        job.cancel()
    else:
        clock.now += 120.0
    assert left.wait(LONG)
    wait_for(lambda: job.status == "stopped")
    assert job.view().latest == 1


def test_a_job_that_nobody_looks_at_stops(clock):
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=25.0)
    wait_for(lambda: workers.view(job).latest)
    clock.now += 120.0
    wait_for(lambda: job.status == "stopped")


def test_looking_renews_the_lease(clock):
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=25.0)
    wait_for(lambda: workers.view(job).latest)
    for _ in range(4):
        clock.now += 20.0
        before = workers.view(job).latest
        wait_for(lambda before=before: workers.view(job).latest > before)
        assert workers.view(job).status == "running"
    job.cancel()


def test_a_place_in_the_queue_and_a_full_queue():
    workers = Workers("test", workers=1, waiting=2)
    gate = threading.Event()

    def held(stop):
        gate.wait(LONG)
        yield 1

    first = workers.submit(held)
    wait_for(lambda: workers.view(first).status == "running")
    second, third = workers.submit(count_to(1)), workers.submit(count_to(1))
    assert [workers.view(job).place for job in (first, second, third)] == [0, 1, 2]
    assert workers.view(second).status == "queued"
    with pytest.raises(Busy, match="busy"):
        workers.submit(count_to(1))
    gate.set()
    wait_for(lambda: workers.view(third).over)
    assert workers.view(second).status == workers.view(third).status == "finished"


def test_a_queued_job_that_is_cancelled_never_begins():
    workers = Workers("test", workers=1)
    gate, began = threading.Event(), []

    def held(stop):
        gate.wait(LONG)
        yield 1

    def noted(stop):
        began.append(1)
        yield 1

    workers.submit(held)
    waiting = workers.submit(noted)
    waiting.cancel()
    gate.set()
    wait_for(lambda: waiting.status == "stopped")
    assert not began


@pytest.mark.parametrize(
    ("error", "words"), [(ValueError("The sentence."), "The sentence."), (KeyError("x"), "unexpected")]
)
def test_a_failure_is_a_sentence_and_the_worker_lives_on(error, words):
    def broken(stop):
        yield 1
        raise error

    workers = Workers("test", workers=1)
    job = workers.submit(broken)
    wait_for(lambda: workers.view(job).over)
    assert workers.view(job).status == "failed"
    assert words in workers.view(job).problem
    after = workers.submit(count_to(2))
    wait_for(lambda: workers.view(after).over)
    assert workers.view(after).status == "finished"


def test_work_that_is_no_generator_is_looked_at_while_it_works_and_fails_in_a_sentence():
    gate, began = threading.Event(), threading.Event()

    def at_once(stop):
        began.set()
        assert gate.wait(LONG)
        raise ValueError("The sentence.")

    workers = Workers("test", workers=1)
    job = workers.submit(at_once)
    assert began.wait(LONG)
    looks = []
    looking = threading.Thread(target=lambda: looks.append(workers.view(job)), daemon=True)
    looking.start()
    looking.join(LONG)
    gate.set()
    assert [look.status for look in looks] == ["running"]
    wait_for(lambda: workers.view(job).status == "failed")
    assert workers.view(job).problem == "The sentence."
    after = workers.submit(count_to(2))
    wait_for(lambda: workers.view(after).status == "finished")


def test_a_paused_job_nobody_looks_at_is_stopped_in_the_end(clock):
    workers = Workers("test", workers=1)
    job = workers.submit(endless)
    wait_for(lambda: workers.view(job).latest)
    job.pause()
    wait_for(lambda: job.status == "paused")
    clock.now += 0.9 * jobs.PAUSED_SECONDS
    assert job.status == "paused"
    assert job.view(renew=False).status == "paused"
    clock.now += 0.2 * jobs.PAUSED_SECONDS
    assert job.status == "stopped"
    assert "Nobody looked" in job.view().ended


def test_a_paused_job_keeps_what_it_made_and_gives_its_thread_to_others():
    workers = Workers("test", workers=1)
    job = workers.submit(count_to(10_000, pause=0.002))
    wait_for(lambda: workers.view(job).latest)
    job.pause()
    wait_for(lambda: workers.view(job).status == "paused")
    assert not workers.view(job).over
    at = workers.view(job).latest
    other = workers.submit(count_to(3))
    wait_for(lambda: workers.view(other).status == "finished")
    assert workers.view(job).latest == at
    workers.resume(job)
    wait_for(lambda: workers.view(job).latest > at)
    job.cancel()
    wait_for(lambda: workers.view(job).status == "stopped")


def test_nothing_is_lost_or_done_twice_by_pausing():
    workers, seen = Workers("test", workers=2), []

    def noted(stop):
        for i in range(200):
            seen.append(i)
            yield i
            time.sleep(0.001)

    job = workers.submit(noted)
    while not workers.view(job).over:
        job.pause()
        time.sleep(0.01)
        workers.resume(job)  # also when it has not noticed yet
        workers.resume(job)
    assert seen == list(range(200))
    assert workers.view(job).status == "finished"


def test_a_paused_job_can_be_stopped_and_outlives_its_lease(clock):
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=25.0)
    wait_for(lambda: workers.view(job).latest)
    job.pause()
    wait_for(lambda: job.status == "paused")
    clock.now += 120.0
    assert workers.view(job).status == "paused"
    workers.resume(job)
    wait_for(lambda: workers.view(job).status == "running")
    job.pause()
    wait_for(lambda: workers.view(job).status == "paused")
    job.cancel()
    assert workers.view(job).status == "stopped"


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock of the jobs, moved by hand."""

    class Clock:
        now = 1_000.0

        def monotonic(self):
            return self.now

    hand = Clock()
    monkeypatch.setattr(jobs, "time", hand)
    return hand


def test_work_that_only_asks_whether_to_stop_loses_its_lease_too(clock):
    looked, stopped = threading.Event(), threading.Event()

    def silent(stop):
        while not stop.is_set():  # one long step: nothing is yielded
            looked.set()
            time.sleep(0.005)
        stopped.set()
        yield None

    workers = Workers("test", workers=1)
    job = workers.submit(silent, lease=25.0)
    assert looked.wait(LONG)
    clock.now += 120.0  # the lid was closed for two minutes
    assert stopped.wait(LONG)
    wait_for(lambda: job.status == "stopped")
    assert "Nobody looked at it for 25 s" in workers.view(job).ended


def test_a_lease_outlives_a_short_absence_and_the_wall_clock_means_nothing(clock, monkeypatch):
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=25.0)
    wait_for(lambda: workers.view(job).latest)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the wall clock jumps by decades
    clock.now += 20.0
    time.sleep(0.05)
    assert workers.view(job).status == "running"
    job.cancel()


def test_nothing_runs_longer_than_the_cap(clock):
    workers = Workers("test", workers=1, longest=60.0)
    job = workers.submit(endless, lease=1e9)
    wait_for(lambda: workers.view(job).latest)
    clock.now += 61.0
    wait_for(lambda: workers.view(job).over)
    assert "longer than 60 s" in workers.view(job).ended
    assert workers.view(job).latest > 0


def test_a_finished_job_is_not_ended_by_a_late_look(clock):
    workers = Workers("test", workers=1)
    job = workers.submit(count_to(3))
    wait_for(lambda: job.status == "finished")
    clock.now += 1e6
    assert (workers.view(job).status, workers.view(job).latest, workers.view(job).ended) == ("finished", 2, "")


def test_how_long_the_queue_is_in_seconds(clock):
    workers = Workers("test", workers=2)
    running = [workers.submit(endless, expected=seconds, lease=1e9) for seconds in (30.0, 50.0)]
    wait_for(lambda: all(job.status == "running" for job in running))
    waiting = [workers.submit(endless, expected=15.0, lease=1e9) for _ in range(3)]
    clock.now += 10.0
    assert [workers.view(job).wait for job in waiting] == [20.0, 35.0, 40.0]
    assert workers.view(running[0]).wait is None
    unknown = workers.submit(endless, lease=1e9)
    assert workers.view(unknown).wait == 50.0
    assert workers.view(workers.submit(endless, lease=1e9)).wait is None
    for job in (*running, *waiting):
        job.cancel()


def test_who_left_the_queue_holds_no_place(clock):
    workers = Workers("test", workers=1, waiting=2)
    running = workers.submit(endless, lease=1e9)
    wait_for(lambda: running.status == "running")
    left, away = workers.submit(count_to(1), lease=1e9), workers.submit(count_to(1), lease=25.0)
    left.cancel()
    assert workers.view(left).status == "stopped"
    clock.now += 30.0
    patient = workers.submit(count_to(1))
    assert workers.view(patient).place == 1
    assert away.status == "stopped"
    running.cancel()
    wait_for(lambda: workers.view(patient).status == "finished")


def test_too_little_memory_is_a_sentence():
    def greedy(stop):
        yield 1
        raise MemoryError

    workers = Workers("test", workers=1)
    job = workers.submit(greedy)
    wait_for(lambda: workers.view(job).over)
    assert "not enough memory" in workers.view(job).problem


def test_a_pause_takes_nothing_from_what_a_job_may_run(clock):
    workers = Workers("test", workers=1, longest=60.0)
    job = workers.submit(endless, lease=1e9)
    wait_for(lambda: workers.view(job).latest)
    job.pause()
    wait_for(lambda: job.status == "paused")
    clock.now += 500.0
    workers.resume(job)
    at = workers.view(job).latest
    wait_for(lambda: workers.view(job).latest > at)
    assert workers.view(job).status == "running"
    clock.now += 61.0
    wait_for(lambda: workers.view(job).over)
    assert "longer than 60 s" in workers.view(job).ended


def test_the_wait_is_what_the_running_job_says_of_itself_within_what_it_may_take(clock):
    workers = Workers("test", workers=1, waiting=3, longest=30.0)
    gate = threading.Event()

    def saying(seconds):
        def work(stop):
            yield seconds
            gate.wait(LONG)

        return workers.submit(work, left=lambda told: told)

    for said, at_most in ((12.0, 12.0), (900.0, 30.0)):
        gate.clear()
        running = saying(said)
        wait_for(lambda running=running: workers.view(running).latest is not None)
        waiting, later = (workers.submit(lambda stop: iter(()), expected=7.0) for _ in range(2))
        assert workers.view(waiting).wait == at_most
        assert workers.view(later).wait == at_most + 7.0
        gate.set()
        wait_for(lambda later=later: workers.view(later).over)
