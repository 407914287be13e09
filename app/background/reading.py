"""Reading what a visitor handed in or left on the disk: in one thread for everybody, while the page waits its turn."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import streamlit as st

from app.background.pools import reading_workers

T = TypeVar("T")
PATIENCE = 0.5
"""Seconds after which the page says what it waits for."""
LOOK = 0.02


def read_in_turn(values: Callable[[], Iterator[T]], words: str) -> list[T]:
    """All values of an iterator that reads; a page that is left, or run anew, ends it between two of them.

    Args:
        values: the iterator, made and followed in the thread that reads.
        words: what is read, for a line on the page where that takes long.

    Raises:
        Busy: too many are waiting.
        ValueError: what the iterator raised.
    """
    workers, began, line = reading_workers(), time.monotonic(), None
    job = workers.submit(lambda stop: _growing(values, stop))
    try:
        while not (view := workers.view(job)).over:
            if time.monotonic() - began > PATIENCE:
                line = line or st.empty()
                line.caption(f"{words} …" if not view.place else f"{words}: place {view.place} in the queue …")
            time.sleep(LOOK)
    finally:
        job.cancel()
        if line is not None:
            line.empty()
    if view.status != "finished":
        raise ValueError(view.problem or view.ended or f"{words} took too long.")
    return list(view.latest or ())


def _growing(values: Callable[[], Iterator[T]], stop: threading.Event) -> Iterator[tuple[T, ...]]:
    read: tuple[T, ...] = ()
    for value in values():
        read = (*read, value)
        yield read
        if stop.is_set():
            return
