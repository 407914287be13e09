"""An answer is made once, however many ask, and the memory of answers is bounded."""

import threading
import time

import pytest

from app.background.jobs import Interrupted
from app.background.once import Once


def test_an_answer_is_made_once_however_many_ask():
    made, once = [], Once(8)

    def make():
        made.append(1)
        time.sleep(0.05)
        return 7

    got = []
    askers = [threading.Thread(target=lambda: got.append(once.get("key", make))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (got, made) == ([7] * 4, [1])


def test_who_waits_for_somebody_that_is_told_to_end_makes_the_answer():
    once, begun, ended = Once(2), threading.Event(), threading.Event()

    def leaves():
        begun.set()
        assert ended.wait(120)
        raise Interrupted

    def first():
        with pytest.raises(Interrupted):
            once.get("key", leaves)

    got = []
    one, other = threading.Thread(target=first), threading.Thread(target=lambda: got.append(once.get("key", lambda: 3)))
    one.start()
    assert begun.wait(120)
    other.start()
    time.sleep(0.05)
    ended.set()
    one.join()
    other.join()
    assert got == [3]


def test_the_memory_is_bounded_and_forgets_what_was_asked_the_longest_ago():
    once = Once(2)
    for key in "ab":
        once.get(key, lambda: 1)
    once.peek("a")
    once.get("c", lambda: 1)
    assert [once.peek(key) for key in "abc"] == [1, None, 1]


def test_that_there_is_no_answer_is_an_answer_and_any_other_failure_is_forgotten():
    once, tried = Once(2), []

    def fail(error):
        tried.append(error)
        raise error

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            once.get("key", lambda: fail(ValueError("no")))
    assert (once.peek("key"), once.problem("key"), len(tried)) == (None, "no", 1)
    with pytest.raises(MemoryError):
        once.get("other", lambda: fail(MemoryError()))
    assert once.problem("other") == ""
    assert once.get("other", lambda: 3) == 3


def test_problems_take_no_more_room_than_answers():
    once = Once(2)
    for key in range(5):
        with pytest.raises(ValueError, match="no"):
            once.get(key, lambda: int("no"))
    assert [bool(once.problem(key)) for key in range(5)] == [False, False, False, True, True]
