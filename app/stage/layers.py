"""The layers of a scene that take longer than its picture: made in the background, kept for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.background.pools import measuring_workers
from app.background.progress import under_way
from app.background.task import Task
from app.components.particle_stage import MapLayers
from app.stage.scene import Mapped, map_layers

LAYERS: Task[MapLayers] = Task("layers", measuring_workers, size=8)
"""By key of the scene."""


@dataclass(frozen=True)
class Layered:
    """The layers of a scene that are there, and whether they are still being made."""

    layers: MapLayers | None = None
    pending: bool = False


def background_layers(key: str, run: Mapped, how: Mapping[str, Any]) -> Layered:
    """The layers of the scene of that key, made as `map_layers` is called; the first question starts the work."""
    if how["config"].sampler != "deterministic" or run.target.dim != 2:
        return Layered()
    view = LAYERS.ensure(key, lambda _: map_layers(run.model, run.target, **how))
    return Layered(LAYERS.result(key), pending=under_way(view) and not (view and view.problem))


def still_layering(key: str) -> bool:
    """Whether the layers of that scene are being made; looking keeps the work alive."""
    return under_way(LAYERS.view(key))
