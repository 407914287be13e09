"""From a sweep file to its cells, everything checked before anything runs.

.. code-block:: toml

    steps = 2000                            # or seconds = 20
    seed = [0, 1, 2]

    [measure]                               # how each map is measured, as in kl_versus_steps
    steps = [1, 2, 4, 8]
    n = 4096

    [[grid]]                                # the product of its lists, and of those above
    target = ["eight_gaussians", "moons"]
    objective = ["lsd", "psd"]
    network.width = [32, 64]

    [[grid]]                                # another product beside it
    target = "checkerboard"
    delta = [0.01, 0.02]

Without ``[[grid]]`` the lists above are the grid. A file is data: nothing in it is executed.
"""

import itertools
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from cmcore.chain import JumpSampler, make_chain
from cmcore.config import NetworkConfig, TargetConfig, TrainingConfig
from cmcore.files import BadFile, read_plain
from cmcore.grids import make_grid
from cmcore.json_input import BadJSON, parse_json
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import delta_for, sampling_defaults
from cmcore.sweep.cell import Cell, MeasureConfig
from cmcore.sweep.keys import OPEN, canonical, flattened, shown, value_of
from cmcore.targets import Target, make_target
from cmcore.training_defaults import resolved

LARGEST_FILE = 1 << 20
MOST_VALUES = 1 << 18
"""Of a sweep file in JSON."""
MOST_CELLS = 10_000
ALWAYS = ("target", "objective", "seed")
BUDGETS = ("training.steps", "training.seconds")

Axes = dict[str, Sequence[Any]]


class BadSweep(ValueError):
    """A sweep that cannot be run; the message names the file, the key, and what to change."""


