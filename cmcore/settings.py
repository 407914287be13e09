"""What can be set of an objective, an experiment or a run: the kind, bounds, default and meaning of every field.

Objectives are dataclasses and configs are pydantic models; both describe a field by `pydantic.Field` (bounds,
description) in its annotation. A page makes its controls of that, a link and the command line read values by it.
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import lru_cache
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

LARGEST, LONGEST = 1e15, 200
"""No number is larger; whole ones up to here are exact as decimals. No text is longer."""

Share = Annotated[float, Field(ge=0, le=1)]

Kind = Literal["number", "whole number", "name", "switch", "text", "several"]


class OnlyWith:
    """In an annotation: the field matters only while another one has one of these values."""

    def __init__(self, other: str, *values: str) -> None:
        self.other, self.values = other, values


@dataclass(frozen=True)
class Setting:
    """One field.

    Attributes:
        name: of the field.
        default: its value when nothing is said; None where the run decides.
        kind: of its value, other than None; "several" are numbers or words one after another.
        choices: all there are, for a name among a few.
        least, most: bounds of a number; `above` and `below` say that the bound itself is left out.
        help: what it is.
        title: for people, where the name in words will not do.
        condition: when it matters.
        capped: whether the upper bound is that of a server, and not of the thing itself.
    """

    name: str
    default: Any
    kind: Kind
    choices: tuple[str, ...] = ()
    least: float = -LARGEST
    most: float = LARGEST
    above: bool = False
    below: bool = False
    help: str = ""
    title: str = ""
    condition: OnlyWith | None = None
    capped: bool = False

    @property
    def label(self) -> str:
        """What people call it."""
        return self.title or self.name.replace("_", " ").capitalize()

    @property
    def is_number(self) -> bool:
        return self.kind in ("number", "whole number")

    @property
    def takes(self) -> str:
        """The values it takes, in words."""
        if self.kind == "name":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "switch":
            return "true or false"
        if not self.is_number:
            return self.kind
        if not (self.above or self.below):
            return f"a {self.kind} between {self.least:,.15g} and {self.most:,.15g}"
        low, high = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"a {self.kind}, {low} {self.least:,.15g} and {high} {self.most:,.15g}"

    def within(self, most: float | None) -> "Setting":
        """The same with a server's upper bound, where that is the lower one."""
        return self if most is None or most >= self.most else replace(self, most=most, capped=True)

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Whether it changes anything beside these values of the others."""
        asked = self.condition
        return asked is None or asked.other not in values or values[asked.other] in asked.values

    def checked(self, value: Any) -> Any:
        """The value as its own kind, 17.0 as a whole number say; ValueError says in a sentence what it takes."""
        if value is None and self.default is None:
            return None
        fitted = self._fitted(value)
        if fitted is None:
            raise ValueError(f"{self.name} is {self.takes}; got {shortened(value)}.")
        return fitted

    def _fitted(self, value: Any) -> Any:
        """The value as its own kind, or None."""
        if self.kind == "name":
            return value if isinstance(value, str) and value in self.choices else None
        if self.kind == "switch" or isinstance(value, bool):
            return value if self.kind == "switch" and isinstance(value, bool) else None
        if not isinstance(value, int | float) or not self.least <= value <= self.most:
            return None
        if (self.above and value == self.least) or (self.below and value == self.most):
            return None
        made = int(value) if self.kind == "whole number" else float(value)
        return made if made == value else None

    def read(self, text: str) -> Any:
        """The value that :meth:`write` wrote; ValueError says in a clause what does not fit."""
        if not self.is_number:
            value = {"true": True, "false": False}.get(text.lower(), text) if self.kind == "switch" else text[:LONGEST]
            fits = self.kind in ("text", "several") or self._fitted(value) is not None
        else:
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            value = self._fitted(number)
            fits = value is not None
            if self.capped and number > self.most:
                raise ValueError(f"it asks for {self.name} = {text[:20]}, and here it goes up to {self.most:,.15g}")
        if not fits:
            raise ValueError(f"it asks for {self.name} = “{text[:20]}”, and {self.name} is {self.takes}")
        return value

    def write(self, value: Any) -> str:
        """A value as text; several stand between commas."""
        if isinstance(value, tuple | list):
            return ", ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:.15g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=256)
def settings_of(kind: type) -> tuple[Setting, ...]:
    """The settings of a dataclass or a pydantic model, a subclass's own before those it inherits.

    A subclass that gives a field another default keeps what its parents say of it.
    """
    if issubclass(kind, BaseModel):
        return tuple(
            _setting(name, [info], info.get_default(call_default_factory=True))
            for name, info in kind.model_fields.items()
        )
    assert is_dataclass(kind)
    defaults = {field.name: None if field.default is MISSING else field.default for field in fields(kind)}
    said: dict[str, list[FieldInfo]] = {}
    for name, info in _annotated(kind):
        if name in defaults:
            said.setdefault(name, []).append(info)
    return tuple(_setting(name, infos, defaults[name]) for name, infos in said.items())


def _annotated(kind: type) -> Iterator[tuple[str, FieldInfo]]:
    """Name and annotation of each field, those of a subclass before those of its parents."""
    for cls in kind.__mro__:
        for name, hint in inspect.get_annotations(cls, eval_str=True).items():
            if get_origin(hint) is not ClassVar:
                yield name, FieldInfo.from_annotation(hint)


def _setting(name: str, infos: list[FieldInfo], default: Any) -> Setting:
    """The setting that annotations describe, the nearest first: the first that says something counts."""
    rules = next((info.metadata for info in infos if info.metadata), [])
    bounds = {bound: getattr(rule, bound) for rule in rules for bound in _BOUNDS if hasattr(rule, bound)}
    hint = _without_none(infos[0].annotation)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole number", float: "number", str: "text"}
    several = hint is tuple or get_origin(hint) is tuple
    return Setting(
        name,
        default,
        "name" if choices else "several" if several else kinds.get(hint, "text"),
        choices,
        least=float(bounds.get("ge", bounds.get("gt", -LARGEST))),
        most=float(bounds.get("le", bounds.get("lt", LARGEST))),
        above="gt" in bounds,
        below="lt" in bounds,
        help=next((info.description for info in infos if info.description), ""),
        title=next((info.title for info in infos if info.title), ""),
        condition=next((rule for rule in rules if isinstance(rule, OnlyWith)), None),
    )


_BOUNDS = ("ge", "gt", "le", "lt")


def _without_none(hint: Any) -> Any:
    """The type behind Optional and Annotated."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
