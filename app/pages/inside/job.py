"""What Inside asks of a run, and the measuring of it in the background."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.background.jobs import JobView
from app.background.once import Measurable, Once
from app.background.pools import inside_workers
from app.background.task import Report, Task
from app.pages.inside import compute
from app.pages.inside.flow_1d import flow_scene
from app.runs.library import Run
from app.stage.scene import STEPS

MAPS: Once[Any] = Once(160)
"""What was measured of any run; a map over the plane takes a quarter of a megabyte."""
MEASURING: Task[None] = Task("inside", inside_workers)


@dataclass(frozen=True)
class Look:
    """What is looked at: jumps of a run from t to s, and its samples in N jumps."""

    run: Run
    t: float
    s: float
    steps: int


def parts(look: Look) -> dict[str, Measurable[Any]]:
    """Everything that this look shows by name: its first number, then what is seen first."""
    run, d = look.run, look.run.target.dim
    listed: dict[str, tuple[str, Hashable, Callable[[], Any]]] = {}
    listed["times"] = "errors over time", (look.s,), partial(compute.over_times, run, look.s)
    if d == 1:
        listed["flow"] = "the whole flow", (), partial(flow_scene, run)
        listed["line"] = "maps over x and t", (look.s,), partial(compute.time_maps, run, look.s)
    if d == 2:
        listed["plane"] = "maps over the plane", (look.t, look.s), partial(compute.plane_maps, run, look.t, look.s)
    for n in sorted(STEPS, key=lambda n: n != look.steps):
        listed[f"masses {n}"] = f"the modes at N = {n}", (), partial(compute.masses_of, run, n)
    listed["bends"] = "how the paths bend", (), partial(compute.bends_of, run)
    return {name: Measurable(words, MAPS, (name, run.key, at), make) for name, (words, at, make) in listed.items()}


def measured(look: Look) -> dict[str, Any]:
    """What has been measured, by name of the part."""
    values = {name: part.value for name, part in parts(look).items()}
    return {name: value for name, value in values.items() if value is not None}


def problem_of(look: Look, name: str) -> str:
    """Why a part could not be measured; empty where it could, or was not tried."""
    part = parts(look).get(name)
    return part.problem if part else ""


def measuring(look: Look) -> JobView[Report[None]] | None:
    """The measuring of what is missing, begun now if need be; None once all is there."""
    return MEASURING.measure((look.run.key, look.t, look.s), list(parts(look).values()))