@dataclass(frozen=True)
class Sweep:
    """The cells to train and measure.

    Attributes:
        cells: all different, in the order of the file.
        varied: the keys that tell cells apart, with target, objective and seed always: columns of the table.
        keep_models: whether the trained maps are kept beside their results.
        source: what to call it in a message, the file's name for one.
    """

    cells: tuple[Cell, ...]
    varied: tuple[str, ...]
    keep_models: bool = False
    source: str = "The sweep"


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The sweep in a TOML or JSON file. Raises :class:`BadSweep` with one sentence on what to change."""
    path = Path(path)
    parse = {".toml": _parse_toml, ".json": _parse_json}.get(path.suffix.lower())
    if parse is None:
        raise BadSweep(f"{path}: a sweep is a .toml or a .json file.")
    try:
        content = parse(read_plain(path, LARGEST_FILE))
    except OSError as error:
        raise BadSweep(f"{path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise BadSweep(f"{path} is nested too deeply: a sweep is tables of lists.") from None
    except BadJSON as problem:
        raise BadSweep(f"{path} {problem}.") from None
    except BadFile as problem:
        raise BadSweep(f"{problem} A sweep is a short file.") from None
    except ValueError as error:
        raise BadSweep(f"{path} is not valid TOML: {' '.join(str(error).split())[:200]}.") from None
    return make_sweep(content, source=str(path))


def _parse_toml(content: bytes) -> Any:
    return tomllib.loads(content.decode())


def _parse_json(content: bytes) -> Any:
    return parse_json(content, largest=LARGEST_FILE, most_values=MOST_VALUES)


def make_sweep(content: Any, *, source: str = "The sweep") -> Sweep:
    """The sweep that a mapping with the content of a file describes."""
    try:
        return _sweep(content, source)
    except BadSweep as error:
        raise BadSweep(f"{source}: {error}") from None


def _sweep(content: Any, source: str) -> Sweep:
    if not isinstance(content, Mapping):
        raise BadSweep("a sweep is a table of keys such as target, objective, seed and steps.")
    own = {key: content[key] for key in ("measure", "grid", "keep_models") if key in content}
    measure = _checked(MeasureConfig, own.get("measure", {}), "measure")
    keep_models = own.get("keep_models", False)
    if not isinstance(keep_models, bool):
        raise BadSweep(f"keep_models is true or false; got {shown(keep_models)}.")
    grids = _grids(_axes({key: value for key, value in content.items() if key not in own}), own.get("grid"))
    count = sum(math.prod(map(len, axes.values())) for axes in grids)
    if count > MOST_CELLS:
        raise BadSweep(f"its lists make {count:,} cells; {MOST_CELLS:,} are allowed, so shorten or split them.")
    cells = {cell.digest: cell for axes in grids for cell in _cells(axes, measure)}
    keys = dict.fromkeys(key for axes in grids for key in axes if key not in ALWAYS)
    varied = [key for key in keys if len({shown_in_full(value_of(cell, key)) for cell in cells.values()}) > 1]
    return Sweep(tuple(cells.values()), (*ALWAYS, *varied), keep_models, source)


# ---- from the file to products of lists -----------------------------------------------------------------------------
def _grids(shared: Axes, tables: Any) -> list[Axes]:
    """The product that each [[grid]] table is, with the shared lists it does not replace."""
    tables = [{}] if tables is None else [tables] if isinstance(tables, Mapping) else tables
    if not isinstance(tables, list) or not tables or not all(isinstance(table, Mapping) for table in tables):
        raise BadSweep("grid is a table of lists, written [[grid]].")
    grids = []
    for table in tables:
        own = _axes(table)
        replaced = BUDGETS if any(key in own for key in BUDGETS) else ()
        axes = {**{key: values for key, values in shared.items() if key not in replaced}, **own}
        if "target" not in axes:
            raise BadSweep('there is no target: name one or several, target = ["eight_gaussians", "moons"].')
        if sum(key in axes for key in BUDGETS) != 1:
            raise BadSweep("give one budget for each training: steps = 2000, or seconds = 20.")
        grids.append(axes)
    return grids


def _axes(table: Mapping[str, Any]) -> Axes:
    """Keys with the list of their values; a single value is a list of one."""
    axes: Axes = {}
    for written, value in flattened(table):
        try:
            key = canonical(written)
        except ValueError as error:
            raise BadSweep(str(error)) from None
        if key in axes:
            raise BadSweep(f"{key} is given twice: once as {written!r}.")
        axes[key] = value if isinstance(value, list | tuple) else [value]
        if not axes[key]:
            raise BadSweep(f"{key} is an empty list: give it a value, or leave it out.")
    return axes


def shown_in_full(value: Any) -> str:
    """A value as text that no other value has."""
    return json.dumps(value, default=str)


# ---- from products to cells -----------------------------------------------------------------------------------------
def _cells(axes: Axes, measure: MeasureConfig) -> Iterator[Cell]:
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        try:
            yield _cell(point, measure)
        except (ValueError, TypeError, ArithmeticError) as error:
            if isinstance(error, BadSweep):
                raise
            named = [key for key in point if key in ("target", "objective") or len(axes[key]) > 1]
            where = ", ".join(f"{key} = {shown(point[key])}" for key in named)
            raise BadSweep(f"{where}: {error}") from None


def _cell(point: Mapping[str, Any], measure: MeasureConfig) -> Cell:
    """One point of the product with every choice filled in; refuses what cannot be learned or measured."""
    tables: dict[str, dict[str, Any]] = {name: {} for name in (*OPEN, "network", "training")}
    for key, value in point.items():
        table, _, name = key.partition(".")
        tables[table if name else "training"][name or key] = value
    name = tables["training"].pop("target")
    asked = _checked(TargetConfig, {"name": name, "parameters": tables["parameters"]}, "target")
    target = _target(asked.model_dump_json())
    network = _checked(NetworkConfig, tables["network"], "network")
    choices = {**tables["training"], "objective_parameters": tables["objective_parameters"], "network": network}
    config = resolved(_checked(TrainingConfig, choices, "training"), target).model_copy(update={"threads": 1})
    return Cell(target=asked, training=config, measure=_own_measure(measure, config, target))


@lru_cache(maxsize=64)
def _target(config: str) -> Target:
    asked = TargetConfig.model_validate_json(config)
    return make_target(asked.name, **asked.parameters)


def _own_measure(measure: MeasureConfig, config: TrainingConfig, target: Target) -> MeasureConfig:
    """The measurement with sampler, η and δ filled in by what was learned; refuses what has no finite KL."""
    own, learned = sampling_defaults(config), config.delta or 0.0
    sampler = SAMPLERS[measure.sampler or own.sampler]
    if sampler.needs != "map":
        raise BadSweep(f"measure.sampler = {sampler.name!r} draws by the exact score, not from what was trained.")
    renoise = own.share_for(sampler.name) if measure.renoise is None else measure.renoise
    delta = delta_for(sampler.name, learned) if measure.delta is None else measure.delta
    if delta == 0 and not target.has_density:
        raise BadSweep(f"{target.name} has no density at t = 0: set measure.delta > 0.")
    for steps in measure.steps:
        grid = make_grid(measure.grid, steps, horizon=config.horizon, delta=delta)
        make_chain(grid, sampler=cast("JumpSampler", sampler.name), renoise=renoise, earliest=learned)
    return measure.model_copy(update={"sampler": sampler.name, "renoise": renoise, "delta": delta})


def _checked(kind: type[Any], values: Any, table: str) -> Any:
    """The config, or a :class:`BadSweep` that names the key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (table, *first["loc"]))
        if first["type"] == "extra_forbidden":
            raise BadSweep(f"there is no key {key}. Known: {', '.join(kind.model_fields)}.") from None
        got = "" if first["type"] == "value_error" else f"; got {shown(first['input'])}"
        raise BadSweep(f"{key}: {first['msg'].removeprefix('Value error, ')}{got}.".replace("..", ".")) from None
