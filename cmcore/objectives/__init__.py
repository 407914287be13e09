"""How the map is learned: one member of the family per file, all with one signature."""

from cmcore.objectives import trajectory_regression as _trajectory_regression  # noqa: F401  registers itself
from cmcore.objectives.base import OBJECTIVES, Need, Objective, Source, make_objective

__all__ = ["OBJECTIVES", "Need", "Objective", "Source", "make_objective"]
