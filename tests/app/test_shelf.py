"""Runs on the server's disk: a reload finds them, nobody else does, and there are never too many."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from platformdirs import user_data_path

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
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, runs=3))
    for i in range(5):
        shelf.keep(ONE, a_run(key=f"run-{i}", pinned=i == 0))
        time.sleep(0.02)
    assert keys(ONE) == ["run-0", "run-3", "run-4"]


def test_visitors_who_stay_away_are_forgotten(top, monkeypatch):
    shelf.keep(ONE, a_run())
    shelf.keep(OTHER, a_run())
    long_ago = time.time() - (shelf.bounds().days + 1) * 86_400
    os.utime(shelf._folder(top, ONE), (long_ago, long_ago))
    monkeypatch.setitem(shelf._swept, "at", -float("inf"))
    shelf.keep(OTHER, a_run(key="another"))
    assert keys(ONE) == []
    assert len(keys(OTHER)) == 2
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, of_all=10))
    monkeypatch.setitem(shelf._swept, "at", -float("inf"))
    shelf.keep("c" * 43, a_run())
    assert keys(OTHER) == []


def test_d4_a_run_that_is_being_written_is_not_there_yet_and_is_not_cleared_away(top, monkeypatch):
    """Another server on the same folder looks in, and clears up, at every moment of the writing."""
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, runs=2))
    shelf.keep(ONE, a_run(key="old"))
    time.sleep(0.02)
    write, seen = Path.replace, []

    def looked_at(path, to):
        done = write(path, to)
        seen.append(keys(ONE))
        shelf._bound(shelf._folder(top, ONE), shelf.bounds(), spare=Path())
        return done

    monkeypatch.setattr(Path, "replace", looked_at)
    assert shelf.keep(ONE, a_run(key="new"))
    assert seen[0] == ["old"]
    assert keys(ONE) == ["old", "new"]


def test_d4_who_reads_beside_two_that_write_and_forget_finds_whole_runs(top):
    runs = [a_run(key=f"run-{i}") for i in range(3)]

    def write():
        for i in range(12):
            shelf.keep(ONE, runs[i % 3])
            if i % 4 == 3:
                shelf.forget(ONE, "run-0")

    shelf.keep(ONE, a_run(key="mine"))
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert "mine" in keys(ONE)
    shelf.keep(ONE, a_run(key="last"))
    assert not [path for path in shelf._folder(top, ONE).iterdir() if path.name.startswith(".")]
    assert {"mine", "last", "run-1", "run-2"} <= set(keys(ONE))


def test_d5_a_pipe_in_place_of_a_name_is_left_out(top):
    for key in ("one", "other"):
        shelf.keep(ONE, a_run(key=key))
    about = shelf._folder(top, ONE) / shelf._hash("one") / "about.json"
    about.unlink()
    os.mkfifo(about)
    assert keys(ONE) == ["other"]


def test_d7_runs_are_kept_in_the_users_data_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("CONSISTENCY_LAB_KEPT")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert shelf.root() in (tmp_path / "consistency-lab" / "runs", user_data_path("consistency-lab", False) / "runs")
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", "/elsewhere")
    assert shelf.root() == Path("/elsewhere")


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
