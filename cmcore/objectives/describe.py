"""What an objective says of itself, for whoever offers a choice: a picker, a link, the command line."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cmcore.objectives.base import Need, Objective, Velocity

__all__ = ["NEEDS_IN_WORDS", "Parameter", "parameters_of", "summary", "velocities_of"]

NEEDS_IN_WORDS: Mapping[Need, str] = {
    "samples": "samples only",
    "exact velocity": "the exact score",
    "frozen teacher": "samples; a velocity is learned from them first",
    "exact trajectories": "exact trajectories",
}

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([\w]+)`")
_REFERENCE = re.compile(r"[;,] see :\w+:`[^`]*`")
_SENTENCE = re.compile(r"(?<=[.])\s")
_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter.

    Attributes:
        name: as :func:`~cmcore.objectives.base.make_objective` takes it.
        default: its value when nothing is said; None where the run decides.
        kind: of its value, other than None.
        choices: all there are, for a name among a few.
        help: what the docstrings say of it; empty where they are silent.
    """

    name: str
    default: Any
    kind: Literal["number", "whole number", "name", "switch"]
    choices: tuple[str, ...] = ()
    help: str = ""


def summary(kind: type[Objective]) -> str:
    """The first sentence of its docstring."""
    words = _plain(" ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()))
    return _SENTENCE.split(words)[0]


def velocities_of(kind: type[Objective]) -> tuple[Velocity, ...]:
    """Where its velocity may come from, its default first; those it accepts."""
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


def parameters_of(kind: type[Objective]) -> tuple[Parameter, ...]:
    """Its hyper-parameters, those it sets itself before those it inherits."""
    hints, said, own = get_type_hints(kind), _said(kind), {field.name: field for field in fields(kind)}
    order = dict.fromkeys(name for cls in kind.__mro__ for name in inspect.get_annotations(cls) if name in own)
    defaults = {name: None if own[name].default is MISSING else own[name].default for name in order}
    hints["velocity"] = Literal[velocities_of(kind)]  # pyright: ignore[reportInvalidTypeForm]  those it accepts
    return tuple(_parameter(name, hints[name], defaults[name], said.get(name, "")) for name in order)


def _parameter(name: str, hint: Any, default: Any, words: str) -> Parameter:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return Parameter(name, default, "name", get_args(hint), words)
    kind = "switch" if hint is bool else "whole number" if hint is int else "number" if hint is float else "name"
    return Parameter(name, default, kind, (), words)


def _said(kind: type[Objective]) -> dict[str, str]:
    """What the "Args:" of its docstring and of those it inherits from say of each name; the nearest counts."""
    said: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        _, _, listed = inspect.cleandoc(cls.__doc__ or "").partition("\nArgs:\n")
        names: list[str] = []
        for line in listed.splitlines():
            entry = _ENTRY.fullmatch(line.strip())
            if line.startswith("    ") and not line.startswith("     ") and entry:
                names = entry[1].split(", ")
                said.update(dict.fromkeys(names, entry[2]))
            elif line.startswith("     "):
                said.update({name: f"{said[name]} {line.strip()}" for name in names})
            elif line:
                break
    return {name: _plain(words) for name, words in said.items()}


def _plain(words: str) -> str:
    """Without references, which lead nowhere outside the documentation, and without code quotes."""
    return _ROLE.sub(r"\1", _REFERENCE.sub("", words)).replace("`", "")
