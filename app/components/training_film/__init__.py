"""One or two trainings watched once more: where the map put the same noise at its steps, above its loss and error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack, quantise

_HERE = Path(__file__).parent

_COMPONENT = component(
    "training_film",
    html=(_HERE / "film.html").read_text(encoding="utf-8") + "\n",
    css=(_HERE / "film.css").read_text(encoding="utf-8"),
    js="\n".join(
        path.read_text(encoding="utf-8")
        for path in (_HERE.parent / "message.js", _HERE.parent / "shared.js", _HERE / "strip.js", _HERE / "film.js")
    ),
)

Line = Sequence[tuple[int, float]]
"""Values at steps, in the order of the steps."""


@dataclass(frozen=True)
class Pane:
    """The film of one run, as it is seen.

    Attributes:
        title: what the run is called.
        steps: of the frames, increasing.
        frames: samples at each of them, [F, n, 2].
        density: of the data, uint8 opacity, top row first.
        lines: what is drawn below, by its name: the loss, and where they are there the error of one jump and the KL.
        axes: names of the axes, where they need one.
    """

    title: str
    steps: Sequence[int]
    frames: np.ndarray
    density: np.ndarray
    lines: Mapping[str, Line]
    axes: Sequence[str] = ()


def film_message(panes: Sequence[Pane], *, extent: float, jumps: int) -> bytes:
    """The binary message of one or two films on one clock; `extent`: half the side shown, `jumps`: N of its samples."""
    arrays: dict[str, np.ndarray] = {}
    described: list[dict[str, Any]] = []
    for i, pane in enumerate(panes):
        arrays[f"frames{i}"] = quantise(pane.frames, extent)
        arrays[f"density{i}"] = pane.density
        lines = {name: [[step, value] for step, value in line] for name, line in pane.lines.items()}
        described.append({"title": pane.title, "steps": list(pane.steps), "lines": lines, "axes": list(pane.axes)})
    return pack({"panes": described, "extent": extent, "jumps": jumps}, arrays)


def training_film(message: bytes, *, key: str) -> None:
    """Show a :func:`film_message`."""
    _COMPONENT(key=key, data=message)
