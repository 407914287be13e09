"""The controls of an experiment: a widget for each field of its config."""

import types
import typing
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import state
from app.experiments.results import first_choices, most_of, too_much
from app.quoting import plain
from cmcore.experiments import EXPERIMENTS, Experiment
from cmcore.targets import GALLERY

LABELS: Mapping[str, str] = {
    "amplitude": "Error a of the map",
    "amplitudes": "Errors a, on the line",
    "baselines": "Solvers of the exact score",
    "batch": "Batch",
    "calls": "Network calls",
    "case": "Law of a coordinate",
    "delta": "Last time δ",
    "deltas": "Last times δ",
    "depth": "Hidden layers",
    "dims": "Dimensions d",
    "distance": "Distance D of the atoms",
    "earliest": "Earliest time renoised to",
    "eps": "Goal ε, KL ≤ ε²",
    "error": "Error e of the thresholds",
    "fixed_horizon": "T, where K alone varies",
    "fixed_jumps": "K, where T is fixed",
    "goal": "Goal ε², in nats",
    "grid": "Time grid of the solvers",
    "horizon": "Horizon T",
    "intervals": "Sub-steps from T to 0",
    "jumps": "Most jumps K",
    "kappa": "Step κ, times min(1, t)",
    "landings": "Landings behind a KL",
    "law": "Data",
    "max_d": "Largest dimension d",
    "models": "Maps side by side",
    "most_calls": "Most calls of a solver",
    "most_steps": "Most jumps K",
    "n": "Samples behind a KL",
    "numbers": "Jumps N",
    "plane_amplitudes": "Errors a, in the plane",
    "points": "Points behind a map error",
    "renoise": "Fresh noise η, as a share",
    "repeats": "Draws of random signs",
    "samples": "Samples behind a KL",
    "sd": "Spread of each half",
    "seed": "Seed",
    "shares": "Fresh noise η, as shares",
    "signs": "Signs of the errors",
    "step": "Step h",
    "steps": "Training steps",
    "substeps": "Teacher's steps in a jump",
    "target": "Target",
    "times": "Second times tried",
    "training_steps": "Training steps",
    "trials": "Chains the search looks at",
    "width": "Units in a layer",
}
"""What a field is called on the page, with its symbol; another goes by its title, or by its name in words."""
OWN_LABELS: Mapping[tuple[str, str], str] = {
    ("time_grids", "steps"): "Jumps K",
    ("perturbation", "jumps"): "Jumps K",
    ("renoising", "jumps"): "Jumps K",
}
"""Where one experiment means something else by the name."""
LARGEST, LONGEST = 1e15, 200
"""What a field of the page may hold: a number of this size, and so many characters."""
EFFORT = (
    *("Training steps", "Maps side by side", "Units in a layer", "Hidden layers", "Batch", "Points behind a map error"),
    *("Landings behind a KL", "Samples behind a KL", "Draws of random signs", "Second times tried"),
    *("Chains the search looks at", "Seed"),
)
"""What decides how well a question is answered, not what is asked: folded away."""


def experiment_controls(name: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment as it is steered now, or a sentence on what does not fit."""
    kind = EXPERIMENTS[name]
    given = {}
    first = first_choices(name)
    asked, folded = st.container(), st.expander("Accuracy and seed")
    for field, info in kind.model_fields.items():
        state.set_default(field_key(name, field), write_field(first[field]))
        with folded if label_of(name, field) in EFFORT else asked:
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
    return _asked(name, kind, given)


def one_field(name: str, field: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment steered by this field alone, with the shipped settings elsewhere, or a sentence."""
    kind, first = EXPERIMENTS[name], first_choices(name)
    state.set_default(field_key(name, field), write_field(first[field]))
    return _asked(name, kind, {**first, field: _widget(name, field, kind.model_fields[field], disabled=disabled)})


def _asked(name: str, kind: type[Experiment], given: dict[str, Any]) -> tuple[Experiment | None, str]:
    try:
        question = kind(**given)
    except ValueError as problem:
        return None, _first_sentence(name, problem)
    if refused := too_much(name, question):
        field, words = refused
        return None, f"{label_of(name, field)}: {words}."
    return question, ""


def field_key(name: str, field: str) -> str:
    """The key of the widget."""
    return f"experiment:{name}:{field}"


def label_of(name: str, field: str) -> str:
    """What a field of an experiment is called on the page."""
    title = EXPERIMENTS[name].model_fields[field].title
    return title or OWN_LABELS.get((name, field)) or LABELS.get(field) or field.replace("_", " ").capitalize()


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
        if not abs(value) <= LARGEST:
            raise ValueError(f"it asks for {field} = {text[:20]}, which is out of range")
        least, most = _bounds(name, field)
        if not (least is None or value >= least) or not (most is None or value <= most):
            capped = most is not None and most == most_of(name, field)
            why = f"and this shared server goes up to {most:,}" if capped else "which is out of range"
            raise ValueError(f"it asks for {field} = {text[:20]}, {why}")
        return value
    if kind is bool:
        return text == "True"
    if isinstance(kind, tuple) and text not in kind:
        raise ValueError(f"it asks for {field} = “{text[:20]}”, and there is {', '.join(map(str, kind))}")
    return text[:LONGEST]


def _widget(name: str, field: str, info: Any, *, disabled: bool) -> Any:
    """The control of one field; what it gives is what the config takes."""
    kind = _kind(info.annotation)
    label, capped = label_of(name, field), most_of(name, field)
    why = "" if capped is None else f"; on this shared server up to {capped:,}"
    settings: dict[str, Any] = {
        "key": field_key(name, field),
        "help": plain(f"{info.description or ''}{why}") or None,
        "disabled": disabled,
        "persist_state": "session",
    }
    if isinstance(kind, tuple):
        return st.selectbox(label, kind, format_func=lambda choice: str(choice).replace("_", " "), **settings)
    if field == "target":
        return st.selectbox(label, list(GALLERY), format_func=lambda toy: GALLERY[toy].label, **settings)
    if kind is bool:
        return st.toggle(label, **settings)
    if kind in (int, float):
        least, most = _bounds(name, field)
        form = {"step": 1} if kind is int else {"format": "%g", "step": None}
        return st.number_input(label, least, most, **{k: v for k, v in form.items() if v is not None}, **settings)
    text = (st.text_input(label, max_chars=LONGEST, **settings) or "")[:LONGEST]  # the browser alone keeps to it
    return tuple(part.strip() for part in text.split(",") if part.strip()) if kind is tuple else text


def _bounds(name: str, field: str) -> tuple[Any, Any]:
    """The least and the largest value, of the field's own kind; strict bounds are left to the config to refuse."""
    info, capped = EXPERIMENTS[name].model_fields[field], most_of(name, field)
    kind = _kind(info.annotation)
    found = {}
    for rule in info.metadata:
        for side, names in {"least": ("ge", "gt"), "most": ("le", "lt")}.items():
            for bound in names:
                if getattr(rule, bound, None) is not None:
                    found[side] = kind(getattr(rule, bound))
    highest = [most for most in (found.get("most"), capped) if most is not None]
    return found.get("least"), min(highest, default=None)


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
        state.set_value(field_key(name, field), write_field(value))


def _first_sentence(name: str, problem: ValueError) -> str:
    """What pydantic found, in words: the field and the first thing wrong with it."""
    errors = getattr(problem, "errors", None)
    if errors is None:
        return str(problem)
    first = errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    field = str(first["loc"][0]) if first["loc"] else ""
    return f"{label_of(name, field)}: {message}." if field else message
