"""What an objective says of itself, for whoever offers a choice: a picker, a link, the command line."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from cmcore.objectives.base import Need, Objective, Velocity
from cmcore.settings import Setting, settings_of

NEEDS_IN_WORDS: Mapping[Need, str] = {
    "samples": "samples only",
    "exact velocity": "the exact score",
    "frozen teacher": "samples; a velocity is learned from them first",
    "exact trajectories": "exact trajectories",
}

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([\w]+)`")
_REFERENCE = re.compile(r"[;,] see :\w+:`[^`]*`")
_SENTENCE = re.compile(r"(?<=[.])\s")


def summary(kind: type[Objective]) -> str:
    """The first sentence of an objective's docstring."""
    words = _plain(" ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()))
    return _SENTENCE.split(words)[0]


def velocities_of(kind: type[Objective]) -> tuple[Velocity, ...]:
    """The sources of velocity that an objective accepts, its default first."""
    default = {field.name: field.default for field in fields(kind)}.get("velocity")
    accepted = [velocity for velocity in get_args(Velocity) if _accepts(kind, velocity)]
    return tuple(sorted(accepted, key=lambda velocity: velocity != default))


def _accepts(kind: type[Objective], velocity: Velocity) -> bool:
    make: Any = kind
    try:
        make(velocity=velocity)
    except (ValueError, TypeError):
        return False
    return True


def parameters_of(kind: type[Objective]) -> tuple[Setting, ...]:
    """The hyper-parameters of an objective, its own before those it inherits; of velocities, those it accepts."""
    accepted = {"velocity": velocities_of(kind)}
    return tuple(replace(s, choices=accepted.get(s.name, s.choices)) for s in settings_of(kind))


def _plain(words: str) -> str:
    """Without references, which lead nowhere outside the documentation, and without code quotes."""
    return _ROLE.sub(r"\1", _REFERENCE.sub("", words)).replace("`", "")
