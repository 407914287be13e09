"""Links that name runs of another session: what the runs were, what they travel as, and the way to train them again.

A link names one run (`run`, on Explore and Inside) or several (`runs`, on KL and Runs), and `config` holds how those
that only this session knows were trained: the code alone for one run, `run:code,run:code` for several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import state
from app.runs.library import all_runs, first_run, runs
from app.sharing.config_code import LONGEST, MACHINE, read_config, write_config
from app.sharing.readers import PARAMETER
from cmcore.config import TargetConfig, TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.settings import settings_of
from cmcore.targets import GALLERY

ONE = "run"
"""State key of the run on show; every other selection is of several runs."""
NETWORKS = {(64, 4): "small", (96, 6): "medium", (160, 6): "large"}
"""(width, depth) → what Train calls it."""
MOST_NAMED = 1_000
"""Runs that a link names; no address has room for more."""
MOST_OFFERED = 6
"""Runs of another session that one link offers, in no more characters together than the code of one may have."""


@dataclass(frozen=True)
class MissingRun:
    """A run of another session, as its link describes it.

    Attributes:
        run: its key there.
        code: what was learned and how, as :mod:`app.sharing.config_code` writes it.
    """

    run: str
    code: str
    target: TargetConfig
    config: TrainingConfig

    @property
    def out_of_reach(self) -> list[str]:
        """What of it Train has no control for."""
        shape = (self.config.network.width, self.config.network.depth)
        differs = {
            "network": shape not in NETWORKS,
            "horizon T": self.config.horizon != TrainingConfig.model_fields["horizon"].default,
            "budgets, one after the other,": any(plan.continued for plan in self.config.earlier),
            "target’s parameters": bool(set(self.target.parameters) - {"dim", "strokes"}),
        }
        return [name for name, does in differs.items() if does]

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


@dataclass(frozen=True)
class _Offer:
    """The runs that a link asked for and that are not here, and those shown in their place."""

    missing: tuple[MissingRun, ...]
    beside: tuple[str, ...]


# ---- reading ----------------------------------------------------------------------------------------------------
def extract_missing_runs(key: str, asked: dict[str, str], first: Sequence[str]) -> list[str]:
    """Take the runs that are not here out of what a link asks for, and offer to train them again.

    Args:
        key: of the state that holds the selection.
        asked: the link's parameters; what can be followed stays in it.
        first: the selection shown where none of those asked for is here.

    Returns:
        A sentence for each run that cannot be offered.
    """
    name = _parameter(key)
    if name not in asked:
        if state.went_back():
            _keep(key, None)
        return []
    names, available = [asked[name]] if key == ONE else asked[name].split(",", MOST_NAMED), runs()
    wanted = list(dict.fromkeys(part for part in names[:MOST_NAMED] if part))
    here = [run for run in wanted if run in available]
    missing, problems = _described([run for run in wanted if run not in available], _codes(key, asked))
    if names[MOST_NAMED:]:
        problems.append(f"This link names more than {MOST_NAMED:,} runs, and those after them are left out.")
    shown = here or [run for run in first if run in available]
    if wanted:
        asked.pop(name)
    if wanted and shown:
        asked[name] = shown[0] if key == ONE else ",".join(shown)
    _keep(key, _Offer(missing, () if here else tuple(first)) if missing else None)
    return problems


def _codes(key: str, asked: Mapping[str, str]) -> dict[str, str]:
    """The code of each run whose training came with the link."""
    text = asked.get("config", "")
    if key == ONE:
        return {asked[ONE]: text} if text else {}
    pairs = (part.rpartition(":") for part in text.split(",") if ":" in part)
    return {run: code for run, _, code in pairs}


def _described(missing: Sequence[str], codes: Mapping[str, str]) -> tuple[tuple[MissingRun, ...], list[str]]:
    described, problems = [], []
    for run in missing[:MOST_OFFERED]:
        if run not in codes:
            problems.append(_not_here(run))
            continue
        try:
            described.append(MissingRun(run[:80], codes[run], *read_config(codes[run])))
        except ValueError as problem:
            problems.append(f"This link shows a run of another session, and {problem}. It is left out.")
    if more := len(missing[MOST_OFFERED:]):
        problems.append(f"This link names {more} more runs of another session, which are left out.")
    return tuple(described), problems


def _not_here(run: str) -> str:
    if run in all_runs():
        return f"This link shows the run {all_runs()[run].label}, which you have hidden. Runs shows it again."
    return (
        f"One point of this link could not be followed: the run “{run[:40]}” is not here, and the link does not hold "
        "how it was trained. A table never travels in a link, nor what has no room in it."
    )


# ---- the offer --------------------------------------------------------------------------------------------------
def offered(key: str) -> tuple[MissingRun, ...]:
    """The runs that a link asked for and that are not here; for one run, until another is chosen."""
    offer = _offer(key)
    if offer and key == ONE and state.value(key) not in offer.beside:
        _keep(key, None)
        return ()
    return offer.missing if offer else ()


def others_stand_in(key: str) -> bool:
    """Whether none of the runs that the link asked for is here, so that others are shown in their place."""
    offer = _offer(key)
    return offer is not None and bool(offer.beside)


def join_when_trained(key: str, missing: MissingRun) -> None:
    """The run is going to be trained: once it is, it joins the selection that the link asked for."""
    offer = _offer(key)
    if key != ONE and offer:
        beside = [] if tuple(state.value(key)) == offer.beside else list(state.value(key))
        state.set_value("joins", (key, beside))
    decline(key, missing)


def decline(key: str, missing: MissingRun) -> None:
    """The offer of this run ends."""
    if offer := _offer(key):
        others = tuple(one for one in offer.missing if one != missing)
        _keep(key, _Offer(others, offer.beside) if others else None)


def _offer(key: str) -> _Offer | None:
    return state.value(f"unknown of {key}")


def _keep(key: str, offer: _Offer | None) -> None:
    state.set_value(f"unknown of {key}", offer)


def _parameter(key: str) -> str:
    return "run" if key == ONE else "runs"


# ---- writing ----------------------------------------------------------------------------------------------------
def with_training(key: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """The link's parameters, with what it takes to train again the runs that other sessions do not know."""
    codes, left = _packed(key)
    names, offer = _selected(key), _offer(key)
    if offer and offered(key):
        names = [] if tuple(names) == offer.beside else names
        names = [*names, *(one.run for one in offered(key))]
    parts = dict(wanted)
    if codes or left:  # also where they are what is shown first: elsewhere something else is
        parts[_parameter(key)] = ",".join(names)
    if codes:
        parts["config"] = codes[names[0]] if key == ONE else ",".join(f"{run}:{code}" for run, code in codes.items())
    return parts


