"""Waits in the browser for the stage's first picture; draws nothing."""

from collections.abc import Callable
from pathlib import Path

from streamlit.components.v2 import component

_COMPONENT = component("picture_watch", js=Path(__file__).with_name("watch.js").read_text(encoding="utf-8"))


def picture_watch(on_over: Callable[[], None]) -> None:
    """Call `on_over` once the stage has drawn, or 3 s later where it draws nothing."""
    _COMPONENT(key="picture_watch", on_over_change=on_over)
