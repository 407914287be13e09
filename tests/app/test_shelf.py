"""Runs on the server's disk: a reload finds them, nobody else does, and there are never too many."""

import os
import time

import pytest

import cmcore as cm
from app import shelf
from app.shelf import Kept
from tests.app.conftest import untrained

ONE, OTHER = "a" * 43, "b" * 43


@pytest.fixture
def top(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))
    monkeypatch.setitem(shelf._swept, "at", -float("inf"))
    return tmp_path / "kept"


def a_run(key="moons-0123abcd", label="a run", *, pinned=False, model=None):
    return Kept(key, label, pinned, model or untrained())


def keys(token):
    return [kept.key for kept in shelf.kept(token)]


def test_what_was_kept_is_found_again_by_its_visitor_alone(top):
    assert shelf.keep(ONE, a_run(label="“mine” <b>", pinned=True))
    (back,) = shelf.kept(ONE)
    assert (back.key, back.label, back.pinned) == ("moons-0123abcd", "“mine” <b>", True)
    assert back.model.config == untrained().config
    assert keys(OTHER) == []
    assert not [path for path in top.rglob("*") if ONE in str(path)]
    assert oct(top.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("key", ["../../etc", "/etc/passwd", "a/b", "..", "", "\0", "ü" * 80])
def test_no_name_becomes_a_path(top, key):
    before = set(top.parent.iterdir())
    shelf.keep(ONE, a_run(key=key))
    assert keys(ONE) == [key]
    assert set(top.parent.iterdir()) - before == {top}
    shelf.forget(ONE, key)
    assert keys(ONE) == []


def test_a_new_name_keeps_the_weights_and_a_failed_one_keeps_the_run(top, monkeypatch):
    shelf.keep(ONE, a_run())
    shelf.keep(ONE, a_run(label="renamed"))
    assert [kept.label for kept in shelf.kept(ONE)] == ["renamed"]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf, "write_atomically", full)
    assert not shelf.keep(ONE, a_run(label="again"))
    assert [kept.label for kept in shelf.kept(ONE)] == ["renamed"]


def test_where_the_server_may_not_write_the_lab_works_on(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "kept", ""):
        monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(place))
        assert not shelf.keep(ONE, a_run())
        assert keys(ONE) == []
        shelf.forget(ONE, "moons-0123abcd")


def test_a_target_that_cannot_be_written_is_not_half_kept(top):
    box = cm.BoxMixture([1.0], [[-1.0, -1.0]], [[1.0, 1.0]])
    from dataclasses import replace

    assert not shelf.keep(ONE, a_run(model=replace(untrained(), target=box)))
    assert keys(ONE) == []


def test_a_damaged_run_is_left_out_and_the_others_are_found(top):
    for i in range(3):
        shelf.keep(ONE, a_run(key=f"run-{i}"))
    folders = shelf._by_age(next(top.iterdir()))
    (folders[0] / "about.json").write_text("[")
    next(folders[1].glob("model-*")).write_bytes(b"no")
    assert len(keys(ONE)) == 1


def test_the_oldest_run_goes_first_and_a_pinned_one_last(top, monkeypatch):
    monkeypatch.setattr(shelf, "MOST_RUNS", 3)
    for i in range(5):
        shelf.keep(ONE, a_run(key=f"run-{i}", pinned=i == 0))
        time.sleep(0.02)
    assert keys(ONE) == ["run-0", "run-3", "run-4"]


def test_visitors_who_stay_away_are_forgotten(top, monkeypatch):
    shelf.keep(ONE, a_run())
    shelf.keep(OTHER, a_run())
    long_ago = time.time() - (shelf.DAYS + 1) * 86_400
    os.utime(shelf._folder(top, ONE), (long_ago, long_ago))
    monkeypatch.setitem(shelf._swept, "at", -float("inf"))
    shelf.keep(OTHER, a_run(key="another"))
    assert keys(ONE) == []
    assert len(keys(OTHER)) == 2
    monkeypatch.setattr(shelf, "MOST_BYTES_IN_ALL", 10)
    monkeypatch.setitem(shelf._swept, "at", -float("inf"))
    shelf.keep("c" * 43, a_run())
    assert keys(OTHER) == []


@pytest.mark.parametrize("years", [1, -1, 50])
def test_a_clock_that_is_set_makes_nobody_a_stranger(top, monkeypatch, years):
    shelf.keep(ONE, a_run())
    later, now = time.monotonic() + shelf.SWEEP_SECONDS + 1, time.time()
    monkeypatch.setattr(time, "monotonic", lambda: later)
    monkeypatch.setattr(time, "time", lambda: now + years * 365 * 86_400)
    shelf.keep(OTHER, a_run())
    assert shelf._swept["at"] == later, "it did look"
    home = shelf._folder(top, ONE)
    assert home.exists()
    assert home.stat().st_mtime == pytest.approx(time.time()), "the week begins anew"
    assert keys(ONE) == keys(OTHER) == ["moons-0123abcd"]
