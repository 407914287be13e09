"""What an objective says of itself, for whoever offers a choice: a picker, a link, the command line."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, get_args

from cmcore.objectives.base import OBJECTIVES, Need, Objective, Velocity
from cmcore.settings import Setting, settings_of

NEEDS_IN_WORDS: Mapping[Need, str] = {
    "samples": "samples only",
    "exact velocity": "the exact score",
    "frozen teacher": "samples; a velocity is learned from them first",
    "exact trajectories": "exact trajectories",
}

Group = Literal["exact trajectories", "distillation", "from samples alone", "building blocks"]
GROUPS: Mapping[Group, str] = {
    "exact trajectories": "Learn from finished trajectories of the exact flow, which only a target with a score has.",
    "distillation": "Learn from a velocity: the exact one, or one that is learned from samples first.",
    "from samples alone": "Learn from data and nothing else, as models of images must.",
    "building blocks": "Identities of the exact map, to compose an objective of your own from.",
}
"""The kinds of objectives by what they need as they are by default, each in a sentence."""
_GROUP_OF: Mapping[Need, Group] = {
    "exact trajectories": "exact trajectories",
    "exact velocity": "distillation",
    "frozen teacher": "distillation",
    "samples": "from samples alone",
}

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([\w]+)`")
_REFERENCE = re.compile(r"[;,] see :\w+:`[^`]*`")
_SENTENCE = re.compile(r"(?<=[.])\s")


def summary(kind: type[Objective]) -> str:
    """The first sentence of an objective's docstring."""
    words = _plain(" ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()))
    return _SENTENCE.split(words)[0]


def group_of(kind: type[Objective]) -> Group:
    """The group of :data:`GROUPS` that an objective is in."""
    make: Any = kind
    return "building blocks" if kind.building_block else _GROUP_OF[make().needs]


def in_groups() -> dict[Group, list[str]]:
    """The names of all objectives by group, each group from its oldest to its newest."""
    names: dict[Group, list[str]] = {group: [] for group in GROUPS}
    for name in sorted(OBJECTIVES, key=lambda name: (OBJECTIVES[name].paper or (0,), OBJECTIVES[name].label)):
        names[group_of(OBJECTIVES[name])].append(name)
    return names


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
