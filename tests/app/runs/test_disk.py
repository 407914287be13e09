"""Runs on the server's disk: a reload finds them, nobody else does, and there are never too many."""

import json
import os
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from platformdirs import user_data_path

import cmcore as cm
from app.hosting.limits import CHANGES, SWITCH
from app.runs import disk as shelf
from app.runs import disk_space
from app.runs.disk import NotStored
from app.runs.disk_space import DiskSpace, by_age, on_disk
from tests.app.conftest import untrained

ONE, OTHER = "a" * 43, "b" * 43


@pytest.fixture
def top(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))
    return tmp_path / "kept"


def a_run(key="moons-0123abcd", label="a run", *, pinned=False, model=None):
    return shelf.StoredRun(key, label, pinned, model or untrained())


def keys(token):
    return [kept.key for kept in shelf.stored(token)]


def test_what_was_kept_is_found_again_by_its_visitor_alone(top):
    shelf.store(ONE, a_run(label="“mine” <b>", pinned=True))
    (back,) = shelf.stored(ONE)
    assert (back.key, back.label, back.pinned) == ("moons-0123abcd", "“mine” <b>", True)
    assert back.model.config == untrained().config
    assert keys(OTHER) == []
    assert not [path for path in top.rglob("*") if ONE in str(path)]
    assert oct(top.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("key", ["../../etc", "/etc/passwd", "a/b", "..", "", "\0", "ü" * 80])
def test_no_name_becomes_a_path(top, key):
    before = set(top.parent.iterdir())
    shelf.store(ONE, a_run(key=key))
    assert keys(ONE) == [key]
    assert set(top.parent.iterdir()) - before == {top}
    shelf.delete(ONE, key)
    assert keys(ONE) == []


def test_a_new_name_keeps_the_weights_and_a_failed_one_keeps_the_run(top, monkeypatch):
    shelf.store(ONE, a_run())
    shelf.store(ONE, a_run(label="renamed"))
    assert [kept.label for kept in shelf.stored(ONE)] == ["renamed"]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf, "write_atomically", full)
    with pytest.raises(NotStored, match="disk may be full"):
        shelf.store(ONE, a_run(label="again"))
    assert [kept.label for kept in shelf.stored(ONE)] == ["renamed"]


def test_where_the_server_may_not_write_the_lab_works_on(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "kept", ""):
        monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(place))
        with pytest.raises(NotStored) if place else nullcontext():
            shelf.store(ONE, a_run())
        assert keys(ONE) == []
        shelf.delete(ONE, "moons-0123abcd")


def test_a_target_that_cannot_be_written_is_not_half_kept(top):
    box = cm.BoxMixture([1.0], [[-1.0, -1.0]], [[1.0, 1.0]])
    with pytest.raises(NotStored, match="keep the code"):
        shelf.store(ONE, a_run(model=replace(untrained(), target=box)))
    assert keys(ONE) == []


def test_a_damaged_run_is_left_out_and_the_others_are_found(top):
    for i in range(3):
        shelf.store(ONE, a_run(key=f"run-{i}"))
    folders = by_age(next(top.iterdir()))
    (folders[0] / "about.json").write_text("[")
    next(folders[1].glob("model-*")).write_bytes(b"no")
    assert len(keys(ONE)) == 1


def test_the_oldest_run_goes_first_and_a_pinned_one_last(top, monkeypatch):
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, runs=3))
    for i in range(5):
        shelf.store(ONE, a_run(key=f"run-{i}", pinned=i == 0))
        time.sleep(0.02)
    assert keys(ONE) == ["run-0", "run-3", "run-4"]


def away(top, token, days):
    long_ago = time.time() - days * 86_400
    os.utime(shelf._folder(top, token), (long_ago, long_ago))


def test_visitors_who_stay_away_are_forgotten(top):
    shelf.store(ONE, a_run())
    shelf.store(OTHER, a_run())
    away(top, ONE, shelf.bounds().days + 1)
    shelf._space(top)._counted = -float("inf")
    shelf.store(OTHER, a_run(key="another"))
    assert keys(ONE) == []
    assert len(keys(OTHER)) == 2


