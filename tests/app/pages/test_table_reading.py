"""Tables are read as jobs: with how far they are, a cancel, a cap, and no more kept than the session looks at."""

import threading
import time

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background import task
from app.background.pools import LONGEST_READING, table_workers
from app.hosting.limits import limits
from app.pages.train import table_reading, target
from cmcore.targets import tables
from tests.app.conftest import PATIENCE

LINES = [f"{i * i % 97}.5,{i % 13}" for i in range(60)]
CSV = "\n".join(["a,b", *LINES]).encode()


def _train():
    from app.pages.train.page import train

    train()


def page_with(content):
    at = AppTest.from_function(_train, default_timeout=PATIENCE).run()
    at.button_group(key="source").set_value("Your data (CSV)").run()
    at.file_uploader(key="file").set_value(("points.csv", content, "text/csv")).run()
    assert not at.exception
    return at


def until(at, holds):
    """The page, run until this holds of it."""
    deadline = time.monotonic() + PATIENCE
    while not holds(at):
        assert time.monotonic() < deadline, "the page never came there"
        at.run()
        assert not at.exception
    return at


def ready(at):
    return not at.button(key="start").disabled


def keys(at):
    return [button.key for button in at.button]


@pytest.fixture
def slow(monkeypatch):
    """A table whose reading takes as long as nobody ends it, and no patience with it."""

    def opening(content, **settings):
        while True:
            time.sleep(0.005)
            yield 0.25

    monkeypatch.setattr(table_reading, "opening_table", opening)
    monkeypatch.setattr(task, "PATIENCE", 0.0)


def test_s4_s5_nothing_of_a_table_is_read_in_the_thread_of_the_page(monkeypatch):
    threads = set()
    for module, name in ((tables, "opening_table"), (tables, "reading_numbers")):
        work = getattr(module, name)

        def watched(*args, work=work, **settings):
            result = yield from work(*args, **settings)
            threads.add(threading.current_thread().name)
            return result

        monkeypatch.setattr(table_reading, name, watched)
    until(page_with(CSV), ready)
    assert threads == {"tables-0"}


def test_a_reading_says_how_far_it_is_and_can_be_cancelled(slow, monkeypatch):
    at = until(page_with(CSV), lambda at: "cancel:table opening" in keys(at))
    assert at.button(key="start").disabled
    at.button(key="cancel:table opening").click().run()
    until(at, lambda at: "begin:table opening" in keys(at))
    assert any("ancelled" in caption.value for caption in at.caption)
    monkeypatch.undo()
    at.button(key="begin:table opening").click().run()
    until(at, ready)


def test_a_refusal_that_takes_its_time_is_a_warning(monkeypatch):
    monkeypatch.setattr(task, "PATIENCE", 0.0)
    at = until(page_with(b"word\n" + b"x\n" * 60), lambda at: at.warning)
    assert "no numeric column" in at.warning[0].value


def test_a_table_of_the_gallery_is_fitted_as_a_job_and_can_be_cancelled(monkeypatch):
    threads, go = set(), threading.Event()
    make_target = cm.make_target

    def watched(name, **parameters):
        if name in tables.REAL_TABLES:
            threads.add(threading.current_thread().name)
        if parameters.get("dim") == 5:
            go.wait(30)
            torch.zeros(1)  # where a worker looks whether it should end
        return make_target(name, **parameters)

    target.TARGETS.clear()
    target.PICTURES.clear()
    monkeypatch.setattr(cm, "make_target", watched)
    at = AppTest.from_function(_train, default_timeout=PATIENCE)
    at.query_params.update({"target": "wine", "dim": "5"})
    at.run()
    assert at.button(key="start").disabled
    at.button(key="cancel:toy").click().run()
    go.set()
    until(at, lambda at: "begin:toy" in keys(at))
    at.button(key="begin:toy").click().run()
    until(at, ready)
    assert threads == {"tables-0"}


def test_a_session_keeps_one_file_and_a_few_laws(monkeypatch):
    at = until(page_with(CSV), ready)
    for bandwidth in ("0.05", "0.1", "0.2", "0.3", "0.5"):
        at.select_slider(key="bandwidth").set_value(bandwidth).run()
        until(at, ready)
    assert len(at.session_state["session:results of table fit"]) == 4
    other = "\n".join(["c,d", *LINES]).encode()
    at.file_uploader(key="file").set_value(("others.csv", other, "text/csv")).run()
    until(at, ready)
    assert len(at.session_state["session:results of table opening"]) == 1
    assert at.session_state["session:tasks"]["table opening"] == (None, None)  # with what it read


def test_a_long_table_is_read_evenly_and_says_so():
    lines = "a\n" + "\n".join(str(i % 977) for i in range(10_000))
    table = tables.open_table(lines.encode())
    steps = tables.reading_numbers(table, None, drop_missing=False, most_values=3_000)
    values, _, notes = tables.result_of(steps)
    np.testing.assert_array_equal(values[:, 0], np.arange(0, 10_000, 4) % 977)
    assert "one in 4" in notes[-1]


def test_a_shared_server_ends_a_reading(monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_HOSTED", "1")
    from app.background.pools import _make

    assert _make("tables", limits())._longest == LONGEST_READING
    assert table_workers() is table_workers()
