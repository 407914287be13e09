"""The link of Train: what is about to be learned, all of it but an uploaded table."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app import state
from app.hosting.limits import limits
from app.pages.train.budget import DELTAS, FIRST_BUDGET, FIRST_NETWORK, delta_key, first_delta, networks
from app.pages.train.projection import view_key
from app.pages.train.sketch import checked_drawing, take_over
from app.pages.train.table import AUTOMATIC, BANDWIDTHS, COMPONENTS, DENSITIES, LINK_NAMES_FILE, UPLOAD
from app.pages.train.target import FIRST_TARGET, TOYS, dimensions_of
from app.runs.objective_settings import chosen, families_first, key_of, read, reset, write
from app.sharing.readers import PARAMETER, between, one_of, read_link, read_seed, refused
from app.stage.projections import read_view, views
from app.training.budgets import budgets
from app.training.choice import FILE, SOURCES
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import parameters_of
from cmcore.targets import GALLERY
from cmcore.targets.tables import REAL_TABLES

"""What a link says in place of an uploaded table."""


def _steps(text: str) -> int:
    return int(between(1, limits().steps, "the number of steps")(text))


LINK: Mapping[str, tuple[str, Callable[[str], Any], Any]] = {
    "objective": ("objective", one_of(lambda: OBJECTIVES, "the objective"), families_first()[0]),
    "budget": ("budget", one_of(budgets, "the budget"), FIRST_BUDGET),
    "steps": ("train_steps", _steps, None),
    "network": ("network", one_of(networks, "the network"), FIRST_NETWORK),
    "seed": ("train_seed", read_seed, 0),
}
"""Parameter of the link → (state key, reader, default)."""
OURS = {*LINK, "target", "dim", "view", "delta", "drawing", "table", "components", "density", "bandwidth"}
_read_delta = one_of(lambda: {f"{delta:g}" for delta in DELTAS}, "δ")


# ---- reading ----------------------------------------------------------------------------------------------------
def open_train_link() -> list[str]:
    """On the first run of a session, take over what the link asks for; a sentence for each thing that does not fit."""
    state.set_default("objective", families_first()[0], allowed=OBJECTIVES)
    if not state.takes_link("train"):
        return []
    asked, problems = read_link()
    ours = any(name in OURS or name.startswith(PARAMETER) for name in asked)
    if ours or state.went_back():
        _begin_afresh()
    for take in _takers(asked):
        try:
            take()
        except ValueError as problem:
            problems.append(refused(problem))
    state.set_value(LINK_NAMES_FILE, asked.get("table") == FILE)
    state.set_value("train link offers", ours and not state.went_back())
    return problems


def _begin_afresh() -> None:
    """What the link says holds, and the defaults for what it does not say; a drawing stays on its sheet."""
    for key, first in (("source", SOURCES[0]), ("toy", FIRST_TARGET), ("density", next(iter(DENSITIES)))):
        state.set_value(key, first)
    for key, _, default in LINK.values():
        state.set_value(key, default)
    for key in ("budget", "table", "components", "bandwidth", *(f"dim:{toy}" for toy in TOYS)):
        state.forget(key)  # what comes first depends on the server, or on the other choices
    for dim in range(1, limits().dim + 1):
        state.forget(view_key(dim))
    for smooth in (True, False):
        state.forget(delta_key(smooth=smooth))
    for objective in OBJECTIVES:
        reset(objective)


def _takers(asked: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """What takes over each part of a link; the target comes first, since others depend on it."""
    if "drawing" in asked:
        yield lambda: _take_drawing(asked["drawing"])
    elif "table" in asked:
        yield from _table_takers(asked)
    elif "target" in asked:
        yield lambda: _take("toy", one_of(lambda: TOYS, "the target"), asked["target"])
    if "dim" in asked:
        yield lambda: _take_dim(asked["dim"])
    if "view" in asked:
        yield lambda: _take_view(asked["view"])
    if "delta" in asked:
        yield lambda: _take_delta(asked["delta"])
    for name, (key, reader, _) in LINK.items():
        if name in asked:
            yield lambda key=key, reader=reader, name=name: _take(key, reader, asked[name])
    for name, text in asked.items():
        if name.startswith(PARAMETER):
            yield lambda name=name, text=text: _take_parameter(asked, name.removeprefix(PARAMETER), text)


def _take(key: str, reader: Callable[[str], Any], text: str) -> None:
    state.set_value(key, reader(text))


def _take_drawing(text: str) -> None:
    if text != state.value("drawing", ""):
        take_over(checked_drawing(text) if text else "")
    state.set_value("source", SOURCES[1])


def _table_takers(asked: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    known = {FILE: UPLOAD, **dict.fromkeys(REAL_TABLES)}

    def take_table() -> None:
        name = one_of(lambda: known, "the table")(asked["table"])
        state.set_value("source", SOURCES[2])
        state.set_value("table", known[name] or name)

    yield take_table
    if "components" in asked:
        yield lambda: _take("components", one_of(lambda: COMPONENTS, "the number of components"), asked["components"])
    if "density" in asked:
        yield lambda: _take("density", one_of(lambda: DENSITIES, "the smoothing"), asked["density"])
    if "bandwidth" in asked:
        yield lambda: _take("bandwidth", one_of(lambda: BANDWIDTHS, "the bandwidth"), asked["bandwidth"])


def _take_dim(text: str) -> None:
    toy = state.value("toy", FIRST_TARGET)
    known = dimensions_of(toy)
    state.set_value(f"dim:{toy}", one_of(lambda: known, f"a dimension of {GALLERY[toy].label}")(text))


def _take_view(text: str) -> None:
    view, dim = read_view(text), _dim()
    if view not in views(dim):
        raise ValueError(f"it asks for the view “{text[:20]}” of {dim} dimensions, and there is none such")
    state.set_value(view_key(dim), view)


def _take_delta(text: str) -> None:
    delta, smooth = float(_read_delta(text)), _smooth()
    if not smooth and delta == 0:
        raise ValueError("it asks for δ = 0, and this target can be learned down to some δ > 0 alone")
    state.set_value(delta_key(smooth=smooth), delta)


def _take_parameter(asked: Mapping[str, str], name: str, text: str) -> None:
    objective = state.value("objective")
    if asked.get("objective", objective) != objective:
        return  # it is another objective's, and that one was refused already
    known = {parameter.name: parameter for parameter in parameters_of(OBJECTIVES[objective])}
    if name not in known:
        raise ValueError(f"{OBJECTIVES[objective].label} has no parameter “{name[:40]}”")
    state.set_value(key_of(objective, name), read(known[name], text))


def _source() -> str:
    return state.value("source", SOURCES[0])


def _smooth() -> bool:
    """Whether the target that is chosen is smooth; drawings and tables are."""
    return _source() != SOURCES[0] or GALLERY[state.value("toy", FIRST_TARGET)].smooth


def _dim() -> int:
    """The dimension of the target that is chosen; an uploaded table's is not known here, and counts as two."""
    if _source() == SOURCES[2]:
        return 2 if state.value("table", UPLOAD) == UPLOAD else state.value("components", 2)
    if _source() == SOURCES[1]:
        return 2
    toy = state.value("toy", FIRST_TARGET)
    known = dimensions_of(toy)
    return known[0] if len(known) == 1 else state.value(f"dim:{toy}", 3)


