"""A run in words and numbers: what it learned, by what, how it ended, and how far from the truth it is."""

from collections.abc import Mapping

import streamlit as st

from app.figures.thumbnail import thumbnail
from app.kl.question import Question
from app.runs.library import Run
from app.runs.names import learned_by
from app.stage.scene import shown_samples
from app.ui.cards import number
from cmcore.model import count_weights
from cmcore.sampling_defaults import delta_for, sampling_defaults
from cmcore.training import FEW_STEPS


def ended(run: Run) -> str:
    """How the training ended, where it did not simply finish, and whether it came to too little."""
    ending = {"stopped": "stopped early", "diverged": "diverged; the last good weights"}.get(run.model.status, "")
    few = "too few steps to be worth looking at" if run.model.steps < FEW_STEPS else ""
    return " · ".join(filter(None, (ending, few)))


def weights(run: Run) -> int:
    """How many parameters the network has."""
    return count_weights(run.model.dim, run.model.config.network)


@st.cache_data(max_entries=256, show_spinner=False)
def picture(key: str, colour: str, _run: Run) -> str:
    """The target as a small picture, a data URI."""
    return thumbnail(shown_samples(_run.target, 160), colour)


def own_question(run: Run, steps: int) -> Question:
    """The KL of the run's own way of drawing, in so many jumps to the δ that goes with it."""
    own, horizon = sampling_defaults(run.model.config), run.model.horizon
    delta = delta_for(own.sampler, run.model.delta)
    return Question.on_grid(own.sampler, steps, own.direction, delta, horizon=horizon, renoise=own.renoise)


# ---- settings side by side --------------------------------------------------------------------------------------
def settings(run: Run) -> dict[str, str]:
    """Everything that a run was trained with, and what came of it, by its name in words."""
    config, model = run.model.config, run.model
    network = config.network
    words = {
        "Target": run.target.name.replace("_", " "),
        **({name: _written(v) for name, v in run.target.config.parameters.items()} if run.target.config else {}),
        "Dimension d": str(model.dim),
        "Objective": learned_by(config),
        **{name.replace("_", " "): _written(value) for name, value in config.objective_parameters.items()},
        "Network": f"{network.depth} × {network.width}",
        "Parameters": f"{weights(run):,}",
        "Experts": str(run.model.flow_map.experts.count),
        "Preconditioning": network.preconditioning or "trig",
        "Space frequencies": _written(network.space_frequencies),
        "Time frequencies": _written(network.time_frequencies),
        "Steps done": f"{model.steps:,}",
        "Steps planned": "—" if config.steps is None else f"{config.steps:,}",
        "Seconds": f"{model.seconds:.1f}",
        "Batch": _written(config.batch),
        "Horizon T": _written(config.horizon),
        "Earliest time δ": _written(model.delta),
        "Optimiser": config.optimizer,
        "Adam’s rate": _written(config.learning_rate),
        "Muon’s rate": _written(config.matrix_learning_rate),
        "Warm-up": _written(config.warmup),
        "Average": _written(config.average),
        "Seed": str(config.seed),
        "Matmul precision": config.matmul_dtype,
        "Threads": str(config.threads or "chosen by a probe"),
        "Device": model.device,
        "Ended": model.status,
    }
    words.pop("velocity", None)  # part of the objective's words
    return words


def differences(runs: Mapping[str, Run]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Settings in which these runs differ, a value for each; and those that they share."""
    columns = [settings(run) for run in runs.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = {name: [column.get(name, "—") for column in columns] for name in names}
    differ = {name: row for name, row in rows.items() if len(set(row)) > 1}
    return differ, {name: row[0] for name, row in rows.items() if name not in differ}


def _written(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, float):
        return number(value) if value else "0"
    if isinstance(value, list | tuple):
        return ", ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value) or "none"
    return str(value)
