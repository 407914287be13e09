"""Command-line options made of settings."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cmcore.settings import Setting


def option(setting: "Setting") -> click.Option:
    """--name, taking the setting's own kind; several values are separated by commas, and None means not given."""
    flag = f"--{setting.name.replace('_', '-')}"
    shown = "decided by the run" if setting.default is None else setting.write(setting.default)
    words = f"{setting.help} [default: {shown}]".strip()
    if setting.kind == "switch":
        return click.Option([f"{flag}/--no{flag[1:]}"], default=None, help=words)
    if setting.kind == "several":
        return click.Option([flag], default=None, callback=_split, metavar="A,B,…", help=words)
    kinds = {"number": float, "whole number": int, "name": click.Choice(setting.choices)}
    return click.Option([flag], default=None, type=kinds.get(setting.kind, str), help=words)


def _split(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))
