"""How the map is learned: a published objective is one file of :mod:`.families`, all with one signature.

Each is a short composition of shared pieces: an identity of the exact map (:mod:`.identities`), a source of velocity, a
law of times (:mod:`.clocks`), a metric (:mod:`.metrics`), and who makes the targets; see :mod:`.composition`.
"""

from importlib import import_module
from pkgutil import iter_modules

from cmcore.objectives import families
from cmcore.objectives.base import (
    OBJECTIVES,
    BatchSource,
    LossContext,
    Need,
    Objective,
    Paper,
    Velocity,
    VelocityField,
    make_objective,
)
from cmcore.plugins import load_plugins

__all__ = [
    "OBJECTIVES",
    "BatchSource",
    "LossContext",
    "Need",
    "Objective",
    "Paper",
    "Velocity",
    "VelocityField",
    "make_objective",
]

for _module in sorted(iter_modules(families.__path__), key=lambda module: module.name != "trajectory_regression"):
    import_module(f"{families.__name__}.{_module.name}")  # registers what it defines; the default comes first
load_plugins(OBJECTIVES, lambda kind: isinstance(kind, type) and issubclass(kind, Objective))
