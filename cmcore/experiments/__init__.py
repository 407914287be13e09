"""The questions: a config goes in, a frozen curve comes out."""

from cmcore.experiments.curve import Curve, median_over_seeds
from cmcore.experiments.kl_versus_steps import KLPoint, baseline_curves, kl_points, kl_versus_steps

__all__ = ["Curve", "KLPoint", "baseline_curves", "kl_points", "kl_versus_steps", "median_over_seeds"]
