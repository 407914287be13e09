"""A sampler's KL against the number of its steps, as a curve with intervals."""

from cmcore.measure.curve import Curve, median_over_seeds
from cmcore.measure.kl_versus_steps import KLPoint, baseline_curves, kl_points, kl_versus_steps

__all__ = ["Curve", "KLPoint", "baseline_curves", "kl_points", "kl_versus_steps", "median_over_seeds"]
