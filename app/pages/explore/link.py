"""The link of Explore."""

from collections.abc import Callable, Mapping
from typing import Any

from app import state
from app.hosting.limits import limits
from app.kl.comparison import SEEN_FROM
from app.runs.library import FIRST, first_run, runs
from app.sharing.readers import between, link_warnings, one_of, read_link, read_seed, take_over
from app.sharing.retrain import extract_missing_runs, with_training
from app.stage.custom_times import read_times, write_times
from app.stage.own_start import read_start, write_start
from app.stage.sampler import FRESH, LINKED_DELTA
from app.stage.scene import PARTICLES, STEPS
from cmcore.divergences.estimate import Direction
from cmcore.grids import GRIDS
from cmcore.sampling_defaults import sampling_defaults

DEFAULTS: Mapping[str, Any] = {
    "run": FIRST,
    "steps": 4,
    "sampler": "deterministic",
    "grid": "uniform_angle",
    "renoise": 0.5,
    "seed": 0,
    "own start": None,
    "moved times": None,
    "particle count": PARTICLES,
    "own_noise": "Pinned",
}
"""What the first visit shows, by widget key."""
LINKED_DIRECTION = "linked direction"
"""Where the direction lies that a link asks for."""
"""Whether a start of one's own meets the same fresh noise at each release."""


def _particles(text: str) -> int:
    return int(between(100, limits().particles, "the number of particles")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", one_of(runs, "the run")),
    "n": ("steps", one_of(lambda: STEPS, "N")),
    "sampler": ("sampler", one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "grid": ("grid", one_of(lambda: GRIDS, "the time grid")),
    "eta": ("renoise", between(0.05, 1.0, "η/t")),
    "seed": ("seed", read_seed),
    "start": ("own start", read_start),
    "times": ("moved times", read_times),
    "particles": ("particle count", _particles),
    "fresh": ("own_noise", one_of(lambda: FRESH, "the fresh noise")),
    "delta": (LINKED_DELTA, between(0.0, 1.0, "δ")),
    "from": (LINKED_DIRECTION, lambda text: SEEN_FROM[one_of(lambda: SEEN_FROM, "the direction")(text)]),
}
"""Parameter of the link → (state key, reader)."""
PASSED_ON = (LINKED_DELTA, LINKED_DIRECTION)
"""What belongs to a widget whose key depends on the sampler, which takes it over from here."""
AFTER_SAMPLER = [f"{name}:{sampler}" for name in ("delta", "direction") for sampler in ("deterministic", "renoise")]
"""Keys of those widgets."""
WRITERS: Mapping[str, Callable[[Any], str]] = {"start": write_start, "times": write_times}
"""How a value is written where str will not do."""


def open_link() -> list[str]:
    """Take over what the link asks for, where this run does so; a sentence for each thing that does not fit."""
    problems, takes = [], state.takes_link("explore")
    if takes:
        asked, problems = read_link()
        if state.went_back():
            _begin_afresh()
        problems += extract_missing_runs("run", asked, [first_run()])
        problems += take_over(asked, LINK)
    for key, value in _defaults().items():
        state.set_default(key, value)
    return link_warnings("explore", problems if takes else None)


def _begin_afresh() -> None:
    """What the entry of the history says holds, and the defaults for what it does not say."""
    for key in (*DEFAULTS, *PASSED_ON, "suited", *AFTER_SAMPLER):
        state.forget(key)


def _defaults() -> dict[str, Any]:
    """What is shown unless told otherwise; a run that learned jumps to δ alone brings its own sampler."""
    run = runs().get(state.value("run", FIRST))
    if run is None:
        return dict(DEFAULTS)
    own = sampling_defaults(run.model.config)
    return {**DEFAULTS, "sampler": own.sampler, "renoise": own.renoise}


def write_link(*, delta: float, default_delta: float, direction: Direction, default_direction: Direction) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    defaults = _defaults()
    held = {
        name: state.value(key)
        for name, (key, _) in LINK.items()
        if key not in PASSED_ON and state.value(key) != defaults.get(key)
    }
    wanted = {name: WRITERS.get(name, str)(value) for name, value in held.items()}
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    if direction != default_direction:
        wanted["from"] = next(name for name, known in SEEN_FROM.items() if known == direction)
    state.set_link(with_training("run", wanted))
