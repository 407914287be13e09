"""The control of a setting, whatever it is a setting of."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import state
from app.quoting import plain
from cmcore.settings import LONGEST, Setting


def widget_value(setting: Setting, value: Any) -> Any:
    """A value as the control holds it: several are text with commas."""
    return setting.write(value) if setting.kind == "several" else value


def setting_widget(
    setting: Setting, key: str, *, disabled: bool = False, labels: Mapping[str, str] | None = None
) -> Any:
    """Show the control, whose value lives under `key`; what the setting takes.

    Args:
        labels: what choices are called, where their names will not do.
    """
    state.set_default(key, widget_value(setting, setting.default))
    server = f"; here up to {setting.most:,.15g}" if setting.capped else ""
    shared: dict[str, Any] = {
        "key": key,
        "help": plain(f"{setting.help}{server}") or None,
        "disabled": disabled,
        "persist_state": "session",
    }
    if setting.kind == "switch":
        return st.toggle(setting.label, **shared)
    if setting.kind == "name":
        called = labels or {}
        words = lambda name: called.get(name) or name.replace("_", " ")  # noqa: E731
        return st.selectbox(setting.label, list(setting.choices), format_func=words, **shared)
    if setting.is_number:
        kind = int if setting.kind == "whole number" else float
        form: dict[str, Any] = {"step": 1} if kind is int else {"format": "%g"}
        empty = {"value": None, "placeholder": "auto"} if setting.default is None else {}
        return st.number_input(setting.label, kind(setting.least), kind(setting.most), **form, **empty, **shared)
    text = (st.text_input(setting.label, max_chars=LONGEST, **shared) or "")[:LONGEST]  # the browser alone keeps to it
    if setting.kind == "several":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
