"""`cmcore targets`, `objectives`, `samplers`, `estimators`: what exists."""

from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from typing import TYPE_CHECKING, Any

import click

from cmcore.cli.outcome import say, table, write_json

if TYPE_CHECKING:
    from cmcore.objectives import Objective


def _listing(name: str, registry: str, summary: str, facts: tuple[str, ...] = ()) -> click.Command:
    """The command `name`, which lists cmcore.MODULE:REGISTRY with these facts of each entry."""
    module, _, attribute = registry.partition(":")

    @click.command(name, help=f"{summary} --json says more.")
    @click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
    def listing(as_json: bool) -> None:
        entries: Mapping[str, Any] = getattr(import_module(f"cmcore.{module}"), attribute)
        if as_json:
            write_json([_in_full(key, entry, facts) for key, entry in entries.items()])
        else:
            rows = [(key, _description(entry)) for key, entry in entries.items()]
            say(table(("name", "what it is"), rows, left=2))

    return listing


def _in_full(name: str, entry: Any, facts: tuple[str, ...]) -> dict[str, Any]:
    more = {fact: getattr(entry, fact) for fact in facts}
    if "__dataclass_fields__" in dir(entry) and isinstance(entry, type):
        more["parameters"] = {field.name: field.default for field in entry.__dataclass_fields__.values()}
    return {"name": name, "description": _description(entry), **more}


def _description(entry: Any) -> str:
    """What an entry says of itself: its description, else the first line of its docstring."""
    return getattr(entry, "description", None) or (getdoc(entry) or "").partition("\n")[0]


targets = _listing("targets", "targets:GALLERY", "List the gallery's targets.", ("dims", "smooth", "parameters"))


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with all parameters.")
def objectives(name: str | None, as_json: bool) -> None:
    """List the ways to learn a flow map; with NAME, one of them with its parameters and their defaults.

    A parameter is set with `cmcore train -o PARAMETER=VALUE`.
    """
    from cmcore.objectives import OBJECTIVES

    if name is not None:
        kind = OBJECTIVES[name]
        write_json(_objective(name, kind)) if as_json else say(_objective_in_words(name, kind))
    elif as_json:
        write_json([_objective(key, kind) for key, kind in OBJECTIVES.items()])
    else:
        every = sorted(OBJECTIVES.items(), key=lambda item: item[1].building_block)
        rows = [[_objective(key, kind)[fact] for fact in FACTS] for key, kind in every]
        say(table(FACTS, rows, left=len(FACTS)))


FACTS = ("name", "label", "needs", "jumps", "description")
"""What the list says of each objective."""


def _objective(name: str, kind: "type[Objective]") -> dict[str, Any]:
    """What there is to know of one objective, as it is by default."""
    from cmcore.objectives.describe import NEEDS_IN_WORDS, parameters_of, summary

    plain = kind()
    jumps = "DDIM steps" if plain.velocity_only else "t → δ" if plain.single_time else "t → s"
    return {
        "name": name,
        "label": kind.label,
        "needs": NEEDS_IN_WORDS[plain.needs],
        "jumps": jumps,
        "two_time": not (plain.velocity_only or plain.single_time),
        "building_block": kind.building_block,
        "description": summary(kind),
        "parameters": {p.name: p.default for p in parameters_of(kind)},
    }


def _objective_in_words(name: str, kind: "type[Objective]") -> str:
    """Label, needs, docstring, and a row for each parameter."""
    from cmcore.objectives.describe import parameters_of

    facts = _objective(name, kind)
    head = ("parameter", "default", "values", "what it is")
    rows = [
        (p.name, "decided by the run" if p.default is None else str(p.default), ", ".join(p.choices) or p.kind, p.help)
        for p in parameters_of(kind)
    ]
    learns = "" if facts["two_time"] else f" Jumps learned: {facts['jumps']}."
    return "\n\n".join(
        (
            f"{name}: {facts['label']}. Needs {facts['needs']}.{learns}",
            (getdoc(kind) or "").strip(),
            table(head, rows, left=len(head)),
        )
    )


samplers = _listing("samplers", "samplers:SAMPLERS", "List the ways to draw.", ("needs", "noisy", "calls_per_jump"))
estimators = _listing("estimators", "divergences:ESTIMATORS", "List the ways to measure a divergence.")
