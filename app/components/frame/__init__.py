"""What stands above every page: sharing a link with hidden controls, presenter mode, and their keys."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from streamlit.components.v2 import component

_HERE = Path(__file__).parent

SHARED = ("address", "terms", "table_pictures")
_COMPONENT = component(
    "frame",
    html=(_HERE / "frame.html").read_text(encoding="utf-8"),
    css=(_HERE / "frame.css").read_text(encoding="utf-8"),
    js="\n".join(
        path.read_text(encoding="utf-8")
        for path in (*(_HERE.parent / f"{name}.js" for name in SHARED), _HERE / "frame.js")
    ),
)


@dataclass(frozen=True)
class Control:
    """Something on a page that a link can leave out.

    Attributes:
        name: in the link, lower case.
        label: for people.
        selector: the CSS selector of it; empty for a part of the stage, which hides it itself.
    """

    name: str
    label: str
    selector: str = ""


def frame(
    *, page: str, controls: Mapping[str, Sequence[Control]], keys: Sequence[tuple[str, str]], scheme: str | None
) -> None:
    """Show it above the page of that name; `controls` by page, those of every page under "all".

    The page is drawn with the colours of the `scheme`, "light" or "dark", and is drawn again when it changes.
    """
    _COMPONENT(
        key="frame",
        data={
            "page": page,
            "controls": {name: [asdict(control) for control in offered] for name, offered in controls.items()},
            "keys": [list(key) for key in keys],
            "scheme": scheme,
        },
        on_scheme_change=lambda: None,
    )
