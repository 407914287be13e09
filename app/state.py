"""The only file that touches session state and query parameters.

Widgets keep their values under the keys that the controls give them; what a session keeps besides them lies here too.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx


# ---- values -----------------------------------------------------------------------------------------------------
def value(key: str, default: Any = None) -> Any:
    """A value of this session."""
    return st.session_state.get(key, default)


def take(key: str) -> Any:
    """A value, once: afterwards there is none."""
    taken = value(key)
    set_value(key, None)
    return taken


def set_value(key: str, new: Any) -> None:
    """Set a value; a widget's own before the widget is drawn, in a callback or earlier in the run."""
    st.session_state[key] = new


def set_until_rendered(key: str, new: Any) -> None:
    """Set a widget's value, and again in every run until one ends.

    A run may be interrupted by the next before the browser has what it drew: the browser then still sends the old
    value, which Streamlit takes for the first option where it is none any more.
    """
    set_value(key, new)
    session_dict("pending")[key] = new


def show_value(key: str, shown: Any) -> None:
    """Let a widget show a value that is kept elsewhere, or that became what is allowed of its own.

    It is set only where the widget has another: what is set travels to the browser with everything that is drawn, and
    there takes back what was chosen while it was on its way. Not for a widget in a menu: a closed one has none to hear.
    """
    if key not in st.session_state or value(key) != shown:
        set_until_rendered(key, shown)


def set_pending() -> None:
    """At the beginning of a run."""
    for key, new in session_dict("pending").items():
        set_value(key, new)


def clear_pending() -> None:
    """At the end of a run, which has drawn its widgets."""
    session_dict("pending").clear()


def set_default(key: str, default: Any, *, allowed: Container[Any] | None = None) -> None:
    """Give a widget its first value, and a new one when the old is no longer among the allowed."""
    if key not in st.session_state:
        set_value(key, default)
    elif allowed is not None and value(key) not in allowed:
        set_until_rendered(key, default)


def set_nearest(key: str, options: Sequence[float], default: float) -> None:
    """Give a widget its first value; one that is no option, but a link's or another run's, becomes the nearest."""
    now = value(key, default)
    set_default(key, min(options, key=lambda option: abs(option - now)), allowed=options)


def forget(key: str) -> None:
    """Drop a value: its widget begins with its first one again."""
    st.session_state.pop(key, None)


def session_dict(name: str) -> dict[Any, Any]:
    """A dictionary that lives as long as the session."""
    return st.session_state.setdefault(f"session:{name}", {})


def first_time(name: str) -> bool:
    """True once in a session for each name."""
    seen = session_dict("first times")
    first = name not in seen
    seen[name] = True
    return first


def forget_first_time(name: str) -> None:
    """What was done once is done once more."""
    session_dict("first times").pop(name, None)


def tab_is_closed() -> Callable[[], bool]:
    """Says, to any thread, whether the tab that this session draws in has been closed, or has lost the server."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: False
    server, session = runtime.get_instance(), context.session_id
    return lambda: not server.is_active_session(session)


# ---- the address bar --------------------------------------------------------------------------------------------
BROWSERS = ("hide", "present", "layers", "pause", "speed")
"""Parameters that the browser keeps by itself (app/components/address.js): the server leaves them as they are."""


MOST_PARAMETERS, LONGEST_PARAMETER = 64, 8_192
"""Of an address: so many parameters are read, of so many characters; proxies cut off longer addresses."""


def link() -> dict[str, str]:
    """The query parameters of the address, as far as they are short and few enough to be read."""
    read = ((name, st.query_params[name]) for name in islice(st.query_params, MOST_PARAMETERS))
    return {name: text for name, text in read if len(name) <= 64 and len(text) <= LONGEST_PARAMETER}


def left_out_of_link() -> int:
    """How many parameters of the address are too long, or too many, to be read."""
    return len(st.query_params) - len(link())


def set_link(parameters: Mapping[str, str]) -> None:
    """Show these parameters of the page in the address bar, beside those of the browser.

    Others go. Whether a change is a new entry of the browser's history or replaces the last one is decided in the
    browser: another run is a new entry, another N is not.
    """
    shown = link()
    if {name: text for name, text in shown.items() if name not in BROWSERS} != parameters:
        st.query_params.from_dict({**parameters, **{name: shown[name] for name in BROWSERS if name in shown}})


def takes_link(page: str) -> bool:
    """Whether the page takes its view from the address now: on its first run in the session, and after back or forward.

    In every other run the address only mirrors the view: it may lag behind a choice that was just made.
    """
    return first_time(f"{page} link") or went_back()


def went_back() -> bool:
    """Whether this run was asked for by the browser's back or forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


# ---- pages ------------------------------------------------------------------------------------------------------
def keep_pages(pages: Mapping[str, Any]) -> None:
    """Remember the pages of the navigation, for links between them."""
    st.session_state["pages"] = pages


def page(name: str) -> Any:
    """The page of that name, for links to it; None where a page runs by itself, without the navigation."""
    return st.session_state.get("pages", {}).get(name)


def open_page(name: str, link: Mapping[str, str] | None = None) -> NoReturn:
    """Show another page, with the choices of a link to it.

    What this page draws every moment is dropped first. The browser asks for it until it hears of the other page: a
    request that arrives while that is drawn would wait for its end, and be taken for a return to this page, of which
    the browser then has nothing left.
    """
    if context := get_script_run_ctx():
        context.fragment_storage.clear()
    st.switch_page(page(name), query_params=link)  # noqa: TID251
