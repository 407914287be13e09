"""Runs of this session as they were trained, and what the next one changes; one seed begins from the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import state
from app.controls.target import Choice
from app.live import LiveKL, Progress
from app.runs import Run, add_run, own_runs
from cmcore.config import TrainingConfig
from cmcore.model import TrainedModel
from cmcore.objectives import OBJECTIVES

__all__ = ["Trained", "again_in_words", "changes", "keep_run", "run_before", "settings_in_words"]


@dataclass(frozen=True)
class Trained:
    """A run of this session with what was seen while it was trained.

    Attributes:
        run: as the other pages know it.
        key: of the target.
        config: as it was asked for.
        curve: (step, loss).
        kl: what was measured on the way.
    """

    run: Run
    key: str
    config: TrainingConfig
    curve: Sequence[tuple[int, float]]
    kl: Sequence[LiveKL]

    @property
    def can_go_on(self) -> bool:
        """Whether it was stopped with steps left, and with what going on needs."""
        model = self.run.model
        left = model.config.steps is None or model.steps < model.config.steps
        return model.status == "stopped" and left and bool(model.resume_state)


def keep_run(choice: Choice, config: TrainingConfig, progress: Progress, model: TrainedModel) -> Trained:
    """The run joins the runs of this session."""
    run = add_run(choice.name, choice.label, model)
    trained = Trained(run, choice.key, config, progress.curve, progress.kl)
    known, own = state.kept("trained"), own_runs()
    known[run.key] = trained
    for gone in known.keys() - own.keys():  # what the session no longer keeps takes no memory here either
        del known[gone]
    return trained


def run_before(key: str) -> Trained | None:
    """The last run that learned this target."""
    return next((t for t in reversed(state.kept("trained").values()) if t.key == key), None)


def changes(new: TrainingConfig, old: TrainingConfig) -> list[tuple[str, str, str]]:
    """What differs: name, new value, old value."""
    pairs = zip(settings_in_words(new), settings_in_words(old), strict=True)
    return [(name, value, before) for (name, value), (_, before) in pairs if value != before]


def settings_in_words(config: TrainingConfig) -> list[tuple[str, str]]:
    """What decides a run, by name."""
    parameters = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in config.objective_parameters.items())
    return [
        ("Objective", OBJECTIVES[config.objective].label),
        ("Its parameters", parameters or "defaults"),
        ("Budget", f"{config.steps:,} steps" if config.steps else f"{config.seconds:g} s"),
        ("Network", f"{config.network.depth} × {config.network.width}"),
        ("Seed", str(config.seed)),
        ("δ", "the target's" if config.delta is None else f"{config.delta:g}"),
    ]


def again_in_words(new: TrainingConfig, old: TrainingConfig) -> str:
    """What training with `new` after `old` would share with it, and what it would change."""
    changed = changes(new, old)
    if not changed:
        return (
            "Nothing is changed: this repeats the run before, for as many steps as the machine then makes."
            if (new.steps is None)
            else "Nothing is changed: this repeats the run before."
        )
    listed = ", ".join(f"{name[:1].lower()}{name[1:]} {value}" for name, value, _ in changed)
    same = new.seed == old.seed and new.network == old.network
    begins = "The same initial weights and noise as the run before" if same else "Other initial weights"
    return f"{begins}; changed: {listed}."