# ---- space ------------------------------------------------------------------------------------------------------
@pytest.fixture
def size(top):
    """Bytes of a run on the disk."""
    shelf.store("z" * 43, a_run())
    (run,) = by_age(shelf._folder(top, "z" * 43))
    bytes_ = on_disk(run)
    shelf.delete("z" * 43, "moons-0123abcd")
    return bytes_


def bound(monkeypatch, **most):
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, **most))


def taken(top):
    """What is on the disk, counted file by file."""
    return sum(on_disk(run) for home in top.iterdir() for run in home.iterdir())


def test_s6_visitors_who_choose_their_own_cookies_gain_nothing(top, size, monkeypatch):
    """Each of ten cookies keeps three runs, with room for nine in all: at no write is there more than that."""
    bound(monkeypatch, of_all=9 * size)
    refused = []
    for cookie in "abcdefghij":
        for i in range(3):
            try:
                shelf.store(cookie * 43, a_run(key=f"run-{i}"))
            except NotStored as problem:
                refused.append(str(problem))
            assert taken(top) == shelf._space(top).total <= 9 * size
    assert len(refused) == 21
    assert all("runs of all visitors" in words for words in refused)
    assert len(keys("a" * 43)) == 3, "who came first loses nothing"
    away(top, "a" * 43, 2)
    shelf.store("j" * 43, a_run())
    assert keys("a" * 43) == [], "who has not come for a day makes room"


def test_s6_a_visitor_keeps_so_many_bytes_and_one_run_no_more(top, size, monkeypatch):
    bound(monkeypatch, of_one=2 * size)
    for i in range(4):
        shelf.store(ONE, a_run(key=f"run-{i}"))
        time.sleep(0.02)
        assert taken(top) <= 2 * size
    assert keys(ONE) == ["run-2", "run-3"]
    bound(monkeypatch, of_one=size - 1)
    with pytest.raises(NotStored, match="each visitor has"):
        shelf.store(ONE, a_run(key="large"))
    assert keys(ONE) == ["run-2", "run-3"], "a refusal costs nothing"


def test_s6_what_is_there_already_counts_when_a_server_starts(top, size, monkeypatch):
    for i in range(3):
        shelf.store(ONE, a_run(key=f"run-{i}"))
    shelf._spaces.pop(top)
    bound(monkeypatch, of_all=3 * size)
    with pytest.raises(NotStored):
        shelf.store(OTHER, a_run())
    shelf.delete(ONE, "run-0")
    shelf.store(OTHER, a_run())


