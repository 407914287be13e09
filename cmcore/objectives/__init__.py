"""How the map is learned: one member of the family per file, all with one signature.

A published family is a short composition of shared pieces: an identity of the exact map (:mod:`.lagrangian`,
:mod:`.eulerian`, :mod:`.consistency`, :mod:`.semigroup`, :mod:`.moment_matching`), a source of velocity, a law of times
(:mod:`.times`), a metric (:mod:`.metrics`), and who makes the targets; see :mod:`.composition`.
"""

from importlib import import_module
from pkgutil import iter_modules

from cmcore.objectives.base import (
    OBJECTIVES,
    Learner,
    Need,
    Objective,
    Source,
    Velocity,
    VelocityField,
    make_objective,
)

__all__ = ["OBJECTIVES", "Learner", "Need", "Objective", "Source", "Velocity", "VelocityField", "make_objective"]

for _module in sorted(iter_modules(__path__), key=lambda module: module.name != "trajectory_regression"):
    import_module(f"{__name__}.{_module.name}")  # registers what it defines; the default comes first
