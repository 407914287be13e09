"""Runs of this session as they were trained, and what the next one changes; one seed begins from the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import state
from app.runs.library import Run, own_runs
from app.training.job import LiveKL
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES


@dataclass(frozen=True)
class Trained:
    """A run of this session with what was seen while it was trained.

    Attributes:
        run: as the other pages know it.
        key: of the target.
        config: as it was asked for.
        curve: (step, loss).
        kl: what was measured on the way, oldest first.
        continued: whether it went on from another run.
    """

    run: Run
    key: str
    config: TrainingConfig
    curve: Sequence[tuple[int, float]]
    kl: Sequence[LiveKL]
    continued: bool = False


def remember_trained(trained: Trained) -> None:
    """The next run of this session can be compared with it, as long as the session has the run."""
    runs, own = state.session_dict("trained"), own_runs()
    runs[trained.run.key] = trained
    for gone in runs.keys() - own.keys():  # what the session no longer keeps takes no memory here either
        del runs[gone]


def run_before(key: str) -> Trained | None:
    """The last run that learned this target from the start."""
    return next((t for t in reversed(state.session_dict("trained").values()) if t.key == key and not t.continued), None)


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
        ("Budget", budget_in_words(config)),
        ("Network", f"{config.network.depth} × {config.network.width}"),
        ("Seed", str(config.seed)),
        ("δ", "the target's" if config.delta is None else f"{config.delta:g}"),
    ]


def budget_in_words(config: TrainingConfig) -> str:
    """20 s, or 400 steps."""
    return f"{config.steps:,} steps" if config.steps else f"{config.seconds:.3g} s"


def shared_start_in_words(new: TrainingConfig, old: TrainingConfig) -> str:
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
