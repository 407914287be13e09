"""The link of Runs: which runs are compared, and how they are drawn."""

from collections.abc import Callable, Mapping
from typing import Any

from app import state
from app.runs.library import runs
from app.sharing.readers import link_warnings, one_of, read_link, read_seed, several_of, take_over
from app.sharing.retrain import extract_missing_runs, with_training
from app.stage.scene import STEPS

RUNS_LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "runs": ("compared", several_of(runs, "the run")),
    "n": ("compared_steps", one_of(lambda: STEPS, "N")),
    "seed": ("compared_seed", read_seed),
}
"""Parameter of the link → (state key, reader)."""


def open_runs_link() -> list[str]:
    """The view of Runs, where this run takes it from the link; a sentence for each thing that does not fit."""
    takes = state.takes_link("runs")
    if state.went_back():
        for key, first in _first().items():
            state.set_value(key, first)
    problems = []
    if takes:
        asked, problems = read_link()
        problems += extract_missing_runs("compared", asked, _first()["compared"])
        problems += take_over(asked, RUNS_LINK)
    for key, first in _first().items():
        state.set_default(key, first)
    return link_warnings("runs", problems if takes else None)


def write_runs_link() -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    first = _first()
    wanted = {name: state.value(key) for name, (key, _) in RUNS_LINK.items() if state.value(key) != first[key]}
    written = {name: ",".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in wanted.items()}
    state.set_link(with_training("compared", written))


def _first() -> dict[str, Any]:
    """The two runs that come first are compared, so that there is something to see."""
    return {"compared": list(runs())[:2], "compared_steps": 4, "compared_seed": 0}