def test_s6_many_who_write_at_once_stay_within_the_bounds(top, size, monkeypatch):
    bound(monkeypatch, of_all=5 * size)
    write, most = disk_space.DiskSpace.room, []

    def watched(self, *about):
        most.append(self.total)
        return write(self, *about)

    monkeypatch.setattr(disk_space.DiskSpace, "room", watched)

    def come(cookie):
        for i in range(3):
            try:
                shelf.store(cookie * 43, a_run(key=f"run-{i}"))
            except NotStored:
                most.append(taken(top))

    threads = [threading.Thread(target=come, args=(cookie,)) for cookie in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 5 * size
    assert taken(top) == shelf._space(top).total == 5 * size


def test_s9_no_more_runs_come_back_than_a_session_has(top, monkeypatch):
    for i in range(5):
        shelf.store(ONE, a_run(key=f"run-{i}", pinned=i == 1))
        time.sleep(0.02)
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setenv(CHANGES, json.dumps({"runs": 3}))
    assert keys(ONE) == ["run-1", "run-3", "run-4"]
    shelf.store(ONE, a_run(key="new"))
    assert keys(ONE) == ["run-1", "run-4", "new"]


def a_result(key="external-0123", content=b"x" * 20_000):
    return shelf.StoredResult(key, "theirs", content)


def test_o9_results_from_elsewhere_are_kept_beside_runs_and_found_by_their_visitor_alone(top):
    shelf.store(ONE, a_run())
    shelf.store(ONE, a_result())
    assert [(one.key, one.label, one.content) for one in shelf.stored_results(ONE)] == [
        ("external-0123", "theirs", b"x" * 20_000)
    ]
    assert keys(ONE) == ["moons-0123abcd"]
    assert list(shelf.stored_results(OTHER)) == []
    shelf.delete(ONE, "external-0123")
    assert list(shelf.stored_results(ONE)) == []
    assert taken(top) == shelf._space(top).total


def test_s6_results_count_among_the_bytes_of_their_visitor(top, size, monkeypatch):
    bound(monkeypatch, of_one=3 * size)
    for i in range(3):
        shelf.store(ONE, a_run(key=f"run-{i}"))
        time.sleep(0.02)
    shelf.store(ONE, a_result(content=b"x" * size))
    assert taken(top) <= 3 * size
    assert len(list(shelf.stored_results(ONE))) == 1
    assert keys(ONE)[-1] == "run-2"
    with pytest.raises(NotStored):
        shelf.store(ONE, a_result(key="large", content=b"x" * 4 * size))


def test_d4_a_run_that_is_being_written_is_not_there_yet_and_is_not_cleared_away(top, monkeypatch):
    """Another server on the same folder looks in, and makes room, at every moment of the writing."""
    monkeypatch.setattr(shelf, "HOME", replace(shelf.HOME, runs=3))
    shelf.store(ONE, a_run(key="old"))
    time.sleep(0.02)
    write, seen = Path.replace, []

    def looked_at(path, to):
        done = write(path, to)
        seen.append(keys(ONE))
        other = DiskSpace(top, shelf._pinned)
        with other.room(shelf._folder(top, ONE) / "elsewhere", 1, shelf.bounds()):
            return done

    monkeypatch.setattr(Path, "replace", looked_at)
    shelf.store(ONE, a_run(key="new"))
    assert seen[0] == ["old"]
    assert keys(ONE) == ["old", "new"]


def test_d4_who_reads_beside_two_that_write_and_forget_finds_whole_runs(top):
    runs = [a_run(key=f"run-{i}") for i in range(3)]

    def write():
        for i in range(12):
            with suppress(NotStored):  # the other has just removed its folder
                shelf.store(ONE, runs[i % 3])
            if i % 4 == 3:
                shelf.delete(ONE, "run-0")

    shelf.store(ONE, a_run(key="mine"))
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert "mine" in keys(ONE)
    shelf.store(ONE, a_run(key="last"))
    assert not [path for path in shelf._folder(top, ONE).iterdir() if path.name.startswith(".")]
    assert {"mine", "last", "run-1", "run-2"} <= set(keys(ONE))


def test_d5_a_pipe_in_place_of_a_name_is_left_out(top):
    for key in ("one", "other"):
        shelf.store(ONE, a_run(key=key))
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
    shelf.store(ONE, a_run())
    later, now = time.monotonic() + disk_space.COUNT_SECONDS + 1, time.time()
    monkeypatch.setattr(time, "monotonic", lambda: later)
    monkeypatch.setattr(time, "time", lambda: now + years * 365 * 86_400)
    shelf.store(OTHER, a_run())
    assert shelf._space(top)._counted == later, "it did look"
    home = shelf._folder(top, ONE)
    assert home.exists()
    assert home.stat().st_mtime == pytest.approx(time.time()), "the week begins anew"
    assert keys(ONE) == keys(OTHER) == ["moons-0123abcd"]


def test_cookies_whose_runs_are_gone_leave_nothing_on_the_disk(top):
    for i in range(5):
        token = str(i) * 43
        shelf.store(token, a_run())
        shelf.delete(token, "moons-0123abcd")
        shelf.delete(token, "never kept")
    assert list(top.iterdir()) == []
    assert shelf._spaces[top].total == 0
    assert not shelf._spaces[top]._sizes
    shelf.store(ONE, a_run())
    assert keys(ONE) == ["moons-0123abcd"]
