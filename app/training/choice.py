"""A chosen target."""

from dataclasses import dataclass

import cmcore as cm
from app.quoting import one_line
from app.runs.run import LONGEST_LABEL

SOURCES = ("Gallery", "Draw", "Your data (CSV)")
"""Where a target comes from."""
FILE = "file"
"""How a link names a table that it cannot carry."""


@dataclass(frozen=True)
class Choice:
    """A chosen target.

    Attributes:
        key: names the content, for caches.
        name: a short name for files and links.
        label: for people; one line of printable characters, whatever it was made from.
        target: the law.
    """

    key: str
    name: str
    label: str
    target: cm.Target

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", one_line(self.label, LONGEST_LABEL))
