"""What a learned map does, point by point, beside the exact flow: where it errs, folds, bends, and loses mass."""

from cmcore.diagnostics.folds import Determinant, determinant, exact_determinant, fold_share
from cmcore.diagnostics.map_error import ExactPairs, exact_pairs, landing_error
from cmcore.diagnostics.mode_mass import ModeMass, Modes, mode_mass, modes_of
from cmcore.diagnostics.quantities import QUANTITIES, OverLaw, Quantity
from cmcore.diagnostics.residuals import eulerian_residual, lagrangian_residual, midway, semigroup_residual
from cmcore.diagnostics.straightness import Bends, bends, exact_bends, map_bends, path_times

__all__ = [
    "QUANTITIES",
    "Bends",
    "Determinant",
    "ExactPairs",
    "ModeMass",
    "Modes",
    "OverLaw",
    "Quantity",
    "bends",
    "determinant",
    "eulerian_residual",
    "exact_bends",
    "exact_determinant",
    "exact_pairs",
    "fold_share",
    "lagrangian_residual",
    "landing_error",
    "map_bends",
    "midway",
    "mode_mass",
    "modes_of",
    "path_times",
    "semigroup_residual",
]