def left_behind(key: str) -> list[str]:
    """A clause for each chosen run that other sessions do not know and whose training the link cannot hold."""
    return _packed(key)[1]


def _packed(key: str) -> tuple[dict[str, str], list[str]]:
    """Codes by run, as many as fit a link, and a clause for each run whose training does not."""
    codes, left = {one.run: one.code for one in offered(key)}, []
    for run in (runs()[name] for name in _selected(key) if name in runs()):
        if run.shipped or (key == ONE and codes):
            continue
        config = run.target.config
        code = write_config(config, run.model.config) if config else None
        room = LONGEST - sum(len(name) + len(taken) + 2 for name, taken in codes.items())
        if config is None:
            left.append(f"{run.label} (learned from a table, which never travels in a link)")
        elif code is None or len(codes) >= MOST_OFFERED or (key != ONE and len(run.key) + len(code) + 2 > room):
            left.append(f"{run.label} (no room for it)")
        else:
            codes[run.key] = code
    return codes, left


def _selected(key: str) -> list[str]:
    selected = state.value(key, first_run())
    return [selected] if key == ONE else list(selected)


def train_link(missing: MissingRun) -> Mapping[str, str]:
    """The same training as the link of Train writes it."""
    target, config = missing.target, missing.config
    wanted = {"drawing": str(target.parameters["strokes"])} if "strokes" in target.parameters else {}
    wanted = wanted or {"target": target.name}
    if "dim" in target.parameters:
        wanted["dim"] = str(target.parameters["dim"])
    if network := NETWORKS.get((config.network.width, config.network.depth)):
        wanted["network"] = network
    if config.seconds is not None and not config.steps:
        wanted["budget"] = f"{config.seconds:g}"
    wanted |= _written(TrainingConfig, config.model_dump(exclude={*MACHINE, "seconds"}))
    of_objective = _written(OBJECTIVES[config.objective], config.objective_parameters)
    return wanted | {PARAMETER + name: text for name, text in of_objective.items()}


def _written(kind: type, values: Mapping[str, Any]) -> dict[str, str]:
    """The numbers and words among these values that differ from the defaults, as a link writes them."""
    scalars = {name: value for name, value in values.items() if isinstance(value, int | float | str)}
    changed = [s for s in settings_of(kind) if s.name in scalars and scalars[s.name] != s.default]
    return {setting.name: setting.write(scalars[setting.name]) for setting in changed}
