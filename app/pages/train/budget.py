"""By which objective, how long and with what to train."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import cmcore as cm
from app import state
from app.hosting.limits import limits
from app.pages.train.objective import objective_controls
from app.training.budgets import BUDGETS, budgets
from app.ui.setting_widget import setting_widget
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.settings import Setting, settings_of

FIRST_NETWORK = "medium"
NETWORKS = {
    "small": ("Small, 4 × 64", NetworkConfig(width=64, depth=4)),
    "medium": ("Medium, 6 × 96", NetworkConfig()),
    "large": ("Large, 6 × 160", NetworkConfig(width=160)),
}
DELTAS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)
OPTIONS = tuple(setting for setting in settings_of(TrainingConfig) if setting.title)
"""Further settings of a training that the page offers, and its link holds: the fields with a title."""


def networks() -> list[str]:
    """The networks that this server allows."""
    return [name for name, (_, network) in NETWORKS.items() if network.width <= limits().width]


def first_budget() -> int:
    """Seconds of training before anybody chose: 20, where this server allows it."""
    return 20 if 20 in budgets() else budgets()[-1]


def options() -> list[Setting]:
    """The further settings, in the bounds of this server."""
    now = limits()
    return [setting.within(getattr(now, setting.name, None)) for setting in OPTIONS]


def option_key(name: str) -> str:
    """The key of the widget of a further setting."""
    return f"train_{name}"


def delta_key(*, smooth: bool) -> str:
    """Under which key the page holds δ: what is not smooth cannot be learned down to 0, and keeps a δ of its own."""
    return "train_delta" if smooth else "train_delta_rough"


def first_delta(*, smooth: bool) -> float:
    """δ before anybody chose one."""
    return 0.0 if smooth else 0.01


def training_controls(target: cm.Target, folded: DeltaGenerator, *, disabled: bool) -> TrainingConfig:
    """The objective and the budget, and folded away what else decides the result."""
    objective, parameters = objective_controls(folded, disabled=disabled)
    offered = budgets()
    state.set_default("budget", first_budget(), allowed=offered)
    seconds = st.select_slider(
        "Budget",
        offered,
        format_func=BUDGETS.__getitem__,
        key="budget",
        disabled=disabled,
        persist_state="session",
    )
    state.set_default("network", FIRST_NETWORK)
    with folded.expander("Network, steps, seed"):
        preset = st.selectbox(
            "Network",
            networks(),
            format_func=lambda name: NETWORKS[name][0],
            key="network",
            disabled=disabled,
            persist_state="session",
        )
        chosen = {s.name: setting_widget(s, option_key(s.name), disabled=disabled) for s in options()}
        deltas = [delta for delta in DELTAS if target.smooth or delta > 0]
        state.set_default(delta_key(smooth=target.smooth), first_delta(smooth=target.smooth), allowed=deltas)
        delta = st.select_slider(
            "Learn down to δ",
            deltas,
            format_func=lambda delta: f"{delta:g}",
            key=delta_key(smooth=target.smooth),
            disabled=disabled,
            persist_state="session",
        )
        if not target.smooth:
            st.caption(
                "This target is not smooth: its exact flow cannot be followed to time 0, so learning stops at δ > 0."
            )
    given = {name: value for name, value in chosen.items() if value is not None}
    return TrainingConfig(
        objective=objective,
        objective_parameters=parameters,
        network=NETWORKS[preset][1],
        delta=delta,
        threads=limits().threads,
        seconds=None if "steps" in given else float(seconds),
        **given,
    )
