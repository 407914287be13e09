"""The settings of an experiment: what they are called, their controls, and how far this server goes in them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app import state
from app.experiments.results import first_choices, most_of, too_much
from app.ui.setting_widget import setting_widget, widget_value
from cmcore.config import first_problem
from cmcore.experiments import EXPERIMENTS, Experiment
from cmcore.grids import GRIDS
from cmcore.settings import Setting, settings_of
from cmcore.targets import GALLERY

LABELS: Mapping[str, str] = {
    "amplitude": "Error a of the map",
    "amplitudes": "Errors a, on the line",
    "at_times": "Times t looked at",
    "atoms": "Atoms at random",
    "baselines": "Solvers of the exact score",
    "batch": "Batch",
    "calls": "Network calls",
    "case": "Law of a coordinate",
    "constants": "Step constants c, panel d",
    "delta": "Last time δ",
    "deltas": "Last times δ",
    "depth": "Hidden layers",
    "dims": "Dimensions d",
    "distance": "Distance D of the atoms",
    "earliest": "Earliest time renoised to",
    "eps": "Goal ε, KL ≤ ε²",
    "error": "Error e of the thresholds",
    "errors": "Score errors ε, panel c",
    "falling": "Score errors ε, panel b",
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
    "learned_jumps": "Jumps K of trained maps",
    "max_d": "Largest dimension d",
    "models": "Maps side by side",
    "most_calls": "Most calls of a solver",
    "most_steps": "Most jumps K",
    "n": "Samples behind a KL",
    "numbers": "Jumps N",
    "objectives": "Objectives of trained maps",
    "plane_amplitudes": "Errors a, in the plane",
    "points": "Points behind a map error",
    "renoise": "Fresh noise η, as a share",
    "repeats": "Draws of random signs",
    "samples": "Samples behind a KL",
    "sd": "Spread of each half",
    "seed": "Seed",
    "shares": "Fresh noise η, as shares",
    "short": "Short step’s c, panel b",
    "signs": "Signs of the errors",
    "spread": "Spread c of the data",
    "step": "Step h",
    "steps": "Training steps",
    "substeps": "Teacher's steps in a jump",
    "target": "Target",
    "times": "Second times tried",
    "training_steps": "Training steps",
    "trials": "Chains the search looks at",
    "usual": "Usual step’s c",
    "width": "Units in a layer",
}
"""What a field is called on the page, with its symbol; another goes by its title, or by its name in words."""
OWN_LABELS: Mapping[tuple[str, str], str] = {
    ("time_grids", "steps"): "Jumps K",
    ("perturbation", "jumps"): "Jumps K",
    ("renoising", "jumps"): "Jumps K",
    ("one_time", "jumps"): "Jumps K",
    ("semigroup_jumps", "jumps"): "Jumps K",
    ("lipschitz_grid", "jumps"): "Jumps K",
    ("along_the_run", "jumps"): "Jumps K",
    ("one_time", "grid"): "Time grid",
    ("along_the_run", "grid"): "Time grid",
    ("one_time", "error"): "Relative error ε of a jump",
    ("guidance", "case"): "Class",
    ("guidance", "sd"): "Spread σ of the class",
    ("guidance", "weight"): "Weight w of the densities",
    ("guidance", "weights"): "Weights w of the KL",
    ("paper_theorem", "error"): "Score error ε, panels d and e",
    ("paper_theorem", "shares"): "Fresh noise ρ = η/h, panel e",
}
"""Where one experiment means something else by the name."""
EFFORT = (
    *("Training steps", "Maps side by side", "Units in a layer", "Hidden layers", "Batch", "Points behind a map error"),
    *("Landings behind a KL", "Samples behind a KL", "Draws of random signs", "Second times tried"),
    *("Chains the search looks at", "Seed"),
)
"""What decides how well a question is answered, not what is asked: folded away."""


def experiment_settings(name: str) -> list[Setting]:
    """The settings of an experiment, those of the shipped answer as defaults, in the bounds of this server."""
    first, registered = first_choices(name), {"target": tuple(GALLERY), "grid": tuple(GRIDS)}
    settings = []
    for setting in settings_of(EXPERIMENTS[name]):
        field = setting.name
        label = setting.title or OWN_LABELS.get((name, field)) or LABELS.get(field, "")
        named = {"kind": "name", "choices": registered[field]} if field in registered else {}
        own = replace(setting, title=label, default=first[field], **named)
        settings.append(own.within(most_of(name, field)))
    return settings


def experiment_controls(name: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment as it is steered now, or a sentence on what does not fit."""
    asked, folded = st.container(), st.expander("Accuracy and seed")
    settings = experiment_settings(name)
    given = {}
    for setting in settings:
        with folded if setting.label in EFFORT else asked:
            given[setting.name] = _widget(name, setting, disabled=disabled)
    changed = any(state.value(field_key(name, s.name)) != widget_value(s, s.default) for s in settings)
    st.button(
        "Reset to the shipped settings",
        key=f"reset:{name}",
        on_click=_reset,
        args=(name,),
        disabled=disabled or not changed,
        width="stretch",
    )
    return _asked(name, given)


def one_field(name: str, field: str, *, disabled: bool) -> tuple[Experiment | None, str]:
    """The experiment steered by this field alone, with the shipped settings elsewhere, or a sentence."""
    setting = next(setting for setting in experiment_settings(name) if setting.name == field)
    return _asked(name, {**first_choices(name), field: _widget(name, setting, disabled=disabled)})


def field_key(name: str, field: str) -> str:
    """The key of the widget."""
    return f"experiment:{name}:{field}"


def _widget(name: str, setting: Setting, *, disabled: bool) -> Any:
    labels = {toy: GALLERY[toy].label for toy in GALLERY} if setting.name == "target" else None
    return setting_widget(setting, field_key(name, setting.name), disabled=disabled, labels=labels)


def _asked(name: str, given: dict[str, Any]) -> tuple[Experiment | None, str]:
    labels = {setting.name: setting.label for setting in experiment_settings(name)}
    try:
        question = EXPERIMENTS[name](**given)
    except ValueError as problem:
        field, words = first_problem(problem)
        return None, f"{labels[field.partition('.')[0]]}: {words}." if field else f"{words}."
    if refused := too_much(name, question):
        field, words = refused
        return None, f"{labels[field]}: {words}."
    return question, ""


def _reset(name: str) -> None:
    for setting in experiment_settings(name):
        state.set_value(field_key(name, setting.name), widget_value(setting, setting.default))
