"""The link of Inside."""

from collections.abc import Callable, Mapping
from typing import Any

from app import state
from app.runs.library import FIRST, first_run, runs
from app.sharing.readers import between, link_warnings, one_of, read_link, take_over
from app.sharing.retrain import extract_missing_runs, with_training
from app.stage.scene import STEPS
from cmcore.diagnostics import QUANTITIES

DEFAULTS: Mapping[str, Any] = {"run": FIRST, "steps": 4, "inside quantity": "map_error", "inside at": None}
"""What the first visit shows, by widget key; the times are the run's own."""
_time = between(0.0, 20.0, "a time")


def _point(text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise ValueError(f"it asks for the point “{text[:40]}”, and a point is t,x")
    return _time(parts[0]), between(-1e3, 1e3, "x")(parts[1])


INSIDE_LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", one_of(runs, "the run")),
    "n": ("steps", one_of(lambda: STEPS, "N")),
    "map": ("inside quantity", one_of(lambda: QUANTITIES, "the map")),
    "t": ("inside linked t", _time),
    "s": ("inside linked s", _time),
    "at": ("inside at", _point),
}
"""Parameter of the link → (state key, reader)."""


def open_inside_link() -> list[str]:
    """The view of Inside, where this run of the page takes it from the link."""
    takes = state.takes_link("inside")
    if state.went_back():
        for key, value in DEFAULTS.items():
            state.set_value(key, value)
    problems = []
    if takes:
        asked, problems = read_link()
        problems += extract_missing_runs("run", asked, [first_run()])
        problems += take_over(asked, INSIDE_LINK)
    for key, value in DEFAULTS.items():
        state.set_default(key, value)
    return link_warnings("inside", problems if takes else None)


def write_inside_link(*, t: float, s: float, first_t: float, first_s: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    wanted = {}
    for name, (key, _) in INSIDE_LINK.items():
        if key in DEFAULTS and state.value(key) != DEFAULTS[key]:
            wanted[name] = _written(state.value(key))
    wanted |= {name: f"{value:g}" for name, value, first in (("t", t, first_t), ("s", s, first_s)) if value != first}
    state.set_link(with_training("run", wanted))


def _written(value: Any) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
