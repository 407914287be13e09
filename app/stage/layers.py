"""The layers of a stage that take longer than its picture: made in the background, kept for a while."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.background.pools import measuring_workers
from app.background.progress import under_way
from app.background.task import Report, Task
from app.components.particle_stage import MapLayers
from app.stage.scene import Mapped, map_layers

LAYERS: Task[list[MapLayers | None]] = Task("layers", measuring_workers, size=8)
"""By the keys of the scenes."""


@dataclass(frozen=True)
class Layered:
    """The layers of the maps on a stage under their key, as far as they are there, and whether they are being made."""

    key: Hashable = None
    layers: Sequence[MapLayers | None] = ()
    pending: bool = False

    def of(self, number: int) -> MapLayers | None:
        """Those of one map."""
        return self.layers[number] if self.layers else None


def background_layers(asked: Sequence[tuple[str, Mapped, Mapping[str, Any]]]) -> Layered:
    """The layers of the scenes of these keys, made of their maps as `map_layers` is called; asking begins it."""
    key = tuple(scene for scene, _, _ in asked)
    _, run, how = asked[0]
    if how["config"].sampler != "deterministic" or run.target.dim != 2:
        return Layered(key)

    def make(report: Report[list[MapLayers | None]]) -> list[MapLayers | None]:
        layers = []
        for number, (_, run, how) in enumerate(asked):
            report(number / len(asked), "Following a mesh of noise.")
            layers.append(map_layers(run.model, run.target, **how))
        return layers

    view = LAYERS.ensure(key, make)
    return Layered(key, LAYERS.result(key) or (), pending=under_way(view) and not (view and view.problem))


def still_layering(key: Hashable) -> bool:
    """Whether those layers are being made; looking keeps the work alive."""
    return under_way(LAYERS.view(key))
