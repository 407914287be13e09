"""What visitors bring is read in one thread for everybody: with a queue, an end, and the reader's own sentence."""

import threading
import time

import pytest

from app.background import reading
from app.background.jobs import Busy, Workers


@pytest.fixture
def workers(monkeypatch):
    made = Workers("reading-test", workers=1, waiting=2, longest=30)
    monkeypatch.setattr(reading, "reading_workers", lambda: made)
    return made


def test_s3_values_come_from_another_thread_in_their_order(workers):
    here = threading.get_ident()
    threads = reading.read_in_turn(lambda: (threading.get_ident() for _ in range(3)), "Reading")
    assert len(set(threads)) == 1
    assert here not in threads


def test_s3_a_refusal_is_the_readers_own_sentence(workers):
    def refuse():
        yield 1
        raise ValueError("This is not a run.")

    with pytest.raises(ValueError, match="This is not a run"):
        reading.read_in_turn(refuse, "Reading")


def test_s3_one_reads_at_a_time_and_who_finds_the_queue_full_is_told(workers):
    go, running, most = threading.Event(), [], []

    def slow():
        running.append(1)
        most.append(len(running))
        go.wait(30)
        running.pop()
        yield 1

    refused, threads = [], []

    def come():
        try:
            reading.read_in_turn(slow, "Reading")
        except Busy as busy:
            refused.append(str(busy))
            go.set()

    for _ in range(6):
        threads.append(threading.Thread(target=come))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert max(most) == 1
    assert refused
    assert not any(thread.is_alive() for thread in threads)


def test_s3_a_page_that_is_left_ends_what_is_read_for_it(workers, monkeypatch):
    class Left(BaseException):
        """As Streamlit's own, when a visitor goes elsewhere."""

    began, ended = threading.Event(), threading.Event()

    def endless():
        began.set()
        try:
            while True:
                yield 1
        finally:
            ended.set()

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(_seconds):
            began.wait(30)
            raise Left

    monkeypatch.setattr(reading, "time", Clock)
    with pytest.raises(Left):
        reading.read_in_turn(endless, "Reading")
    assert ended.wait(30)
