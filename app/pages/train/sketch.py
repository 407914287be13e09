"""A drawing of one's own: what the sheet holds, checked, as text that a run and a link keep."""

import numpy as np
import streamlit as st

from app import state
from app.components.sketch_pad import pad_message, sketch_pad
from app.components.values import Sketch, sent
from app.stage.scene import PIXELS, density_image, extent_around
from cmcore.targets import GaussianMixture, Stroke, read_strokes, sketch_law, write_strokes
from cmcore.targets.sketch import MOST_BEADS, REACH, WIDTHS

PAD = "pad"
FIRST_WIDTH = 14
MOST_STROKES, MOST_POINTS = 400, 6_000
"""More than this no sheet sends: a drawing of so many points has no room in a link."""
SHEET = extent_around(np.zeros((1, 2)))
"""Half the side of the sheet: that of the smallest picture, which the drawing is seen in when it is learned."""
SHEET_WORK = 10_000_000
"""Gaussians × pixels that the density on the sheet may cost: a tenth of a second."""


def checked_strokes(raw: object) -> tuple[Stroke, ...]:
    """What the sheet sent, [{"width": …, "points": [[x, y], …]}, …]; ValueError says in a clause what does not fit."""
    if not isinstance(raw, list) or len(raw) > MOST_STROKES:
        raise ValueError(f"a drawing has at most {MOST_STROKES} lines")
    strokes, points = [], 0
    for stroke in raw:
        match stroke:
            case {"width": int(width), "points": [*line]} if all(_is_point(point) for point in line):
                points += len(line)
                if points > MOST_POINTS:
                    raise ValueError(f"a drawing has at most {MOST_POINTS:,} points")
                strokes.append(Stroke(width, tuple((x, y) for x, y in line)))
            case _:
                raise ValueError("a line is a width and points, in whole hundredths")
    return tuple(strokes)


def _is_point(point: object) -> bool:
    match point:
        case [int(), int()]:
            return True
    return False


def checked_drawing(text: str) -> str:
    """The drawing that a link asks for, if it is one that can be learned; ValueError says in a clause what is not."""
    try:
        sketch_law(read_strokes(text))
    except ValueError as problem:
        words = str(problem).rstrip(".")
        raise ValueError(f"{words[:1].lower()}{words[1:]}") from None
    return text


def take_over(text: str) -> None:
    """Make this the drawing on the sheet."""
    state.set_value("drawing", text)
    state.set_value("drawing adopted", state.value("drawing adopted", 0) + 1)


def drawing_pad() -> None:
    """The sheet, with the density of what is drawn on it."""
    text = state.value("drawing", "")
    strokes = read_strokes(text) if text else ()
    message = pad_message(
        [{"width": stroke.width, "points": stroke.points} for stroke in strokes],
        extent=SHEET,
        reach=REACH,
        widths=WIDTHS,
        width=FIRST_WIDTH,
        room=MOST_BEADS,
        density=_density(text) if text else None,
        answer=state.value("drawing release", 0),
        adopt=state.value("drawing adopted", 0),
    )
    sketch_pad(message, key=PAD, on_drawing=_take_drawing)


@st.cache_data(max_entries=64, show_spinner=False)
def _density(text: str) -> np.ndarray:
    law: GaussianMixture = sketch_law(read_strokes(text))
    pixels = min(PIXELS, int((SHEET_WORK / law.components) ** 0.5))
    return density_image(law, 0.0, extent=SHEET, pixels=pixels)


def _take_drawing() -> None:
    """Something was drawn, undone or cleared; a drawing that does not fit gives way to the one before."""
    sketch = sent(state.value(PAD), "drawing", Sketch)
    if sketch is None:
        return
    state.set_value("drawing release", sketch.release)
    state.set_value("drawing problem", "")
    try:
        strokes = checked_strokes([line.model_dump() for line in sketch.strokes])
        state.set_value("drawing", checked_drawing(write_strokes(strokes)) if strokes else "")
    except ValueError as problem:
        state.set_value("drawing problem", f"The last line was not taken: {problem}.")
        take_over(state.value("drawing", ""))
