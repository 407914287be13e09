"""How far background work is, on the page: one line for every kind of work, and parts that are drawn anew with it."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.background.jobs import JobView
from app.background.task import Report, Task
from app.quoting import plain

POLL = 0.5
"""Seconds between looks at work that a page can do nothing without."""


def under_way(view: JobView[Any] | None) -> bool:
    """Whether something is being worked on, or will be once there is room for it."""
    return view is not None and not view.over


def progress_words(view: JobView[Report[Any]]) -> str:
    """What work under way waits for or does, a sentence, with the time left once it can be told."""
    if view.problem or view.ended:
        return view.problem or view.ended
    if view.place:
        return f"Waiting for a worker, place {view.place} in the queue."
    if view.latest is None or not view.latest.words:
        return "Starting."
    seconds = view.latest.seconds_left
    return view.latest.words + (f" About {seconds:.0f} s left." if seconds else "")


def progress_line(view: JobView[Report[Any]] | None) -> None:
    """How far work under way is, or why there is none; nothing where it has ended well.

    The line has a place of its own, also when there is nothing to say: what stands below it stays what it is, and what
    was opened there stays open.
    """
    with st.container():
        if view is None or view.status == "finished":
            return
        if view.problem or view.ended:
            st.warning(plain(progress_words(view)))
        elif not view.over:
            st.progress(view.latest.share if view.latest else 0.0, text=plain(progress_words(view)))


def wait_line(task: Task[Any], begin: str = "") -> None:
    """In place of a result: how far the work on it is; the page runs anew when it is there.

    Args:
        task: what works on it.
        begin: on the button that begins what was cancelled; empty where this line offers no Cancel.
    """
    view = task.view(task.key)
    st.fragment(_wait, run_every=POLL if under_way(view) else None)(task, begin)


def _wait(task: Task[Any], begin: str) -> None:
    view = task.view(task.key)
    if under_way(view):
        progress_line(view)
        if begin:
            st.button("Cancel", on_click=task.cancel, key=f"cancel:{task.name}")
    elif view is None or view.status != "stopped" or not begin:
        st.rerun()
    else:
        st.caption(plain(view.ended or "Cancelled."))
        if st.button(begin, key=f"begin:{task.name}"):
            task.end()
            st.rerun()


def poll(part: Callable[..., Any], *args: Any, shown: Any, every: float | None) -> None:
    """Draw a part of the page, and again every so many seconds; None: once.

    `part` draws and returns what there is to show. Once that differs from `shown`, the whole page runs again.
    """
    st.fragment(_polled, run_every=every)(part, shown, *args)


def _polled(part: Callable[..., Any], shown: Any, *args: Any) -> None:
    if part(*args) != shown:
        st.rerun()
