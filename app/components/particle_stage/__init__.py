"""The stage: particles travel from noise to data in N jumps, on a canvas that plays without asking the server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, quantise

_HERE = Path(__file__).parent
_read = lambda *parts: "\n".join(path.read_text(encoding="utf-8") for path in parts)  # noqa: E731

STAGE_HTML = _read(_HERE / "stage.html")
STAGE_STYLE = _read(_HERE / "stage.css")
STAGE_CODE = _read(
    _HERE.parent / "message.js",
    _HERE.parent / "shared.js",
    _HERE.parent / "address.js",
    _HERE.parent / "flow_map" / "grids.js",
    *(
        _HERE / f"{part}.js"
        for part in ("mesh", "draw", "controls", "drawing", "panes", "start", "handles", "picture", "stage")
    ),
)
_COMPONENT = component("particle_stage", html=STAGE_HTML, css=STAGE_STYLE, js=STAGE_CODE)

PLAY_SECONDS = 9.0
STROKE = 0.12
"""Radians of θ that a stroke of the velocity field shows."""
RATIO = 1.0
"""Nats of |log q/p| at which its colour is full."""


@dataclass(frozen=True)
class Draw:
    """One draw in N jumps, as the stage shows it.

    Attributes:
        times: t_0 > … > t_N, [N + 1].
        progress: where the times sit on the axis: 0 at T, 1 at δ, linear in θ, [N + 1].
        states: positions at the times, [N + 1, n, 2]; None where the browser draws.
        landings: where each jump landed before fresh noise, [N, n, 2]; None for deterministic jumps.
        legs: for renoised draws, the exact flow of each jump of the first particles from where the jump began, at a few
            times, [N, l, m, 2]; None otherwise.
        summary: the draw in one sentence, for those who do not see the picture.
    """

    times: tuple[float, ...]
    progress: tuple[float, ...]
    states: np.ndarray | None
    landings: np.ndarray | None
    legs: np.ndarray | None
    summary: str


@dataclass(frozen=True)
class MapLayers:
    """What deterministic jumps do to the plane, by N.

    Attributes:
        reach: half the side of the square of noise that the mesh covers.
        meshes: where the points of an even square mesh of noise are at the times, [N + 1, side, side, 2]; rows run with
            the second coordinate.
        log_ratios: log q/p_δ of every particle where the jumps end, [n].
        densities: opacity of the model's density there, uint8, as the scene's `density`.
    """

    reach: float
    meshes: Mapping[int, np.ndarray]
    log_ratios: Mapping[int, np.ndarray]
    densities: Mapping[int, np.ndarray]


Mover = Literal["model", "exact", "baseline"]


@dataclass(frozen=True)
class SamplerSettings:
    """How a sampler draws once it is chosen: its name on the page, η as it counts for it, and δ."""

    label: str
    share: float
    delta: float


@dataclass(frozen=True)
class Drawing:
    """What the browser draws from. What its controls show, and what is done on the stage, changes it there at once.

    Attributes:
        run: names the run.
        map: the name of its bundle.
        place: with which the keys of the page's controls begin.
        label: the target in words.
        sampler, share, grid, horizon, delta, seed, particles: the draw, as of :class:`cmcore.config.SamplerConfig`.
        grids: the names of all grids.
        settings: by name, the samplers that the stage may turn to itself.
        release: numbers the fresh noise of a start of one's own.
        redrawn: whether that is new at each release.
        live: whether the map is learned meanwhile, and newer weights take its place under its name. Then nothing plays
            by itself, N and the seed are chosen on the stage alone, and Python is told nothing.
    """

    run: str
    map: str
    place: str
    label: str
    sampler: str
    share: float
    grid: str
    horizon: float
    delta: float
    seed: int
    particles: int
    grids: Sequence[str]
    settings: Mapping[str, SamplerSettings]
    release: int = 0
    redrawn: bool = False
    live: bool = False


@dataclass(frozen=True)
class Scene:
    """Everything the stage draws of one map, for every N, from the same noise.

    Attributes:
        key: names the content; the stage starts afresh when it changes.
        extent: half the side of the square shown, in the target's units.
        angles: θ at T and at δ.
        draws: a Draw for each N.
        exact: exact PF-ODE paths of the first particles, at equal steps of θ, [L, m, 2]; None for renoised draws.
        density: opacity of the target's density on the square, uint8, [rows, columns], top row first; or None.
        shown: how many of the first particles carry a visible path.
        layers: what the map does to space; None while it is being computed, for renoised draws, and for d ≠ 2.
        pending: whether the layers are being computed.
        field: dx/dθ of the exact flow on an even grid of the square, at times even in θ, [levels, side, side, 2]; or
            None.
        start: a start that a person chose; its particle is then the last of those followed.
        moved: the N whose times a person moved.
        visible: the layers to be shown at first; None leaves those that are.
        mover: what jumps, which gives it its colour.
        drawing: what the browser draws from; None where the draws carry their states.
        title: what the map is called, where another one stands beside it.
        labels: what stands beside the small multiples, by N.
        axes: names of the coordinates, where they have one.
    """

    key: str
    extent: float
    angles: tuple[float, float]
    draws: Mapping[int, Draw]
    exact: np.ndarray | None = None
    density: np.ndarray | None = None
    shown: int = 16
    multiples: Sequence[int] = fields(default=(1, 2, 4, 8))
    layers: MapLayers | None = None
    pending: bool = False
    field: np.ndarray | None = None
    start: tuple[float, float] | None = None
    moved: Sequence[int] = ()
    visible: Sequence[str] | None = None
    mover: Mover = "model"
    drawing: Drawing | None = None
    title: str = ""
    labels: Mapping[int, str] = fields(default_factory=dict)
    axes: Sequence[str] = ()

    @property
    def followed(self) -> int:
        """How many of the first particles have something exact to be compared with."""
        if self.exact is not None:
            return self.exact.shape[1]
        legs = next(iter(self.draws.values())).legs
        return self.shown if legs is None else legs.shape[-2]


def scene_message(scene: Scene, *beside: Scene, steps: int, answered: bool = True) -> bytes:
    """The binary message of a scene with N = steps chosen.

    Scenes `beside` it are those of other maps, of the same target, noise and times: what they share is that of the
    first, and only what is their own is added, their arrays as "0/…", "1/…".

    Where nobody answers (`answered` is false), starts and times of one's own are offered if the browser draws them, and
    no further layers are waited for.
    """
    arrays = {} if scene.density is None else {"density": scene.density}
    arrays |= _own_arrays(scene)
    for number, other in enumerate(beside):
        arrays |= {f"{number}/{name}": array for name, array in _own_arrays(other).items()}
    if scene.exact is not None:
        arrays["exact"] = quantise(scene.exact, scene.extent)
    fastest = 1.0 if scene.field is None else float(np.abs(scene.field).max()) or 1.0
    if scene.field is not None:
        arrays["field"] = quantise(scene.field * (scene.extent / fastest), scene.extent)
    states = next(iter(scene.draws.values())).states
    count = states.shape[1] if states is not None else scene.drawing.particles if scene.drawing else 0
    movable = answered or scene.drawing is not None
    header: dict[str, Any] = {
        **_own_header(scene),
        "beside": [_own_header(other) for other in beside],
        "key": scene.key,
        "extent": scene.extent,
        "angles": scene.angles,
        "axes": list(scene.axes),
        "steps": steps,
        "multiples": list(scene.multiples),
        "progress": {str(n): draw.progress for n, draw in scene.draws.items()},
        "times": {str(n): draw.times for n, draw in scene.draws.items()},
        "followed": min(count, scene.followed),
        "start": scene.start,
        "moved": list(scene.moved),
        "own": scene.followed - 1 if scene.start else None,
        "answered": answered,
        "startable": movable and scene.field is not None,
        "movable": movable,
        "shown": min(count, scene.shown),
        "compact": min(count, 600),
        "seconds": PLAY_SECONDS,
        "visible": None if scene.visible is None else list(scene.visible),
        "fieldScale": STROKE * fastest / scene.extent,
    }
    return pack(header, arrays)


def _own_header(scene: Scene) -> dict[str, Any]:
    """What the message says of one map."""
    return {
        "title": scene.title,
        "labels": {str(n): label for n, label in scene.labels.items()},
        "summaries": {str(n): draw.summary for n, draw in scene.draws.items()},
        "pending": scene.pending,
        "mover": scene.mover,
        "reach": scene.layers.reach if scene.layers else 0.0,
        "drawing": None if scene.drawing is None else asdict(scene.drawing),
    }


def _own_arrays(scene: Scene) -> dict[str, np.ndarray]:
    """What it shows of one map alone."""
    arrays = {}
    for n, draw in scene.draws.items():
        for name in ("states", "landings", "legs"):
            if (points := getattr(draw, name)) is not None:
                arrays[f"{name}_{n}"] = quantise(points, scene.extent)
    return arrays if scene.layers is None else arrays | _layer_arrays(scene.layers, scene.extent)


def _layer_arrays(layers: MapLayers, extent: float) -> dict[str, np.ndarray]:
    arrays = {}
    for n, mesh in layers.meshes.items():
        arrays[f"mesh_{n}"] = quantise(mesh, extent)
        arrays[f"model_{n}"] = layers.densities[n]
        shown = np.nan_to_num(layers.log_ratios[n], nan=RATIO, posinf=RATIO, neginf=-RATIO)
        arrays[f"ratio_{n}"] = np.rint(127.5 + 127.5 / RATIO * np.clip(shown, -RATIO, RATIO)).astype(np.uint8)
    return arrays


def particle_stage(
    *scenes: Scene,
    steps: int,
    key: str,
    on_choice: Callable[[], None] | None = None,
    on_start: Callable[[], None] | None = None,
    on_times: Callable[[], None] | None = None,
    on_layers: Callable[[], None] | None = None,
) -> None:
    """Show the scenes of one map, or of several side by side, with N = steps.

    Of a live map nothing is told.

    Args:
        on_choice: called when N or the other sampler is chosen on the stage itself; the component's `choice` is then
            {"steps": N, "sampler": its name, or null where the page has no control for it, "release": a number that
            grows}.
        on_start: called when a start is put on the stage, moved or removed; the component's `start` is then
            {"at": [x, y] or null, "release": a number that grows}.
        on_times: called when times are moved there or given back to the named grid; the component's `times` is then
            {"steps": N, "times": [t_1, …, t_{N−1}] or null, "release": …}.
        on_layers: called when the layers that show what the map does to space are wanted.
    """
    drawing = scenes[0].drawing
    _COMPONENT(
        key=key,
        data=scene_message(*scenes, steps=steps, answered=drawing is None or not drawing.live),
        on_choice_change=on_choice,
        on_start_change=on_start,
        on_times_change=on_times,
        on_layers_change=on_layers,
    )
