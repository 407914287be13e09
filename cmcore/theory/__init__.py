"""Bounds evaluated on models, rates that other works claim, and line fits that compare the two."""

from cmcore.theory.best_grid import BestChain, least_bound, least_kl
from cmcore.theory.bound_a import BoundA, bound_a, bound_of_chain, map_error
from cmcore.theory.bound_b import BoundB, Supremum, bound_b
from cmcore.theory.fits import GROWTHS, GrowthFit, LineFit, best_growth, fit_line, limiting_slope, local_slopes, settled
from cmcore.theory.initialisation import initialisation_bound, initialisation_kl
from cmcore.theory.interval import Interval, share
from cmcore.theory.paper_bound import (
    PREMISE,
    Assumption,
    PaperBound,
    paper_bound,
    paper_bound_of_chain,
    paper_start,
    steepness,
)
from cmcore.theory.path_kl import Decomposition, decomposition
from cmcore.theory.rates import AS_OF, CAVEAT, CLAIMS, NOT_A_QUERY, RATES, Claim, Rate, claimed_rate, least_queries
from cmcore.theory.score_map import ScoreMap, score_with_error

__all__ = [
    "AS_OF",
    "CAVEAT",
    "CLAIMS",
    "GROWTHS",
    "NOT_A_QUERY",
    "PREMISE",
    "RATES",
    "Assumption",
    "BestChain",
    "BoundA",
    "BoundB",
    "Claim",
    "Decomposition",
    "GrowthFit",
    "Interval",
    "LineFit",
    "PaperBound",
    "Rate",
    "ScoreMap",
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
    "least_queries",
    "limiting_slope",
    "local_slopes",
    "map_error",
    "paper_bound",
    "paper_bound_of_chain",
    "paper_start",
    "score_with_error",
    "settled",
    "share",
    "steepness",
]
