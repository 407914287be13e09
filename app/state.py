"""The only file that touches session state and query parameters.

Widgets keep their values under the keys named here; the link mirrors those that differ from the defaults, so that every
view can be sent to somebody. What a link asks for is checked like any other input: what does not fit is left out, with
a sentence.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.jobs import Job
from app.runs import Run, shipped_runs
from app.scene import STEPS
from cmcore.grids import GRIDS

__all__ = [
    "add_run",
    "choose",
    "drop_jobs",
    "job",
    "keep_job",
    "keep_pages",
    "linked_delta",
    "new_key",
    "open_link",
    "page",
    "remember",
    "runs",
    "take_steps_from_stage",
    "value",
    "write_link",
]

STAGE = "particles"
"""Key of the stage component."""

DEFAULTS: Mapping[str, Any] = {
    "run": "eight_gaussians",
    "steps": 4,
    "sampler": "deterministic",
    "grid": "uniform_angle",
    "renoise": 0.5,
    "seed": 0,
}
"""What the first visit shows."""


# ---- the link ---------------------------------------------------------------------------------------------------
def _one_of(names: Callable[[], Any], noun: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        known = list(names())
        if text not in known:
            raise ValueError(f"it asks for the {noun} “{text[:40]}”, which is not here")
        return text

    return read


def _steps(text: str) -> int:
    if text not in {str(n) for n in STEPS}:
        raise ValueError(f"it asks for N = {text[:20]}; N is one of {', '.join(map(str, STEPS))}")
    return int(text)


def _number(low: float, high: float, name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"it asks for {name} = {text[:20]}; {name} lies between {low:g} and {high:g}")
        return value

    return read


def _seed(text: str) -> int:
    return int(_number(0, 2**31 - 1, "seed")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", _one_of(lambda: runs(), "run")),
    "n": ("steps", _steps),
    "sampler": ("sampler", _one_of(lambda: ("deterministic", "renoise"), "sampler")),
    "grid": ("grid", _one_of(lambda: GRIDS, "time grid")),
    "eta": ("renoise", _number(0.05, 1.0, "η/t")),
    "seed": ("seed", _seed),
    "delta": ("link_delta", _number(0.0, 1.0, "δ")),
}
"""Parameter of the link → (state key, reader)."""


def open_link() -> list[str]:
    """On the first run of a session, take over what the link asks for. Returns one sentence per thing it could not."""
    problems: list[str] = []
    if "opened" not in st.session_state:
        st.session_state["opened"] = True
        for name, text in st.query_params.items():
            if name not in LINK:
                continue
            key, read = LINK[name]
            try:
                st.session_state[key] = read(text)
            except ValueError as problem:
                problems.append(f"This link could not be followed in one point: {problem}. The default is shown.")
    for key, value in DEFAULTS.items():
        st.session_state.setdefault(key, value)
    if st.session_state["run"] not in runs():
        st.session_state["run"] = next(iter(runs()), None)
    return problems


def write_link(*, delta: float, default_delta: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    wanted = {
        name: str(st.session_state[key])
        for name, (key, _) in LINK.items()
        if key in DEFAULTS and st.session_state.get(key) != DEFAULTS[key]
    }
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


# ---- widgets ----------------------------------------------------------------------------------------------------
def remember(key: str, default: Any, *, allowed: Any = None) -> None:
    """Give a widget its first value, and a new one when the old is no longer among the allowed."""
    if key not in st.session_state or (allowed is not None and st.session_state[key] not in allowed):
        st.session_state[key] = default


def linked_delta() -> float | None:
    """The δ a link asked for, once."""
    return st.session_state.pop("link_delta", None)


def choose(key: str, value: Any) -> None:
    """Set a widget's value before it is drawn (in a callback, or earlier in the run)."""
    st.session_state[key] = value


def take_steps_from_stage() -> None:
    """N was chosen on the stage itself."""
    steps = st.session_state[STAGE].get("steps")
    if steps in STEPS:
        st.session_state["steps"] = steps


# ---- pages ------------------------------------------------------------------------------------------------------
def keep_pages(pages: Mapping[str, Any]) -> None:
    """Remember the pages of the navigation, for links between them."""
    st.session_state["pages"] = pages


def page(name: str) -> Any:
    """The page of that name, for `st.page_link` and `st.switch_page`."""
    return st.session_state["pages"][name]


# ---- runs and jobs of this session ------------------------------------------------------------------------------
def runs() -> Mapping[str, Run]:
    """Shipped runs, then this session's own, newest last."""
    return {**shipped_runs(), **st.session_state.get("own_runs", {})}


def add_run(run: Run) -> None:
    """Keep a run trained in this session, and show it next on Explore."""
    st.session_state.setdefault("own_runs", {})[run.key] = run
    st.session_state["run"] = run.key


def new_key(stem: str) -> str:
    """A run key that no other session has: caches are shared by everybody."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def job(name: str) -> Job | None:
    """The session's job of that name."""
    return _jobs().get(name)


def keep_job(name: str, new: Job) -> None:
    """Make this the session's job of that name; an older one is asked to end."""
    drop_jobs(name)
    _jobs()[name] = new


def drop_jobs(stem: str, *, still_going: bool = False) -> None:
    """Forget the jobs whose names begin with `stem` (only those not over, with `still_going`), asking them to end."""
    for name, old in list(_jobs().items()):
        if name.startswith(stem) and not (still_going and old.status == "finished"):
            old.cancel()
            del _jobs()[name]


def _jobs() -> dict[str, Job]:
    return st.session_state.setdefault("jobs", {})


def value(key: str, default: Any = None) -> Any:
    """A value of this session."""
    return st.session_state.get(key, default)
