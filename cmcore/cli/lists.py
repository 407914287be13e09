"""`cmcore targets`, `objectives`, `samplers`, `estimators`: what exists."""

from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from typing import Any

import click

from cmcore.cli.outcome import table, write_json

__all__ = ["estimators", "objectives", "samplers", "targets"]


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
            click.echo(table(("name", "what it is"), rows, left=2))

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
objectives = _listing("objectives", "objectives:OBJECTIVES", "List what a flow map can be learned from.", ("needs",))
samplers = _listing("samplers", "samplers:SAMPLERS", "List the ways to draw.", ("needs",))
estimators = _listing("estimators", "divergences:ESTIMATORS", "List the ways to measure a divergence.")