# ---- writing ----------------------------------------------------------------------------------------------------
def write_train_link() -> None:
    """Mirror what is about to be learned in the address bar; what is at its default is left out."""
    wanted = _target()
    dim = _dim()
    view, known = state.value(view_key(dim)), views(dim)
    if known and view in known[1:]:
        wanted["view"] = view
    smooth = _smooth()
    delta = state.value(delta_key(smooth=smooth), first_delta(smooth=smooth))
    if delta != first_delta(smooth=smooth):
        wanted["delta"] = f"{delta:g}"
    for name, (key, _, default) in LINK.items():
        if (value := state.value(key, default)) != default:
            wanted[name] = str(value)
    wanted |= {PARAMETER + name: write(value) for name, value in chosen(state.value("objective")).items()}
    state.set_link(wanted)


def _target() -> dict[str, str]:
    if _source() == SOURCES[1]:
        return {"drawing": state.value("drawing", "")}  # empty: the sheet, with nothing on it yet
    if _source() == SOURCES[2]:
        table = state.value("table", UPLOAD)
        held: dict[str, tuple[Any, Any]] = {"density": (state.value("density"), next(iter(DENSITIES)))}
        if table != UPLOAD:
            held["components"] = (state.value("components", 2), 2)
        if held["density"][0] != "gaussian_mixture":
            held["bandwidth"] = (state.value("bandwidth"), AUTOMATIC)
        return {"table": FILE if table == UPLOAD else table} | {
            name: str(value) for name, (value, first) in held.items() if value not in (None, first)
        }
    toy = state.value("toy", FIRST_TARGET)
    wanted = {} if toy == FIRST_TARGET else {"target": toy}
    if len(dimensions_of(toy)) > 1 and (dim := state.value(f"dim:{toy}", 3)) != 3:
        wanted["dim"] = str(dim)
    return wanted
