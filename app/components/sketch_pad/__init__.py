"""The sketch pad: a sheet on which a target is drawn, by mouse, finger or keys."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.components.buffer import pack

_HERE = Path(__file__).parent

_COMPONENT = component(
    "sketch_pad",
    html=(_HERE / "pad.html").read_text(encoding="utf-8") + "\n",
    css=(_HERE / "pad.css").read_text(encoding="utf-8"),
    js="\n".join(
        path.read_text(encoding="utf-8")
        for path in (_HERE.parent / "message.js", _HERE.parent / "shared.js", _HERE / "pad.js")
    ),
)


def pad_message(
    strokes: Sequence[dict[str, Any]],
    *,
    extent: float,
    reach: int,
    widths: tuple[int, int],
    width: int,
    room: int,
    density: np.ndarray | None,
    answer: int,
    adopt: int,
) -> bytes:
    """The binary message of the sheet.

    Args:
        strokes: {"width": …, "points": [[x, y], …]}, in hundredths of the target's unit.
        extent: half the side of the square shown, in that unit.
        reach: how far from the middle one can draw, in hundredths.
        widths, width: of the brush: the finest, the widest, and the first, in hundredths.
        room: beads a drawing may take.
        density: opacity of the law drawn so far, uint8, top row first; None while there is none.
        answer: the release of the drawing that the density belongs to.
        adopt: when it changes, the sheet takes these strokes in place of its own.
    """
    lines = "1 line" if len(strokes) == 1 else f"{len(strokes)} lines"
    words = f"{lines} drawn." if strokes else "Nothing is drawn yet."
    header = {
        "strokes": list(strokes), "extent": extent, "reach": reach, "widths": widths, "width": width, "room": room,
        "answer": answer, "adopt": adopt,
        "summary": f"Sheet to draw on. {words} Arrow keys move the brush, space sets a point, enter ends the line, "
        "backspace undoes.",
    }  # fmt: skip
    return pack(header, {} if density is None else {"density": density})


def sketch_pad(message: bytes, *, key: str, on_drawing: Callable[[], None]) -> None:
    """Show a :func:`pad_message`.

    Args:
        on_drawing: called after each change; the component's `drawing` is then {"strokes": […], "release": a number
            that grows}.
    """
    _COMPONENT(key=key, data=message, on_drawing_change=on_drawing)
