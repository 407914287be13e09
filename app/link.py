"""Every view of Explore, and what Train is about to learn, can be sent as a link.

The link holds what differs from the defaults. What a link asks for is checked like any other input: what does not fit
is left out, with a sentence.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app import state
from app.answers import first_choices
from app.controls.experiment import field_key, read_field, write_field
from app.curves import BASELINES, FIRST_CURVES, MOST, SEEN_FROM, SHOWN
from app.parameters import chosen, families_first, key_of, read, write
from app.runs import FIRST, runs
from app.scene import PARTICLES, STEPS
from app.start import read_start, write_start
from app.times import read_times, write_times
from cmcore.experiments import EXPERIMENTS
from cmcore.grids import GRIDS
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.about import own_drawing, parameters_of
from cmcore.targets import GALLERY

__all__ = [
    "DEFAULTS",
    "linked_delta",
    "open_kl_link",
    "open_link",
    "open_scaling_link",
    "open_train_link",
    "questions",
    "write_kl_link",
    "write_link",
    "write_scaling_link",
    "write_train_link",
]

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
MOST_PARTICLES = 10_000
FIRST_TARGET = "moons"
PARAMETER = "o."
"""Before the name of an objective's parameter, in a link."""


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


def _particles(text: str) -> int:
    return int(_between(100, MOST_PARTICLES, "the number of particles")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "run": ("run", _one_of(runs, "the run")),
    "n": ("steps", _one_of(lambda: STEPS, "N")),
    "sampler": ("sampler", _one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "grid": ("grid", _one_of(lambda: GRIDS, "the time grid")),
    "eta": ("renoise", _between(0.05, 1.0, "η/t")),
    "seed": ("seed", _seed),
    "start": ("start", read_start),
    "times": ("moved times", read_times),
    "particles": ("particle count", _particles),
    "delta": ("linked delta", _between(0.0, 1.0, "δ")),
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
                problems.append(_refused(problem))
    for key, value in _defaults().items():
        state.remember(key, value)
    return problems


def _refused(problem: ValueError) -> str:
    return f"One point of this link could not be followed: {problem}. The default is shown."


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


# ---- Train ------------------------------------------------------------------------------------------------------
def open_train_link() -> list[str]:
    """The same for Train: the target of the gallery, the objective, and its parameters."""
    state.remember("toy", FIRST_TARGET, allowed=GALLERY)
    state.remember("objective", families_first()[0], allowed=OBJECTIVES)
    if not state.first_time("train link"):
        return []
    problems, asked = [], state.link()
    for name, key, known, noun in (
        ("target", "toy", GALLERY, "the target"),
        ("objective", "objective", OBJECTIVES, "the objective"),
    ):
        try:
            if name in asked:
                state.choose(key, _one_of(lambda known=known: known, noun)(asked[name]))
        except ValueError as problem:
            problems.append(_refused(problem))
    if asked.get("objective", state.value("objective")) == state.value("objective"):  # else they are another's
        problems += _open_parameters({name: text for name, text in asked.items() if name.startswith(PARAMETER)})
    return problems


def _open_parameters(asked: Mapping[str, str]) -> list[str]:
    objective = state.value("objective")
    known = {PARAMETER + parameter.name: parameter for parameter in parameters_of(OBJECTIVES[objective])}
    problems = []
    for name, text in asked.items():
        try:
            if name not in known:
                raise ValueError(f"{OBJECTIVES[objective].label} has no parameter “{name[len(PARAMETER) :][:40]}”")
            state.choose(key_of(objective, known[name].name), read(known[name], text))
        except ValueError as problem:
            problems.append(_refused(problem))
    return problems


def write_train_link() -> None:
    """Mirror what is about to be learned in the address bar."""
    objective = state.value("objective")
    wanted = {}
    if state.value("source", "Gallery") == "Gallery" and state.value("toy") != FIRST_TARGET:
        wanted["target"] = state.value("toy")
    if objective != families_first()[0]:
        wanted["objective"] = objective
    wanted |= {PARAMETER + name: write(value) for name, value in chosen(objective).items()}
    state.set_link(wanted)


# ---- Scaling ----------------------------------------------------------------------------------------------------
def questions() -> list[str]:
    """Names of the experiments, E1 first."""
    return sorted(EXPERIMENTS, key=lambda name: (EXPERIMENTS[name].code[0] != "E", EXPERIMENTS[name].code))


def open_scaling_link() -> list[str]:
    """The question, and those of its fields that differ from the shipped answer."""
    state.remember("experiment", questions()[0], allowed=EXPERIMENTS)
    if not state.first_time("scaling link"):
        return []
    problems, asked = [], state.link()
    try:
        if "question" in asked:
            state.choose("experiment", _one_of(lambda: EXPERIMENTS, "the question")(asked["question"]))
    except ValueError as problem:
        return [_refused(problem)]
    name = state.value("experiment")
    for field in EXPERIMENTS[name].model_fields:
        try:
            if PARAMETER + field in asked:
                state.choose(field_key(name, field), read_field(name, field, asked[PARAMETER + field]))
        except ValueError as problem:
            problems.append(_refused(problem))
    return problems


def write_scaling_link(name: str) -> None:
    """Mirror the question in the address bar."""
    wanted = {} if name == questions()[0] else {"question": name}
    for field, value in first_choices(name).items():
        first = write_field(value)
        held = state.value(field_key(name, field), first)
        if held != first:
            wanted[PARAMETER + field] = str(held)
    state.set_link(wanted)


# ---- KL ---------------------------------------------------------------------------------------------------------
def _several_of(known: Callable[[], Iterable[Any]], noun: str) -> Callable[[str], list[Any]]:
    one = _one_of(known, noun)
    return lambda text: list(dict.fromkeys(one(part) for part in text.split(",") if part))


KL_LINK: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "runs": ("kl_runs", _several_of(runs, "the run")),
    "baselines": ("kl_baselines", _several_of(lambda: BASELINES, "the baseline")),
    "score": ("kl_score", _one_of(lambda: ("exact", "model"), "the score")),
    "sampler": ("kl_sampler", _one_of(lambda: ("deterministic", "renoise"), "the sampler")),
    "eta": ("kl_renoise", _between(0.05, 1.0, "η/t")),
    "from": ("kl_from", _one_of(lambda: SEEN_FROM, "the direction")),
    "most": ("kl_most", _one_of(lambda: MOST, "N up to")),
    "horizon": ("kl_horizons", _one_of(lambda: ("fixed", "grows"), "the horizon")),
    "grid": ("kl_grid", _one_of(lambda: GRIDS, "the time grid")),
    "T": ("kl_horizon", _between(0.5, 20.0, "T")),
    "h": ("kl_step", _between(0.02, 2.0, "h")),
    "show": ("kl_shown", _several_of(lambda: SHOWN, "what is shown")),
    "delta": ("kl linked delta", _between(0.0, 1.0, "δ")),
}
"""Parameter of the link → (state key, reader)."""


def open_kl_link() -> list[str]:
    """The view of KL, on its first run in a session."""
    problems = []
    for name, text in state.link().items() if state.first_time("kl link") else ():
        try:
            if name in KL_LINK:
                key, read = KL_LINK[name]
                state.choose(key, read(text))
        except ValueError as problem:
            problems.append(_refused(problem))
    for key, value in _first_curves().items():
        state.remember(key, value)
    return problems


def write_kl_link(*, delta: float, default_delta: float) -> None:
    """Mirror the view in the address bar; what is at its default is left out."""
    first = _first_curves()
    wanted = {
        name: _written(state.value(key)) for name, (key, _) in KL_LINK.items() if state.value(key) != first.get(key)
    }
    wanted.pop("delta", None)
    if delta != default_delta:
        wanted["delta"] = f"{delta:g}"
    state.set_link(wanted)


def _first_curves() -> dict[str, Any]:
    known = list(runs())
    return {**FIRST_CURVES, "kl_runs": [FIRST if FIRST in known else known[0]] if known else []}


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
