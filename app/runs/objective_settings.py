"""The parameters of an objective as the page holds them: under which key, within which bounds, and when they matter."""

from collections.abc import Mapping
from typing import Any

from app import state
from app.hosting.limits import limits
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import Parameter, parameters_of

EXTREME = 1_000_000_000
MOST: Mapping[str, int] = {
    "solver_steps": 64,
    "particles": 128,
    "intervals": 1_000_000,
    "first_intervals": 1_000_000,
    "most_steps": 1_000_000,
    "segments": 1_000_000,
}
"""More than this a page open to anybody does not compute; the engine itself allows more."""
WHEN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "teacher_budget": ("velocity", ("learned",)),
    "teacher_steps": ("velocity", ("learned",)),
    "solver": ("velocity", ("self", "learned", "exact")),
    "solver_steps": ("velocity", ("self", "learned", "exact")),
    "tangent_beta": ("velocity", ("conditional", "learned", "exact")),
    "log_mean": ("clock", ("log_normal",)),
    "log_sd": ("clock", ("log_normal",)),
    "metric_scale": ("metric", ("pseudo_huber", "adaptive", "unit")),
    "segments": ("ends", ("segment",)),
    "grid": ("step", ("grid",)),
    "most_steps": ("step", ("grid",)),
    "kernel_width": ("kernel", ("laplace",)),
}
"""Parameters that matter only while another one has one of these values."""


def families_first() -> list[str]:
    """Names of the objectives: published families, then the identities to compose one's own from."""
    return sorted(OBJECTIVES, key=lambda name: OBJECTIVES[name].building_block)


def key_of(objective: str, parameter: str) -> str:
    """The key of the widget."""
    return f"parameter:{objective}:{parameter}"


def bounds(parameter: Parameter) -> tuple[float, float]:
    """The least and the largest value that the page takes; of their kind."""
    if parameter.kind == "whole number":
        now = limits()
        own = {"teacher_steps": now.steps, "trajectories": now.trajectories, "levels": now.levels}
        most = {**MOST, **own}
        return 0, most.get(parameter.name, EXTREME)
    return -float(EXTREME), float(EXTREME)


def matters(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether this parameter changes anything beside these values of the others."""
    other, needed = WHEN.get(parameter.name, ("", ()))
    return values.get(other) in needed if other in values else True


def chosen(objective: str) -> dict[str, Any]:
    """What was chosen and matters, as `make_objective` takes it; defaults are left out."""
    parameters = parameters_of(OBJECTIVES[objective])
    values = {p.name: state.value(key_of(objective, p.name), p.default) for p in parameters}
    return {p.name: values[p.name] for p in parameters if values[p.name] != p.default and matters(p, values)}


def reset(objective: str) -> None:
    """Back to the defaults."""
    for parameter in parameters_of(OBJECTIVES[objective]):
        state.set_value(key_of(objective, parameter.name), parameter.default)


def read(parameter: Parameter, text: str) -> Any:
    """The value that a link writes as `text`; ValueError says in a clause what does not fit."""
    name, short = parameter.name, text[:20]
    if parameter.kind == "name":
        if text not in parameter.choices:
            raise ValueError(f"it asks for {name} = “{short}”, and there is {', '.join(parameter.choices)}")
        return text
    if parameter.kind == "switch":
        if text not in ("true", "false"):
            raise ValueError(f"it asks for {name} = “{short}”, and {name} is true or false")
        return text == "true"
    least, most = bounds(parameter)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    whole = parameter.kind == "whole number"
    if not least <= value <= most or (whole and not value.is_integer()):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"it asks for {name} = “{short}”, and {name} is {kind} between {least:,g} and {most:,g}")
    return int(value) if whole else value


def write(value: Any) -> str:
    """A value as a link writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
