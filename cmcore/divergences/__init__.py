"""How good a sampler is: KL divergences against the truth, each with an interval, a floor and diagnostics."""

from importlib import import_module
from pkgutil import iter_modules

from cmcore.divergences.change_of_variables import kl_change_of_variables
from cmcore.divergences.choose import FEWEST, kl, kl_of_chain
from cmcore.divergences.classifier import classifier_accuracy
from cmcore.divergences.comparison import SampleComparison, compare_samples, compare_with_target
from cmcore.divergences.convolution_grid import kl_convolution_grid
from cmcore.divergences.difference import Difference, kl_difference
from cmcore.divergences.distances import Distance, energy_distance, mmd, sliced_wasserstein
from cmcore.divergences.early_stopping import kl_to_noised
from cmcore.divergences.estimate import (
    DATA_MODEL,
    ESTIMATORS,
    MODEL_DATA,
    Direction,
    Estimate,
    Estimator,
    direction_of,
)
from cmcore.divergences.gaussian import gaussian_kl, kl_gaussian
from cmcore.divergences.histogram import kl_histogram
from cmcore.divergences.last_jump import kl_through_last_jump
from cmcore.divergences.neighbours import kl_neighbours, kl_neighbours_with_density
from cmcore.divergences.product import kl_product
from cmcore.divergences.quadrature_1d import kl_1d
from cmcore.divergences.sandwich import kl_sandwich
from cmcore.divergences.tools.off_mode import off_mode_mass

__all__ = [
    "DATA_MODEL",
    "ESTIMATORS",
    "FEWEST",
    "MODEL_DATA",
    "Difference",
    "Direction",
    "Distance",
    "Estimate",
    "Estimator",
    "SampleComparison",
    "classifier_accuracy",
    "compare_samples",
    "compare_with_target",
    "direction_of",
    "energy_distance",
    "gaussian_kl",
    "kl",
    "kl_1d",
    "kl_change_of_variables",
    "kl_convolution_grid",
    "kl_difference",
    "kl_gaussian",
    "kl_histogram",
    "kl_neighbours",
    "kl_neighbours_with_density",
    "kl_of_chain",
    "kl_product",
    "kl_sandwich",
    "kl_through_last_jump",
    "kl_to_noised",
    "mmd",
    "off_mode_mass",
    "sliced_wasserstein",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")  # registers the estimator that it defines
