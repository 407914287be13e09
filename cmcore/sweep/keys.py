"""The keys of a sweep: what may vary, how it is written, and what a cell's value of it is.

``target`` and its ``parameters.NAME``, ``objective`` and its ``objective_parameters.NAME``, ``network.FIELD``, and
``training.FIELD``; ``seed``, ``delta``, ``horizon``, ``steps`` and ``seconds`` may be written without ``training.``.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.objectives import make_objective
from cmcore.sweep.cell import Cell
from cmcore.targets import GALLERY

OPEN = ("parameters", "objective_parameters")
"""Tables whose names are those of the target and of the objective."""
ELSEWHERE = {"objective", "objective_parameters", "network", "seed", "threads"}
WRITTEN = {
    **{name: f"training.{name}" for name in ("delta", "horizon", "steps", "seconds")},
    **{f"training.{name}": name for name in ("objective", "seed")},
    "training.products": "training.matmul_dtype",  # as sweeps of before call it
}
KEYS = (
    *("target", "objective", "seed"),
    *(f"training.{name}" for name in TrainingConfig.model_fields if name not in ELSEWHERE),
    *(f"network.{name}" for name in NetworkConfig.model_fields if name != "second_time"),
)
"""The keys with a fixed name. Cells are trained on one thread each, and the objective says whether F sees two times."""


def flattened(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The entries of a table, those of a table in it under dotted keys."""
    pairs = []
    for key, value in table.items():
        inner = value.items() if isinstance(value, Mapping) else None
        pairs += [(key, value)] if inner is None else [(f"{key}.{name}", entry) for name, entry in inner]
    return pairs


def canonical(key: str) -> str:
    """The one name of a key. Raises ValueError on a key there is none of, with the nearest."""
    key = WRITTEN.get(key, key)
    table, dot, name = key.partition(".")
    if key in KEYS or (table in OPEN and dot and name):
        return key
    near = [name for name in KEYS if name.endswith(f".{key}")] or get_close_matches(key, KEYS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join((*KEYS, *(f"{name}.NAME" for name in OPEN)))
    raise ValueError(f"there is no key {shown(key)}.{hint} Known: {listed}.")


def value_of(cell: Cell, key: str) -> Any:
    """A cell's value of a key, whether its grid named it or not; None where its target or objective has none."""
    table, _, name = key.rpartition(".")
    if table == "parameters":
        return {**GALLERY[cell.target.name].parameters, **cell.target.parameters}.get(name)
    if table == "objective_parameters":
        return make_objective(cell.training.objective, **cell.training.objective_parameters).parameters().get(name)
    if key == "target":
        return cell.target.name
    return getattr(cell.training.network if table == "network" else cell.training, name)


def shown(value: Any) -> str:
    """A value for a sentence, on one line and not longer than a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
