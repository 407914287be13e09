"""What is proved, evaluated on the models at hand; what is claimed elsewhere; and the lines that compare the two."""

from cmcore.theory.bound_a import BoundA, bound_a, map_error
from cmcore.theory.bound_b import BoundB, Supremum, bound_b
from cmcore.theory.fits import GROWTHS, GrowthFit, LineFit, best_growth, fit_line, local_slopes, settled
from cmcore.theory.initialisation import initialisation_bound, initialisation_kl
from cmcore.theory.interval import Interval
from cmcore.theory.path_kl import Decomposition, decomposition
from cmcore.theory.rates import CAVEAT, CLAIMS, RATES, Claim, Rate, claimed_rate

__all__ = [
    "CAVEAT",
    "CLAIMS",
    "GROWTHS",
    "RATES",
    "BoundA",
    "BoundB",
    "Claim",
    "Decomposition",
    "GrowthFit",
    "Interval",
    "LineFit",
    "Rate",
    "Supremum",
    "best_growth",
    "bound_a",
    "bound_b",
    "claimed_rate",
    "decomposition",
    "fit_line",
    "initialisation_bound",
    "initialisation_kl",
    "local_slopes",
    "map_error",
    "settled",
]
