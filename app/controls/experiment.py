"""The controls of an experiment: a widget for each field of its config."""

import types
import typing
from typing import Any

import streamlit as st

from app import state
from app.answers import first_choices
from app.cards import plain
from cmcore.experiments import EXPERIMENTS, Experiment
from cmcore.targets import GALLERY

__all__ = ["experiment_controls", "field_key", "one_field", "read_field", "write_field"]


def experiment_controls(name: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment as it is steered now, or a sentence on what does not fit."""
    kind = EXPERIMENTS[name]
    given = {}
    first = first_choices(name)
    fields = sorted(kind.model_fields.items(), key=lambda item: item[0] == "seed")  # what is asked first, the seed last
    for field, info in fields:
        state.remember(field_key(name, field), write_field(first[field]))
        given[field] = _widget(name, field, info, disabled=disabled)
    changed = [field for field in given if write_field(given[field]) != write_field(first[field])]
    st.button(
        "Reset to the shipped settings",
        key=f"reset:{name}",
        on_click=_reset,
        args=(name,),
        disabled=disabled or not changed,
        width="stretch",
    )
    return _asked(kind, given)


def one_field(name: str, field: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment steered by this field alone, with the shipped settings elsewhere, or a sentence."""
    kind, first = EXPERIMENTS[name], first_choices(name)
    state.remember(field_key(name, field), write_field(first[field]))
    return _asked(kind, {**first, field: _widget(name, field, kind.model_fields[field], disabled=disabled)})


def _asked(kind: type[Experiment], given: dict[str, Any]) -> tuple[Experiment | None, str]:
    try:
        return kind(**given), ""
    except ValueError as problem:
        return None, _first_sentence(problem)


def field_key(name: str, field: str) -> str:
    """The key of the widget."""
    return f"experiment:{name}:{field}"


def write_field(value: Any) -> Any:
    """A field's value as its widget holds it: several values are text with commas."""
    return ", ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value) if _many(value) else value


def read_field(name: str, field: str, text: str) -> Any:
    """The value that a link writes as `text`, as the widget holds it; ValueError says in a clause what does not fit."""
    info = EXPERIMENTS[name].model_fields[field]
    kind = _kind(info.annotation)
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(f"it asks for {field} = “{text[:20]}”, and {field} is a number") from None
        least, most = _bounds(info)
        if not (least is None or value >= least) or not (most is None or value <= most):
            raise ValueError(f"it asks for {field} = {text[:20]}, which is out of range")
        return value
    if kind is bool:
        return text == "True"
    if isinstance(kind, tuple) and text not in kind:
        raise ValueError(f"it asks for {field} = “{text[:20]}”, and there is {', '.join(map(str, kind))}")
    return text[:200]


def _widget(name: str, field: str, info: Any, *, disabled: bool) -> Any:
    """The control of one field; what it gives is what the config takes."""
    kind = _kind(info.annotation)
    label = field.replace("_", " ").capitalize()
    settings: dict[str, Any] = {
        "key": field_key(name, field),
        "help": plain(info.description or "") or None,
        "disabled": disabled,
        "persist_state": "session",
    }
    if isinstance(kind, tuple):
        return st.selectbox(label, kind, **settings)
    if field == "target":
        return st.selectbox(label, list(GALLERY), format_func=lambda toy: GALLERY[toy].label, **settings)
    if kind is bool:
        return st.toggle(label, **settings)
    if kind in (int, float):
        least, most = _bounds(info)
        form = {"step": 1} if kind is int else {"format": "%g", "step": None}
        return st.number_input(label, least, most, **{k: v for k, v in form.items() if v is not None}, **settings)
    text = st.text_input(label, max_chars=200, **settings) or ""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if kind is tuple else text


def _bounds(info: Any) -> tuple[Any, Any]:
    """The least and the largest value, of the field's own kind; strict bounds are left to the config to refuse."""
    kind = _kind(info.annotation)
    found = {}
    for rule in info.metadata:
        for side, names in {"least": ("ge", "gt"), "most": ("le", "lt")}.items():
            for bound in names:
                if getattr(rule, bound, None) is not None:
                    found[side] = kind(getattr(rule, bound))
    return found.get("least"), found.get("most")


def _kind(annotation: Any) -> Any:
    """int, float, bool, str, tuple, or the tuple of allowed values."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if hasattr(annotation, "__metadata__"):
        annotation = typing.get_args(annotation)[0]
    origin = typing.get_origin(annotation)
    return typing.get_args(annotation) if origin is typing.Literal else tuple if origin is tuple else annotation


def _many(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _reset(name: str) -> None:
    for field, value in first_choices(name).items():
        state.choose(field_key(name, field), write_field(value))


def _first_sentence(problem: ValueError) -> str:
    """What pydantic found, in words: the field and the first thing wrong with it."""
    errors = getattr(problem, "errors", None)
    if errors is None:
        return str(problem)
    first = errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    field = ".".join(map(str, first["loc"]))
    return f"{field.replace('_', ' ')}: {message}." if field else message
