"""The link of Train: what is about to be learned."""

from collections.abc import Mapping

from app import state
from app.links.readers import PARAMETER, one_of, refused
from app.parameters import chosen, families_first, key_of, read, write
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.about import parameters_of
from cmcore.targets import GALLERY

__all__ = ["open_train_link", "write_train_link"]

FIRST_TARGET = "moons"


def open_train_link() -> list[str]:
    """The same for Train: the target of the gallery, the objective, and its parameters."""
    state.remember("toy", FIRST_TARGET, allowed=GALLERY)
    state.remember("objective", families_first()[0], allowed=OBJECTIVES)
    if not state.takes_link("train"):
        return []
    problems, asked = [], state.link()
    for name, key, known, noun in (
        ("target", "toy", GALLERY, "the target"),
        ("objective", "objective", OBJECTIVES, "the objective"),
    ):
        try:
            if name in asked:
                state.choose(key, one_of(lambda known=known: known, noun)(asked[name]))
        except ValueError as problem:
            problems.append(refused(problem))
    if asked.get("objective", state.value("objective")) == state.value("objective"):  # else they are another's
        problems += _open_parameters({name: text for name, text in asked.items() if name.startswith(PARAMETER)})
    return problems


def _open_parameters(asked: Mapping[str, str]) -> list[str]:
    objective = state.value("objective")
    known = {PARAMETER + parameter.name: parameter for parameter in parameters_of(OBJECTIVES[objective])}
    problems = []
    for name, text in asked.items():
        try:
            if name not in known:
                raise ValueError(f"{OBJECTIVES[objective].label} has no parameter “{name[len(PARAMETER) :][:40]}”")
            state.choose(key_of(objective, known[name].name), read(known[name], text))
        except ValueError as problem:
            problems.append(refused(problem))
    return problems


def write_train_link() -> None:
    """Mirror what is about to be learned in the address bar."""
    objective = state.value("objective")
    wanted = {}
    if state.value("source", "Gallery") == "Gallery" and state.value("toy") != FIRST_TARGET:
        wanted["target"] = state.value("toy")
    if objective != families_first()[0]:
        wanted["objective"] = objective
    wanted |= {PARAMETER + name: write(value) for name, value in chosen(objective).items()}
    state.set_link(wanted)
