"""The worker threads of the process: made once, whatever a visitor may ask Streamlit to clear."""

import ast
import threading
from pathlib import Path

import streamlit as st

from app.background import pools

ROOT = Path(pools.__file__).parents[1]
POOLS = [pool for name, pool in vars(pools).items() if name.endswith("_workers")]


def test_s1_clearing_streamlits_caches_makes_no_second_pool():
    before = [pool() for pool in POOLS]
    threads = threading.active_count()
    for _ in range(3):
        st.cache_resource.clear()
        st.cache_data.clear()
        assert all(pool() is made for pool, made in zip(POOLS, before, strict=True))
    assert threading.active_count() == threads


def test_s1_visitors_who_come_at_once_get_one_pool(monkeypatch):
    monkeypatch.setattr(pools, "_pools", {})
    start, made = threading.Barrier(8), []

    def come():
        start.wait()
        made.append(pools.curve_workers())

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, made))) == 1


def test_s1_what_streamlit_caches_are_values_and_no_limit_hangs_on_them():
    """A cached function returns data, targets or pictures: never threads, queues, locks or counters."""
    states = {"Workers", "Job", "Queue", "Lock", "RLock", "Semaphore", "Counter", "None"}
    for file in ROOT.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef) and any(
                "cache_" in ast.unparse(d) for d in function.decorator_list
            ):
                returned = ast.unparse(function.returns) if function.returns else "None"
                assert returned.split("[")[0] not in states, f"{file}: {function.name} -> {returned}"
