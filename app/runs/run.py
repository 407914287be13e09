"""A trained model as the pages speak of it."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import cmcore as cm
from app.quoting import file_stem, one_line
from cmcore.pools import same_law

LONGEST_LABEL = 120
"""Characters of what a run is called after a file, or after the run that it continues."""
_laws: WeakKeyDictionary[cm.Target, Hashable] = WeakKeyDictionary()


@dataclass(frozen=True)
class Run:
    """A trained model with its name.

    Attributes:
        key: names it in links and caches; two runs never share one.
        label: for people; one line of printable characters, whatever it was made from.
        model: the trained model with its target.
        curves: precomputed KL curves by name, where there are some.
        shipped: whether it came with the lab.
    """

    key: str
    label: str
    model: cm.TrainedModel
    curves: Mapping[str, cm.Curve] = field(default_factory=dict)
    shipped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", one_line(self.label, LONGEST_LABEL) or file_stem(self.key))

    @property
    def name(self) -> str:
        """What its key was made from: as a rule the name of its target."""
        return re.sub(r"-[0-9a-f]{8}$", "", self.key)

    @property
    def target(self) -> cm.Target:
        if self.model.target is None:
            raise ValueError(f"The run {self.label} does not carry its target, so there is no truth to compare with.")
        return self.model.target

    @property
    def target_key(self) -> Hashable:
        """Equal for two runs that learned the same law: by its name and parameters, or by its numbers."""
        target = self.target
        if target not in _laws:
            _laws[target] = same_law(target)
        return _laws[target]
