"""The link of KL."""

from collections.abc import Callable, Mapping
from typing import Any

from app import state
from app.kl.comparison import BASELINES, FIRST_CURVES, MOST, SEEN_FROM, SHOWN
from app.runs.library import first_run, runs
from app.sharing.readers import between, link_warnings, one_of, read_link, several_of, take_over
from app.sharing.retrain import extract_missing_runs, with_training
from cmcore.grids import GRIDS

KL_LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "runs": ("kl_runs", several_of(runs, "the run")),
    "baselines": ("kl_baselines", several_of(lambda: BASELINES, "the baseline")),
    "score": ("kl_score", one_of(lambda: ("exact", "model"), "the score")),
    "sampler": ("kl_sampler", one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "eta": ("kl_renoise", between(0.05, 1.0, "η/t")),
    "from": ("kl_from", one_of(lambda: SEEN_FROM, "the direction")),
    "most": ("kl_most", one_of(lambda: MOST, "N up to")),
    "horizon": ("kl_horizons", one_of(lambda: ("fixed", "grows"), "the horizon")),
    "grid": ("kl_grid", one_of(lambda: GRIDS, "the time grid")),
    "T": ("kl_horizon", between(0.5, 20.0, "T")),
    "h": ("kl_step", between(0.02, 2.0, "h")),
    "show": ("kl_shown", several_of(lambda: SHOWN, "what is shown")),
    "delta": ("kl linked delta", between(0.0, 1.0, "δ")),
}
"""Parameter of the link → (state key, reader)."""


def open_kl_link() -> list[str]:
    """The view of KL, where this run of the page takes it from the link."""
    takes = state.takes_link("kl")
    if state.went_back():
        for key, value in _first_curves().items():
            state.set_value(key, value)
        for sampler in ("deterministic", "renoise"):
            state.forget(f"kl_delta:{sampler}")
    problems = []
    if takes:
        asked, problems = read_link()
        problems += extract_missing_runs("kl_runs", asked, _first_curves()["kl_runs"])
        problems += take_over(asked, KL_LINK)
    for key, value in _first_curves().items():
        state.set_default(key, value)
    return link_warnings("kl", problems if takes else None)


def write_kl_link(*, delta: float, default_delta: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    first = _first_curves()
    wanted = {
        name: _written(state.value(key)) for name, (key, _) in KL_LINK.items() if state.value(key) != first.get(key)
    }
    wanted.pop("delta", None)
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    state.set_link(with_training("kl_runs", wanted))


def _first_curves() -> dict[str, Any]:
    return {**FIRST_CURVES, "kl_runs": [first_run()] if runs() else []}


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
