"""A link to a run that this server does not know: what it was, and the way to train it again."""

from collections.abc import Mapping
from dataclasses import dataclass

from app import state
from app.links.config_code import read_config
from app.links.readers import PARAMETER
from app.parameters import write
from cmcore.config import TargetConfig, TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.about import parameters_of
from cmcore.targets import GALLERY

__all__ = ["Unknown", "drop_unknown", "keep_unknown", "train_link", "unknown_run"]

KEY = "unknown run"
NETWORKS = {(64, 4): "small", (96, 6): "medium", (160, 6): "large"}
"""(width, depth) → what Train calls it."""


@dataclass(frozen=True)
class Unknown:
    """A run of another session, as its link describes it.

    Attributes:
        run: its key there.
        code: what was learned and how, as :mod:`app.links.config_code` writes it.
        beside: the run that is shown in its place; with another choice the offer ends.
    """

    run: str
    code: str
    beside: str
    target: TargetConfig
    config: TrainingConfig

    @property
    def words(self) -> str:
        """What it was, for people."""
        toy = GALLERY.get(self.target.name)
        objective = OBJECTIVES[self.config.objective].label
        effort = f"{self.config.steps:,} steps" if self.config.steps else f"{self.config.seconds:g} s"
        return (
            f"{toy.label if toy else self.target.name.replace('_', ' ')}, learned by {objective} "
            f"in {effort}, seed {self.config.seed}"
        )


def keep_unknown(run: str, code: str, *, beside: str) -> None:
    """Offer to train this run again; a ValueError says why it cannot be."""
    target, config = read_config(code)
    state.choose(KEY, Unknown(run[:80], code, beside, target, config))


def unknown_run() -> Unknown | None:
    """The run that a link asked for and that is not here, until another is chosen."""
    found: Unknown | None = state.value(KEY)
    if found is not None and state.value("run") != found.beside:
        drop_unknown()
        return None
    return found


def drop_unknown() -> None:
    """The offer ends."""
    state.choose(KEY, None)


def train_link(unknown: Unknown) -> Mapping[str, str]:
    """The same training as the link of Train writes it."""
    target, config = unknown.target, unknown.config
    wanted = {"drawing": str(target.parameters["strokes"])} if "strokes" in target.parameters else {}
    wanted = wanted or {"target": target.name}
    if "dim" in target.parameters:
        wanted["dim"] = str(target.parameters["dim"])
    wanted |= {"objective": config.objective, "seed": str(config.seed)}
    wanted |= {"steps": str(config.steps)} if config.steps else {"budget": f"{config.seconds:g}"}
    if network := NETWORKS.get((config.network.width, config.network.depth)):
        wanted["network"] = network
    if config.delta is not None:
        wanted["delta"] = f"{config.delta:g}"
    known = {parameter.name: parameter.default for parameter in parameters_of(OBJECTIVES[config.objective])}
    told = {n: v for n, v in config.objective_parameters.items() if n in known and known[n] != v}
    return wanted | {PARAMETER + name: write(value) for name, value in told.items()}
