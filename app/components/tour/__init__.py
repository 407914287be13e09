"""The guided opening of a page: a few scenes that play once by themselves, can be skipped and asked for again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamlit.components.v2 import component

_HERE = Path(__file__).parent

_COMPONENT = component(
    "tour",
    html=(_HERE / "tour.html").read_text(encoding="utf-8"),
    css=(_HERE / "tour.css").read_text(encoding="utf-8"),
    js=(_HERE / "tour.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class TourScene:
    """One scene.

    Attributes:
        words: what is said.
        seconds: how long it stays.
        light: what of the page is looked at; the rest stands back.
        steps: N on the stage.
        u: where on its way from noise (0) to data (1) the stage begins.
        plays: whether it goes on from there.
    """

    words: str
    seconds: float
    light: Literal["stage", "chart", "theory"]
    steps: int
    u: float
    plays: bool = False


def tour(scenes: Sequence[TourScene], *, label: str, begins: bool) -> None:
    """A button called `label` plays the scenes; with `begins` they play at once in a browser that never saw them."""
    _COMPONENT(key="tour", data={"scenes": [asdict(scene) for scene in scenes], "label": label, "begins": begins})
