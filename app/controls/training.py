"""By which objective, how long and with what to train."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import cmcore as cm
from app.controls.objective import objective_controls
from app.parameters import MOST_STEPS
from cmcore.config import NetworkConfig, TrainingConfig

__all__ = ["training_controls"]

BUDGETS = {5: "5 s", 10: "10 s", 20: "20 s", 60: "1 min", 120: "2 min", 300: "5 min"}
NETWORKS = {
    "small": ("Small, 4 × 64", NetworkConfig(width=64, depth=4)),
    "medium": ("Medium, 6 × 96", NetworkConfig()),
    "large": ("Large, 6 × 160", NetworkConfig(width=160)),
}
DELTAS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)


def training_controls(target: cm.Target, folded: DeltaGenerator, *, disabled: bool) -> TrainingConfig:
    """The objective and the budget, and folded away what else decides the result."""
    objective, parameters = objective_controls(folded, disabled=disabled)
    seconds = st.select_slider(
        "Budget",
        list(BUDGETS),
        value=20,
        format_func=BUDGETS.__getitem__,
        key="budget",
        disabled=disabled,
        persist_state="session",
    )
    with folded.expander("Network, steps, seed"):
        preset = st.selectbox(
            "Network",
            list(NETWORKS),
            index=1,
            format_func=lambda name: NETWORKS[name][0],
            key="network",
            disabled=disabled,
            persist_state="session",
        )
        steps = st.number_input(
            "Steps instead of seconds",
            1,
            MOST_STEPS,
            value=None,
            placeholder="as many as fit the budget",
            key="train_steps",
            disabled=disabled,
            persist_state="session",
        )
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="train_seed", disabled=disabled, persist_state="session")
        deltas = [delta for delta in DELTAS if target.smooth or delta > 0]
        delta = st.select_slider(
            "Learn down to δ",
            deltas,
            value=0.0 if target.smooth else 0.01,
            format_func=lambda delta: f"{delta:g}",
            key="train_delta" if target.smooth else "train_delta_rough",
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
        **budget,
    )
