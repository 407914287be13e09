"""The only file that touches session state and query parameters.

Widgets keep their values under the keys that the controls give them; jobs and runs of the session are kept here too.
"""

from collections.abc import Container, Mapping
from typing import Any

import streamlit as st

__all__ = [
    "choose",
    "drop_jobs",
    "first_time",
    "forget_first_time",
    "job",
    "keep_job",
    "keep_pages",
    "kept",
    "link",
    "page",
    "remember",
    "set_link",
    "value",
]


# ---- values -----------------------------------------------------------------------------------------------------
def value(key: str, default: Any = None) -> Any:
    """A value of this session."""
    return st.session_state.get(key, default)


def choose(key: str, new: Any) -> None:
    """Set a value; a widget's own before the widget is drawn, in a callback or earlier in the run."""
    st.session_state[key] = new


def remember(key: str, default: Any, *, allowed: Container[Any] | None = None) -> None:
    """Give a widget its first value, and a new one when the old is no longer among the allowed."""
    if key not in st.session_state or (allowed is not None and st.session_state[key] not in allowed):
        st.session_state[key] = default


def kept(name: str) -> dict[Any, Any]:
    """A dictionary that lives as long as the session."""
    return st.session_state.setdefault(f"kept:{name}", {})


def first_time(name: str) -> bool:
    """True once in a session for each name."""
    seen = kept("first times")
    first = name not in seen
    seen[name] = True
    return first


def forget_first_time(name: str) -> None:
    """What was done once is done once more."""
    kept("first times").pop(name, None)


# ---- the address bar --------------------------------------------------------------------------------------------
def link() -> dict[str, str]:
    """The query parameters of the address."""
    return dict(st.query_params)


def set_link(parameters: Mapping[str, str]) -> None:
    """Show these query parameters, and no others, in the address bar."""
    if link() != dict(parameters):
        st.query_params.from_dict(dict(parameters))


# ---- pages ------------------------------------------------------------------------------------------------------
def keep_pages(pages: Mapping[str, Any]) -> None:
    """Remember the pages of the navigation, for links between them."""
    st.session_state["pages"] = pages


def page(name: str) -> Any:
    """The page of that name, for `st.switch_page`."""
    return st.session_state["pages"][name]


# ---- jobs -------------------------------------------------------------------------------------------------------
def job(name: str) -> Any:
    """The session's job of that name, or None."""
    return kept("jobs").get(name)


def keep_job(name: str, new: Any) -> None:
    """Make this the session's job of that name; an older one is asked to end."""
    drop_jobs(name)
    kept("jobs")[name] = new


def drop_jobs(stem: str, *, unfinished: bool = False) -> None:
    """Ask the jobs whose names begin with `stem` to end, and forget them; with `unfinished`, keep finished ones."""
    jobs = kept("jobs")
    for name in [name for name in jobs if name.startswith(stem)]:
        if not (unfinished and jobs[name].status == "finished"):
            jobs.pop(name).cancel()
