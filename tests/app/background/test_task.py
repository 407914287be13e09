"""What a page asks for is made once in another thread, kept for a while, and ended when nobody wants it any more."""

import threading
import time
from types import SimpleNamespace

import pytest

from app import state
from app.background import task
from app.background.jobs import Workers
from app.background.once import Measurable, Once
from app.background.progress import progress_words
from app.background.task import Task


@pytest.fixture
def workers():
    return Workers("task-test", workers=1, waiting=1, longest=30)


@pytest.fixture(autouse=True)
def session(monkeypatch):
    """A session without a page."""
    values = {}
    monkeypatch.setattr(task.state, "session_dict", lambda name: values.setdefault(name, {}))
    return values


LONG = 120.0
"""Seconds after which a test that waits has failed; whatever is waited for comes at the machine's own pace."""


def until(condition):
    deadline = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return value


def endless(report):
    while True:
        report(0.5, "Going on.")
        time.sleep(0.005)


def test_work_is_done_in_another_thread_and_its_result_kept(workers):
    work = Task("a", lambda: workers)
    view = work.ensure("key", lambda _: threading.get_ident())
    assert view is None or not view.over
    assert until(lambda: work.result("key")) != threading.get_ident()
    assert work.ensure("key", endless) is None, "there is a result"
    assert work.key is None, "and what it worked with is gone"


def test_only_so_many_results_are_kept_and_the_newest_looked_at(workers):
    work = Task("a", lambda: workers, size=2)
    for key in "ab":
        assert until(lambda key=key: work.get(key, lambda _: key)) == key
    work.result("a")
    until(lambda: work.get("c", lambda _: "c"))
    assert [work.result(key) for key in "abc"] == ["a", None, "c"]


def test_a_new_key_ends_the_work_under_the_old_one(workers):
    work, ended = Task("a", lambda: workers), threading.Event()

    def first(report):
        try:
            endless(report)
        finally:
            ended.set()

    until(lambda: work.ensure("old", first).latest)
    assert until(lambda: work.get("new", lambda _: 1)) == 1
    assert ended.wait(LONG)
    assert work.view("old") is None


def test_what_was_cancelled_begins_anew_where_it_resumes_and_only_there(workers):
    for resumes in (True, False):
        work = Task(f"resumes {resumes}", lambda: workers, resumes=resumes)
        until(lambda work=work: work.ensure("key", endless).latest)
        work.cancel()
        until(lambda work=work: work.view("key").over)
        assert (not work.ensure("key", endless).over) == resumes
        work.end()


@pytest.mark.parametrize("resumes", [True, False])
def test_a_closed_tab_holds_nobody_up_with_what_it_would_begin_anew(workers, monkeypatch, resumes):
    closed = threading.Event()
    monkeypatch.setattr(task.state, "tab_is_closed", lambda: closed.is_set)
    theirs = Task("theirs", lambda: workers, resumes=resumes)
    until(lambda: theirs.ensure("key", endless).latest)
    mine = Task("mine", lambda: workers)
    monkeypatch.setattr(task.state, "tab_is_closed", lambda: lambda: False)
    assert mine.ensure("key", lambda _: 1).place == 1
    closed.set()
    if resumes:
        assert until(lambda: mine.result("key")) == 1
        assert theirs.view("key").ended == "The page that asked for it was closed, so it was stopped."
    else:
        assert not theirs.view("key").over
    theirs.end()


def test_a_tab_is_closed_once_the_server_has_no_connection_of_its_session(monkeypatch):
    connected = {"a"}
    server = SimpleNamespace(is_active_session=connected.__contains__)
    monkeypatch.setattr(state, "get_script_run_ctx", lambda: SimpleNamespace(session_id="a"))
    monkeypatch.setattr(state, "runtime", SimpleNamespace(exists=lambda: True, get_instance=lambda: server))
    closed = state.tab_is_closed()
    assert not closed()
    connected.clear()
    assert closed()
    monkeypatch.setattr(state, "get_script_run_ctx", lambda: None)
    assert not state.tab_is_closed()()


def test_a_problem_is_raised_and_looked_at_again_without_being_tried_again(workers):
    work, tried = Task("a", lambda: workers), []

    def fail(_):
        tried.append(1)
        raise ValueError("This is no table.")

    for _ in range(3):
        with pytest.raises(ValueError, match="no table"):
            until(lambda: work.get("key", fail))
    assert len(tried) == 1


def test_s3_a_full_queue_is_a_sentence_and_the_next_look_asks_again(workers):
    tasks = [Task(name, lambda: workers) for name in "abc"]
    until(lambda: tasks[0].ensure("key", endless).latest)
    assert tasks[1].ensure("key", endless).place == 1
    view = tasks[2].ensure("key", lambda _: 1)
    assert "busy" in progress_words(view)
    assert not view.over
    for other in tasks[:2]:
        other.end()
    assert until(lambda: tasks[2].ensure("key", lambda _: 1) is None and tasks[2].result("key")) == 1


def test_s3_a_page_that_is_left_ends_what_it_waits_for(workers, monkeypatch):
    class Left(BaseException):
        """As Streamlit's own, when a visitor goes elsewhere."""

    began, ended = threading.Event(), threading.Event()

    def work(report):
        began.set()
        try:
            endless(report)
        finally:
            ended.set()

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(_seconds):
            began.wait(LONG)
            raise Left

    reading = Task("a", lambda: workers)
    monkeypatch.setattr(task, "time", Clock)
    with pytest.raises(Left):
        reading.wait("key", work, "Reading", lambda: None)
    monkeypatch.undo()
    assert ended.wait(LONG)


def test_what_is_missing_is_measured_in_its_order_and_a_problem_ends_nothing(workers):
    made, memory = [], Once(8)

    def make(name):
        made.append(name)
        if name == "b":
            raise ValueError("Not here.")
        return name

    parts = [Measurable(name, memory, name, lambda name=name: make(name)) for name in "abc"]
    parts[2].measure()
    work = Task("a", lambda: workers)
    until(lambda: work.measure("key", parts) is None)
    assert made == ["c", "a", "b"]
    assert [part.value for part in parts] == ["a", None, "c"]
    assert parts[1].problem == "Not here."


def test_words_say_what_is_waited_for_then_what_is_done_and_for_how_long(workers):
    work, go = Task("a", lambda: workers), threading.Event()

    def half(report):
        report(0.5, "Measuring.")
        go.wait(LONG)
        return 1

    until(lambda: work.ensure("key", half).latest and work.ensure("key", half).latest.words)
    behind = Task("b", lambda: workers).ensure("key", half)
    assert progress_words(behind) == "Waiting for a worker, place 1 in the queue."
    assert progress_words(work.view("key")).startswith("Measuring. About ")
    go.set()
