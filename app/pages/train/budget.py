"""By which objective, how long and with what to train."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import cmcore as cm
from app import state
from app.hosting.limits import limits
from app.pages.train.objective import objective_controls
from app.training.budgets import BUDGETS, budgets
from cmcore.config import NetworkConfig, TrainingConfig

FIRST_BUDGET, FIRST_NETWORK = 20, "medium"
NETWORKS = {
    "small": ("Small, 4 × 64", NetworkConfig(width=64, depth=4)),
    "medium": ("Medium, 6 × 96", NetworkConfig()),
    "large": ("Large, 6 × 160", NetworkConfig(width=160)),
}
DELTAS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)


def networks() -> list[str]:
    """The networks that this server allows."""
    return [name for name, (_, network) in NETWORKS.items() if network.width <= limits().width]


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
    first = FIRST_BUDGET if FIRST_BUDGET in offered else offered[-1]
    state.set_default("budget", first, allowed=offered)
    seconds = st.select_slider(
        "Budget",
        offered,
        format_func=BUDGETS.__getitem__,
        key="budget",
        disabled=disabled,
        persist_state="session",
    )
    for key, first in (("network", FIRST_NETWORK), ("train_steps", None), ("train_seed", 0)):
        state.set_default(key, first)
    with folded.expander("Network, steps, seed"):
        preset = st.selectbox(
            "Network",
            networks(),
            format_func=lambda name: NETWORKS[name][0],
            key="network",
            disabled=disabled,
            persist_state="session",
        )
        steps = st.number_input(
            "Steps instead of seconds",
            1,
            limits().steps,
            placeholder="as many as fit the budget",
            key="train_steps",
            disabled=disabled,
            persist_state="session",
        )
        seed = st.number_input("Seed", 0, 2**31 - 1, key="train_seed", disabled=disabled, persist_state="session")
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
    budget: dict[str, Any] = {"steps": int(steps)} if steps else {"seconds": float(seconds)}
    return TrainingConfig(
        objective=objective,
        objective_parameters=parameters,
        network=NETWORKS[preset][1],
        seed=int(seed),
        delta=delta,
        threads=limits().threads,
        **budget,
    )
