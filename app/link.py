"""Every view of Explore can be sent as a link.

The link holds what differs from the defaults. What a link asks for is checked like any other input: what does not fit
is left out, with a sentence.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app import state
from app.runs import FIRST, runs
from app.scene import STEPS
from cmcore.grids import GRIDS

__all__ = ["DEFAULTS", "linked_delta", "open_link", "write_link"]

DEFAULTS: Mapping[str, Any] = {
    "run": FIRST,
    "steps": 4,
    "sampler": "deterministic",
    "grid": "uniform_angle",
    "renoise": 0.5,
    "seed": 0,
}
"""What the first visit shows, by widget key."""


def _one_of(known: Callable[[], Iterable[Any]], noun: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        names = {str(name): name for name in known()}
        if text not in names:
            shown = ", ".join(list(names)[:8])
            raise ValueError(f"it asks for {noun} “{text[:40]}”, and there is {shown}")
        return names[text]

    return read


def _between(low: float, high: float, name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"it asks for {name} = {text[:20]}, and {name} lies between {low:g} and {high:g}")
        return value

    return read


def _seed(text: str) -> int:
    return int(_between(0, 2**31 - 1, "the seed")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", _one_of(runs, "the run")),
    "n": ("steps", _one_of(lambda: STEPS, "N")),
    "sampler": ("sampler", _one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "grid": ("grid", _one_of(lambda: GRIDS, "the time grid")),
    "eta": ("renoise", _between(0.05, 1.0, "η/t")),
    "seed": ("seed", _seed),
    "delta": ("linked delta", _between(0.0, 1.0, "δ")),
}
"""Parameter of the link → (state key, reader)."""


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
                problems.append(f"One point of this link could not be followed: {problem}. The default is shown.")
    for key, value in DEFAULTS.items():
        state.remember(key, value)
    return problems


def linked_delta() -> float | None:
    """The δ that a link asked for, once."""
    asked = state.value("linked delta")
    state.choose("linked delta", None)
    return asked


def write_link(*, delta: float, default_delta: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    wanted = {name: str(state.value(key)) for name, (key, _) in LINK.items() if state.value(key) != DEFAULTS.get(key)}
    wanted.pop("delta", None)
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    state.set_link(wanted)
