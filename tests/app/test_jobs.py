"""Background work ends when it should, and says where it stands."""

import threading
import time

import pytest

from app.jobs import Busy, Workers


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
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


def endless(stop):
    i = 0
    while not stop.is_set():
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


def test_a_job_that_nobody_looks_at_stops():
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=0.2)
    time.sleep(0.5)
    wait_for(lambda: job.status == "stopped")


def test_looking_renews_the_lease():
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=0.4)
    for _ in range(12):
        time.sleep(0.1)
        assert workers.view(job).status in ("queued", "running")
    job.cancel()


def test_a_place_in_the_queue_and_a_full_queue():
    workers = Workers("test", workers=1, waiting=2)
    gate = threading.Event()

    def held(stop):
        gate.wait(5)
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
        gate.wait(5)
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


def test_a_paused_job_can_be_stopped_and_outlives_its_lease():
    workers = Workers("test", workers=1)
    job = workers.submit(endless, lease=0.2)
    wait_for(lambda: workers.view(job).latest)
    job.pause()
    wait_for(lambda: job.status == "paused")
    time.sleep(0.4)
    assert workers.view(job).status == "paused"
    workers.resume(job)
    wait_for(lambda: workers.view(job).status == "running")
    job.pause()
    wait_for(lambda: workers.view(job).status == "paused")
    job.cancel()
    assert workers.view(job).status == "stopped"
