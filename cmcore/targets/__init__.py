"""What is sampled: laws whose density and score are exact at every noise level."""

from cmcore.targets.base import NoDensity, Target
from cmcore.targets.box_mixture import BoxMixture
from cmcore.targets.circle_mixture import CircleMixture
from cmcore.targets.empirical import Empirical
from cmcore.targets.gallery import GALLERY, Toy, make_target
from cmcore.targets.gaussian_mixture import GaussianMixture
from cmcore.targets.product import Product, random_rotation

__all__ = [
    "GALLERY",
    "BoxMixture",
    "CircleMixture",
    "Empirical",
    "GaussianMixture",
    "NoDensity",
    "Product",
    "Target",
    "Toy",
    "make_target",
    "random_rotation",
]
