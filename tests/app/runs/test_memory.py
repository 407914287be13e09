"""Runs in memory: counted in bytes for as long as they are there, of a session and of all."""

import gc
import json
from dataclasses import replace

import pytest
import torch

from app.hosting.limits import CHANGES
from app.pages.runs import ledger
from app.runs.library import FULL, add_run, own_runs
from app.runs.memory import bytes_of, count, total
from cmcore.store import BadRun, to_zip
from tests.app.conftest import untrained


def heavy(megabytes):
    """An untrained run that goes on with so much."""
    return replace(untrained(), resume_state={"moments": torch.zeros(megabytes << 18)})


def test_s6_bytes_of_a_run_count_once_and_until_nobody_has_it():
    gc.collect()
    before, run = total(), heavy(3)
    assert bytes_of(run) > 3 << 20
    assert count(run) == count(run) == total() - before
    del run
    gc.collect()
    assert total() == before


def test_s6_a_target_counts_with_its_run():
    run = untrained("checkerboard")
    assert bytes_of(run) - bytes_of(replace(run, target=None)) >= 8 * 8 * 2


def test_s6_a_session_has_so_many_megabytes_of_runs_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setenv(CHANGES, json.dumps({"runs_of_one": 5}))
    own_runs().clear()
    keys = [add_run("moons", f"run {i}", heavy(2)).key for i in range(4)]
    assert list(own_runs()) == keys[-2:]
    large = add_run("moons", "large", heavy(6)).key
    assert list(own_runs()) == [large], "what was just made is there"
    own_runs().clear()


def test_s6_where_all_sessions_have_too_much_no_more_is_brought_in(monkeypatch):
    monkeypatch.setenv(CHANGES, json.dumps({"runs_of_all": 1}))
    large, content = heavy(2), to_zip(untrained())
    count(large)
    with pytest.raises(BadRun, match=FULL):
        ledger.bring_in("run.zip", content)
