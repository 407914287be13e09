"""The link of Inside."""

from collections.abc import Iterator

from app import state
from app.runs.library import first_run, runs
from app.sharing.link import PageLink, Parameter
from app.sharing.readers import between, one_of
from app.stage.scene import STEPS
from cmcore.diagnostics import QUANTITIES

_time = between(0.0, 20.0, "a time")


def _point(text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise ValueError(f"it asks for the point “{text[:40]}”, and a point is t,x")
    return _time(parts[0]), between(-1e3, 1e3, "x")(parts[1])


def _parameters() -> Iterator[Parameter]:
    yield Parameter("run", "run", one_of(runs, "the run"), first_run())
    yield Parameter("n", "steps", one_of(lambda: STEPS, "N"), 4)
    yield Parameter("map", "inside quantity", one_of(lambda: QUANTITIES, "the map"), "map_error")
    if run := runs().get(state.value("run", first_run())):
        yield Parameter("t", f"inside t:{run.key}", _time, run.model.horizon, "{:g}".format)
        yield Parameter("s", f"inside s:{run.key}", _time, run.model.delta, "{:g}".format)
    yield Parameter("at", "inside at", _point, None, "{0[0]:g},{0[1]:g}".format)


INSIDE_LINK = PageLink("inside", _parameters, selection="run")
