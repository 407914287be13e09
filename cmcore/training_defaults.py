"""What a training config leaves open: δ, the rates, the batch and the network's form, as its objective trains well."""

from collections.abc import Mapping

from cmcore.config import TrainingConfig
from cmcore.objectives import Objective, make_objective
from cmcore.targets import Described

RATES: Mapping[str, float] = {"learning_rate": 5e-3, "matrix_learning_rate": 3e-2, "average": 0.998}
"""The optimiser's settings where neither the config nor the objective says otherwise."""
BATCH = 1024


def resolved(config: TrainingConfig, target: Described) -> TrainingConfig:
    """The config with δ, the rates and the network's form filled in; refuses what cannot be learned from the target.

    The target need not be made: its entry in the gallery says enough.
    """
    objective = make_objective(config.objective, **config.objective_parameters)
    delta = target.default_delta if config.delta is None else config.delta
    settings = {**RATES, "batch": BATCH, **objective.settings}
    filled = {name: value for name, value in settings.items() if getattr(config, name) is None}
    network = {
        **config.network.model_dump(),
        "second_time": not objective.velocity_only,
        "preconditioning": config.network.preconditioning or objective.preconditioning,
        "experts": config.network.experts or objective.experts,
    }
    config = TrainingConfig(**{**config.model_dump(), **filled, "delta": delta, "network": network})
    objective.check(target, delta)
    objective.check_batch(config.batch or BATCH)
    objective.check_times(config.horizon, delta)
    _check_teacher(objective, config.steps)
    if delta == 0 and not target.smooth:
        raise ValueError(
            f"{target.name} is not smooth: its exact flow cannot be followed to time 0. "
            f"Stop early, at some δ > 0 such as {target.default_delta or 0.01:g}."
        )
    return config


def _check_teacher(objective: Objective, steps: int | None) -> None:
    """Refuse a teacher whose share of the run comes to no step."""
    asked = objective.parameters().get("teacher_steps")
    if objective.teacher_share and steps is not None and asked is None and round(objective.teacher_share * steps) < 1:
        raise ValueError(
            f"A teacher_budget of {objective.teacher_share:g} of {steps:,} steps comes to no step, so no velocity "
            "would be learned: take a larger share, or say teacher_steps."
        )
