"""What is proved, evaluated on the models at hand; what is claimed elsewhere; and the lines that compare the two."""

from cmcore.theory.best_grid import BestChain, least_bound, least_kl
from cmcore.theory.bound_a import BoundA, bound_a, bound_of_chain, map_error
from cmcore.theory.bound_b import BoundB, Supremum, bound_b
from cmcore.theory.fits import GROWTHS, GrowthFit, LineFit, best_growth, fit_line, limiting_slope, local_slopes, settled
from cmcore.theory.initialisation import initialisation_bound, initialisation_kl
from cmcore.theory.interval import Interval, share
from cmcore.theory.path_kl import Decomposition, decomposition
from cmcore.theory.rates import CAVEAT, CLAIMS, RATES, Claim, Rate, claimed_rate

__all__ = [
    "CAVEAT",
    "CLAIMS",
    "GROWTHS",
    "RATES",
    "BestChain",
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
    "bound_of_chain",
    "claimed_rate",
    "decomposition",
    "fit_line",
    "initialisation_bound",
    "initialisation_kl",
    "least_bound",
    "least_kl",
    "limiting_slope",
    "local_slopes",
    "map_error",
    "settled",
    "share",
]
