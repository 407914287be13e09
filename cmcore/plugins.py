"""Targets, objectives and samplers of one's own, from installed packages that name them as entry points.

A package says in its pyproject.toml

    [project.entry-points."consistency_lab.targets"]
    my_targets = "my_package.targets"

and that module registers what it defines, as a file of the lab's would. A plug-in is code that whoever runs the lab has
installed: nothing is loaded from a link, a run or a file. One that fails is left out, and :func:`problems` says why.
"""

import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cmcore.registry import Registry

_problems: list[str] = []
LONGEST = 200
"""Letters of what a plug-in that fails says of it."""


def problems() -> tuple[str, ...]:
    """A sentence for each plug-in that was left out."""
    return tuple(_problems)


def load_plugins(registry: Registry[Any], is_one: Callable[[Any], bool]) -> None:
    """Load the plug-ins of a registry's kind.

    Args:
        registry: takes what they register, after the lab's own.
        is_one: whether a thing is of the registry's kind.
    """
    for entry in sorted(entry_points(group=f"consistency_lab.{registry.noun}s"), key=lambda entry: entry.name):
        name = _named(entry)
        before = set(registry)
        with registry.loading(name):
            try:
                entry.load()
                wrong = [one for one in registry if one not in before and not is_one(registry[one])]
                why = f"{wrong[0]!r} is no {registry.noun}" if wrong else ""
            except Exception as problem:  # noqa: BLE001  whatever another's code does, the lab opens without it
                why = f"{type(problem).__name__}: {problem}"
        if why:
            registry.drop(set(registry) - before)
            words = " ".join(why.split())[:LONGEST].rstrip(".")
            _problems.append(f"The plug-in {name} is left out: {words}.")
            warnings.warn(_problems[-1], RuntimeWarning, stacklevel=2)


def _named(entry: EntryPoint) -> str:
    """The package and its version, or what the plug-in is called where there is none."""
    package = entry.dist
    return f"{package.name} {package.version}" if package is not None else entry.name
