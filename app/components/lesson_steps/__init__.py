"""Where one is in a lesson: a mark for every step that leads there, and ← → from anywhere that does not use them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from streamlit.components.v2 import component

_HERE = Path(__file__).parent

_COMPONENT = component(
    "lesson_steps",
    html=(_HERE / "steps.html").read_text(encoding="utf-8"),
    css=(_HERE / "steps.css").read_text(encoding="utf-8"),
    js=(_HERE / "steps.js").read_text(encoding="utf-8"),
)


def lesson_steps(titles: Sequence[str], *, step: int, lesson: str, key: str, on_go: Callable[[], None]) -> None:
    """Marks for the steps, the one numbered `step` (from 1) being shown; the component's `go` is then the next one."""
    _COMPONENT(key=key, data={"titles": list(titles), "step": step, "lesson": lesson}, on_go_change=on_go)
