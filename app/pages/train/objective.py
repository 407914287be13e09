"""What a map is learned by: an objective, where its velocity comes from, and its other parameters."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.quoting import escape, plain
from app.runs.objective_settings import bounds, chosen, families_first, key_of, matters, reset
from app.ui.single_choice import single_choice
from cmcore.objectives import OBJECTIVES, Objective
from cmcore.objectives.describe import NEEDS_IN_WORDS, Parameter, parameters_of, summary
from cmcore.sampling_defaults import defaults_of

VELOCITIES = {
    "exact": "Exact score",
    "learned": "Learned from samples",
    "conditional": "Pairs of data and noise",
    "self": "The map's own",
}


def objective_controls(folded: DeltaGenerator, *, disabled: bool) -> tuple[str, dict[str, Any]]:
    """The chosen objective and those of its parameters that differ from its defaults; most of them `folded` away."""
    names = families_first()
    state.set_default("objective", names[0], allowed=names)
    name = st.selectbox(
        "Objective",
        names,
        format_func=_label,
        key="objective",
        disabled=disabled,
        persist_state="session",
    )
    kind = OBJECTIVES[name]
    parameters = parameters_of(kind)
    for parameter in parameters:
        state.set_default(key_of(name, parameter.name), parameter.default)
    by_name = {parameter.name: parameter for parameter in parameters}
    about = st.container()
    if "velocity" in by_name and len(by_name["velocity"].choices) > 1:
        _velocity(name, by_name["velocity"], disabled=disabled)
    values = {p.name: state.value(key_of(name, p.name)) for p in parameters}
    others = [p for p in parameters if p.name != "velocity" and matters(p, values)]
    changed = chosen(name)
    with folded.expander("Parameters of the objective" + (" (changed)" if set(changed) - {"velocity"} else "")):
        for pair in zip_longest(others[::2], others[1::2]):
            for column, parameter in zip(st.columns(2, gap="small"), pair, strict=True):
                if parameter is not None:
                    with column:
                        _widget(name, parameter, disabled=disabled)
        st.button(
            "Reset to defaults", key="reset", on_click=reset, args=(name,), disabled=disabled or not changed,
            width="stretch",
        )  # fmt: skip
    about.html(_about(kind, values))
    return name, chosen(name)


def _label(name: str) -> str:
    kind = OBJECTIVES[name]
    return f"Compose your own: {kind.label}" if kind.building_block else kind.label


def _about(kind: type[Objective], values: Mapping[str, Any]) -> str:
    """What it needs and learns, and its first sentence."""
    facts = f"Needs {needs_in_words(kind, values)}."
    if learned := defaults_of(_with_velocity(kind, values)).learned:
        facts += f" Learns {learned}."
    return f'<p class="choice"><b>{escape(facts)}</b> {escape(summary(kind))}</p>'


def needs_in_words(kind: type[Objective], values: Mapping[str, Any]) -> str:
    """What it asks of the world, with its velocity from where it was chosen to come from."""
    return NEEDS_IN_WORDS[_with_velocity(kind, values).needs]


def _with_velocity(kind: type[Objective], values: Mapping[str, Any]) -> Objective:
    """The objective with this velocity and these ends, on which what it needs and learns depend."""
    told = {name: values[name] for name in ("velocity", "ends") if name in values}
    make: Any = kind
    return make(**told)


def _velocity(objective: str, parameter: Parameter, *, disabled: bool) -> None:
    choices = list(parameter.choices)
    key = key_of(objective, "velocity")
    settings: dict[str, Any] = {"format_func": VELOCITIES.__getitem__, "key": key, "disabled": disabled}
    if len(choices) == 2:
        single_choice("Velocity", choices, width="stretch", **settings)
    else:
        st.selectbox("Velocity", choices, persist_state="session", **settings)


def _widget(objective: str, parameter: Parameter, *, disabled: bool) -> None:
    """The control of one parameter; its value lives under its key."""
    label = parameter.name.replace("_", " ")
    shared: dict[str, Any] = {
        "key": key_of(objective, parameter.name),
        "help": plain(parameter.help) or None,
        "disabled": disabled,
        "persist_state": "session",
    }
    if parameter.kind == "name":
        st.selectbox(label, list(parameter.choices), format_func=lambda name: name.replace("_", " "), **shared)
    elif parameter.kind == "switch":
        st.selectbox(label, [False, True], format_func={False: "no", True: "yes"}.__getitem__, **shared)
    else:
        least, most = bounds(parameter)
        settings: dict[str, Any] = {"step": 1} if parameter.kind == "whole number" else {"format": "%g", "step": 0.05}
        if parameter.default is None:
            settings |= {"value": None, "placeholder": "auto"}
        st.number_input(label, least, most, **settings, **shared)
