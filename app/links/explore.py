"""The link of Explore."""

from collections.abc import Callable, Mapping
from typing import Any

from app import state
from app.limits import limits
from app.links.readers import between, one_of, read_seed, refused
from app.runs import FIRST, runs
from app.scene import PARTICLES, STEPS
from app.start import read_start, write_start
from app.times import read_times, write_times
from cmcore.grids import GRIDS
from cmcore.objectives.about import own_drawing

__all__ = ["DEFAULTS", "linked_delta", "open_link", "write_link"]

DEFAULTS: Mapping[str, Any] = {
    "run": FIRST,
    "steps": 4,
    "sampler": "deterministic",
    "grid": "uniform_angle",
    "renoise": 0.5,
    "seed": 0,
    "start": None,
    "moved times": None,
    "particle count": PARTICLES,
}
"""What the first visit shows, by widget key."""


def _particles(text: str) -> int:
    return int(between(100, limits().particles, "the number of particles")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", one_of(runs, "the run")),
    "n": ("steps", one_of(lambda: STEPS, "N")),
    "sampler": ("sampler", one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "grid": ("grid", one_of(lambda: GRIDS, "the time grid")),
    "eta": ("renoise", between(0.05, 1.0, "η/t")),
    "seed": ("seed", read_seed),
    "start": ("start", read_start),
    "times": ("moved times", read_times),
    "particles": ("particle count", _particles),
    "delta": ("linked delta", between(0.0, 1.0, "δ")),
}
"""Parameter of the link → (state key, reader)."""
WRITERS: Mapping[str, Callable[[Any], str]] = {"start": write_start, "times": write_times}
"""How a value is written where str will not do."""


def open_link() -> list[str]:
    """On the first run of a session, take over what the link asks for; a sentence for each thing that does not fit."""
    problems = []
    if state.first_time("link"):
        for name, text in state.link().items():
            if name not in LINK:
                continue
            key, read = LINK[name]
            try:
                state.choose(key, read(text))
            except ValueError as problem:
                problems.append(refused(problem))
    for key, value in _defaults().items():
        state.remember(key, value)
    return problems


def _defaults() -> dict[str, Any]:
    """What is shown unless told otherwise; a run that learned jumps to δ alone brings its own sampler."""
    run = runs().get(state.value("run", FIRST))
    if run is None:
        return dict(DEFAULTS)
    own = own_drawing(run.model.config)
    return {**DEFAULTS, "sampler": own.sampler, "renoise": own.renoise}


def linked_delta() -> float | None:
    """The δ that a link asked for, once."""
    asked = state.value("linked delta")
    state.choose("linked delta", None)
    return asked


def write_link(*, delta: float, default_delta: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    defaults = _defaults()
    held = {name: state.value(key) for name, (key, _) in LINK.items() if state.value(key) != defaults.get(key)}
    wanted = {name: WRITERS.get(name, str)(value) for name, value in held.items()}
    wanted.pop("delta", None)
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    state.set_link(wanted)
