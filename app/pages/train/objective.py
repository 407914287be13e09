"""What a map is learned by: an objective, where its velocity comes from, and its other settings."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.hosting.limits import limits
from app.pages.train.objective_guide import objective_guide_button
from app.quoting import escape
from app.ui.setting_widget import setting_widget
from app.ui.single_choice import single_choice
from cmcore.objectives import OBJECTIVES, Objective
from cmcore.objectives.describe import NEEDS_IN_WORDS, in_groups, parameters_of, summary
from cmcore.sampling_defaults import defaults_of
from cmcore.settings import Setting

VELOCITIES = {
    "exact": "Exact score",
    "learned": "Learned from samples",
    "conditional": "Pairs of data and noise",
    "averaged": "Pairs, averaged over the batch",
    "self": "The map's own",
}


def objective_names() -> list[str]:
    """Names of the objectives by what they need, those to compose one's own from last."""
    return [name for group in in_groups().values() for name in group]


def objective_settings(objective: str) -> list[Setting]:
    """The settings of an objective, in the bounds of this server."""
    most = {name: cap for name, (cap, _) in limits().of_objective.items()}
    return [
        replace(setting, title=setting.name.replace("_", " ")).within(most.get(setting.name))
        for setting in parameters_of(OBJECTIVES[objective])
    ]


def key_of(objective: str, setting: str) -> str:
    """The key of the widget."""
    return f"parameter:{objective}:{setting}"


def changed_settings(objective: str) -> dict[str, Any]:
    """The settings that differ from the defaults and matter, as `make_objective` takes them."""
    settings = objective_settings(objective)
    values = _values(objective, settings)
    return {s.name: values[s.name] for s in settings if values[s.name] != s.default and s.matters(values)}


def objective_controls(folded: DeltaGenerator, *, disabled: bool) -> tuple[str, dict[str, Any]]:
    """The chosen objective and those of its settings that differ from its defaults; most of them `folded` away."""
    names = objective_names()
    state.set_default("objective", names[0], allowed=names)
    name = st.selectbox(
        "Objective",
        names,
        format_func=_label,
        key="objective",
        disabled=disabled,
        persist_state="session",
    )
    objective_guide_button(disabled=disabled)
    settings = objective_settings(name)
    about = st.container()
    for setting in settings:
        if setting.name == "velocity" and len(setting.choices) > 1:
            _velocity(name, setting, disabled=disabled)
    values = _values(name, settings)
    others = [setting for setting in settings if setting.name != "velocity" and setting.matters(values)]
    changed = changed_settings(name)
    with folded.expander("Parameters of the objective" + (" (changed)" if set(changed) - {"velocity"} else "")):
        for pair in zip_longest(others[::2], others[1::2]):
            for column, setting in zip(st.columns(2, gap="small"), pair, strict=True):
                if setting is not None:
                    with column:
                        setting_widget(setting, key_of(name, setting.name), disabled=disabled)
        st.button(
            "Reset to defaults", key="reset", on_click=_reset, args=(name,), disabled=disabled or not changed,
            width="stretch",
        )  # fmt: skip
    about.html(_about(OBJECTIVES[name], values))
    return name, changed_settings(name)


def _values(objective: str, settings: list[Setting]) -> dict[str, Any]:
    return {setting.name: state.value(key_of(objective, setting.name), setting.default) for setting in settings}


def _reset(objective: str) -> None:
    for setting in objective_settings(objective):
        state.set_value(key_of(objective, setting.name), setting.default)


def _label(name: str) -> str:
    kind = OBJECTIVES[name]
    return f"Compose your own: {kind.label}" if kind.building_block else kind.label


def _about(kind: type[Objective], values: Mapping[str, Any]) -> str:
    """What it needs and learns, and its first sentence."""
    facts = f"Needs {needs_in_words(kind, values)}."
    if learned := defaults_of(_with_velocity(kind, values)).learned:
        facts += f" Learns {learned}."
    name = next((name for name, one in OBJECTIVES.items() if one is kind), "")
    whose = f" From the plug-in {OBJECTIVES.origins[name]}." if name in OBJECTIVES.origins else ""
    return f'<p class="choice"><b>{escape(facts)}</b> {escape(summary(kind) + whose)}</p>'


def needs_in_words(kind: type[Objective], values: Mapping[str, Any]) -> str:
    """What it asks of the world, with its velocity from where it was chosen to come from."""
    return NEEDS_IN_WORDS[_with_velocity(kind, values).needs]


def _with_velocity(kind: type[Objective], values: Mapping[str, Any]) -> Objective:
    """The objective with this velocity and these ends, on which what it needs and learns depend."""
    make: Any = kind
    return make(**{name: values[name] for name in ("velocity", "ends") if name in values})


def _velocity(objective: str, setting: Setting, *, disabled: bool) -> None:
    key = key_of(objective, setting.name)
    if len(setting.choices) == 2:
        single_choice(
            "Velocity", setting.choices, width="stretch", format_func=VELOCITIES.__getitem__, key=key, disabled=disabled
        )
    else:
        setting_widget(setting, key, disabled=disabled, labels=VELOCITIES)
