"""What is sampled: laws whose density and score are exact at every noise level."""

from cmcore.targets.base import NoDensity, Target
from cmcore.targets.gallery import GALLERY, make_target
from cmcore.targets.gaussian_mixture import GaussianMixture

__all__ = ["GALLERY", "GaussianMixture", "NoDensity", "Target", "make_target"]
