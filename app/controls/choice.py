"""A chosen target."""

from dataclasses import dataclass

import cmcore as cm

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """A chosen target.

    Attributes:
        key: names the content, for caches.
        name: a short name for files and links.
        label: for people.
        target: the law.
    """

    key: str
    name: str
    label: str
    target: cm.Target
