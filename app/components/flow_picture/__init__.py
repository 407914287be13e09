"""A whole 1-D flow on a canvas: point anywhere to see the exact path through that point and where the model goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, quantise

_HERE = Path(__file__).parent

_COMPONENT = component(
    "flow_picture",
    html=(_HERE / "flow.html").read_text(encoding="utf-8") + "\n",
    css=(_HERE / "flow.css").read_text(encoding="utf-8"),
    js="\n".join(
        path.read_text(encoding="utf-8")
        for path in (_HERE.parent / "message.js", _HERE.parent / "shared.js", _HERE / "flow.js")
    ),
)


@dataclass(frozen=True)
class FlowScene:
    """Everything the picture draws, for every N, from the same noise.

    Attributes:
        key: names the content.
        extent: half the height of the picture, in the target's units.
        times, angles: T = t_0 > … > t_L = δ of the levels, and their θ, [L + 1].
        density: opacity of p_t, uint8, [rows, L + 1], largest x first.
        paths: exact paths at the levels, in increasing order of x, [L + 1, m].
        landings: where one jump to δ lands from an even lattice of x at each level, [L + 1, across].
        grids: the times of the model's jumps by N, [N + 1].
        states: where the jumps are at those times, from the starts of the paths, [N + 1, m].
        shown: indices of the paths that are always drawn.
        summary: the picture in words.
    """

    key: str
    extent: float
    times: tuple[float, ...]
    angles: tuple[float, ...]
    density: np.ndarray
    paths: np.ndarray
    landings: np.ndarray
    grids: Mapping[int, tuple[float, ...]]
    states: Mapping[int, np.ndarray]
    shown: tuple[int, ...]
    summary: str


def flow_message(scene: FlowScene, *, steps: int, at: tuple[float, float] | None) -> bytes:
    """The binary message of a scene with N = steps chosen and, maybe, the point (t, x) pinned."""
    arrays = {
        "density": scene.density,
        "paths": quantise(scene.paths, scene.extent),
        "landings": quantise(scene.landings, scene.extent),
        **{f"states_{n}": quantise(states, scene.extent) for n, states in scene.states.items()},
    }
    header: dict[str, Any] = {
        "key": scene.key,
        "extent": scene.extent,
        "times": scene.times,
        "angles": scene.angles,
        "grids": {str(n): times for n, times in scene.grids.items()},
        "counts": list(scene.grids),
        "steps": steps if steps in scene.grids else next(iter(scene.grids)),
        "shown": scene.shown,
        "at": at,
        "summary": scene.summary,
    }
    return pack(header, arrays)


def flow_picture(
    scene: FlowScene,
    *,
    steps: int,
    at: tuple[float, float] | None,
    key: str,
    on_steps: Callable[[], None],
    on_at: Callable[[], None],
) -> None:
    """Show the scene.

    Args:
        on_steps: called when N is chosen on the picture; the component's `steps` is then N.
        on_at: called when a point is pinned or let go; the component's `at` is then {"at": [t, x] or null}.
    """
    _COMPONENT(
        key=key,
        data=flow_message(scene, steps=steps, at=at),
        on_steps_change=on_steps,
        on_at_change=on_at,
    )
