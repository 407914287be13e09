"""Which steps of which lessons were seen, kept by the browser from one visit to the next; draws nothing."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from streamlit.components.v2 import component

_COMPONENT = component("lesson_memory", js=Path(__file__).with_name("memory.js").read_text(encoding="utf-8"))


def lesson_memory(seen: Mapping[str, Iterable[int]], *, key: str, on_seen: Callable[[], None]) -> None:
    """Have the browser keep the steps seen, by lesson; what it has of earlier visits is the component's `seen`."""
    _COMPONENT(key=key, data={slug: sorted(steps) for slug, steps in seen.items()}, on_seen_change=on_seen)
