"""The link of Train: what is about to be learned, all of it but an uploaded table."""

from collections.abc import Callable, Iterator
from functools import partial

from app import state
from app.pages.train.budget import (
    DELTAS,
    FIRST_NETWORK,
    delta_key,
    first_budget,
    first_delta,
    networks,
    option_key,
    options,
)
from app.pages.train.compare import FIRST_OBJECTIVES, MOST_SEEDS
from app.pages.train.objective import key_of, objective_names, objective_settings
from app.pages.train.projection import view_key
from app.pages.train.sketch import checked_drawing, take_over
from app.pages.train.table import AUTOMATIC, BANDWIDTHS, COMPONENTS, DENSITIES, LINK_NAMES_FILE, UPLOAD
from app.pages.train.target import FIRST_TARGET, TOYS, dimensions_of
from app.sharing.link import PageLink, Parameter, setting_parameters
from app.sharing.readers import one_of, several_of, whole
from app.stage.projections import read_view, views
from app.training.budgets import budgets
from app.training.choice import FILE, SOURCES
from cmcore.objectives import OBJECTIVES
from cmcore.targets import GALLERY
from cmcore.targets.tables import REAL_TABLES

GALLERY_SOURCE, DRAWING, TABLE = SOURCES


def _parameters() -> Iterator[Parameter]:
    yield Parameter("table", "source", _open_table, GALLERY_SOURCE, _write_table)
    yield Parameter("drawing", "source", _open_drawing, GALLERY_SOURCE, _write_drawing)
    source = state.value("source", GALLERY_SOURCE)
    dim, smooth = 2, True  # an uploaded table's dimension is not known here
    if source == TABLE:
        if state.value("table") != UPLOAD:
            yield Parameter("components", "components", one_of(lambda: COMPONENTS, "the number of components"), 2)
            dim = state.value("components", 2)
        yield Parameter("density", "density", one_of(lambda: DENSITIES, "the smoothing"), next(iter(DENSITIES)))
        if state.value("density") != "gaussian_mixture":
            yield Parameter("bandwidth", "bandwidth", one_of(lambda: BANDWIDTHS, "the bandwidth"), AUTOMATIC)
    elif source == GALLERY_SOURCE:
        yield Parameter("target", "toy", one_of(lambda: TOYS, "the target"), FIRST_TARGET)
        toy = state.value("toy", FIRST_TARGET)
        dims, smooth = dimensions_of(toy), GALLERY[toy].smooth
        of_toy = one_of(lambda: dims, f"a dimension of {GALLERY[toy].label}")
        first = 3 if 3 in dims else dims[0]
        yield Parameter("dim", f"dim:{toy}", of_toy, first)
        dim = state.value(f"dim:{toy}", first)
    yield Parameter("view", view_key(dim), _view_of(dim), next(iter(views(dim)), None))
    deltas = {f"{delta:g}": delta for delta in DELTAS if smooth or delta > 0}
    yield Parameter(
        "delta", delta_key(smooth=smooth), lambda text: deltas[one_of(lambda: deltas, "δ")(text)],
        first_delta(smooth=smooth), "{:g}".format,
    )  # fmt: skip
    yield Parameter("budget", "budget", one_of(budgets, "the budget"), first_budget())
    yield Parameter("network", "network", one_of(networks, "the network"), FIRST_NETWORK)
    for each in options():
        yield Parameter(each.name, option_key(each.name), each.read, each.default, each.write)
    yield Parameter("objective", "objective", one_of(lambda: OBJECTIVES, "the objective"), objective_names()[0])
    several = several_of(lambda: OBJECTIVES, "the objective")
    yield Parameter("compare", "compare_objectives", several, FIRST_OBJECTIVES)
    yield Parameter("seeds", "compare_seeds", whole(1, MOST_SEEDS, "the number of seeds"), 1)
    objective = state.value("objective", objective_names()[0])
    yield from setting_parameters(objective_settings(objective), partial(key_of, objective))


def _open_drawing(text: str) -> str:
    if text != state.value("drawing", ""):
        take_over(checked_drawing(text) if text else "")
    return DRAWING


def _write_drawing(source: str) -> str | None:
    return state.value("drawing", "") if source == DRAWING else None  # empty: the sheet, with nothing on it yet


def _open_table(text: str) -> str:
    name = one_of(lambda: (FILE, *REAL_TABLES), "the table")(text)
    state.set_value("table", UPLOAD if name == FILE else name)
    state.set_value(LINK_NAMES_FILE, name == FILE)
    return TABLE


def _write_table(source: str) -> str | None:
    table = state.value("table", UPLOAD)
    return (FILE if table == UPLOAD else table) if source == TABLE else None


def _view_of(dim: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        view = read_view(text)
        if view not in views(dim):
            raise ValueError(f"it asks for the view “{text[:20]}” of {dim} dimensions, and there is none such")
        return view

    return read


def _begin() -> None:
    state.set_value(LINK_NAMES_FILE, new=False)
    state.set_value("train link offers", not state.went_back())


TRAIN_LINK = PageLink("train", _parameters, settings_of="objective", begin=_begin)
