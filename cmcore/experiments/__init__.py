"""The questions: a config goes in, a frozen curve or result comes out."""

from importlib import import_module
from pkgutil import iter_modules

from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series
from cmcore.experiments.curve import Curve, median_over_seeds
from cmcore.experiments.kl_versus_steps import KLPoint, baseline_curves, kl_points, kl_versus_steps

__all__ = [
    "EXPERIMENTS",
    "Axis",
    "Curve",
    "Experiment",
    "Fit",
    "KLPoint",
    "Panel",
    "Progress",
    "Result",
    "Series",
    "baseline_curves",
    "kl_points",
    "kl_versus_steps",
    "median_over_seeds",
]

for _module in iter_modules(__path__):  # each file registers its experiment
    import_module(f"{__name__}.{_module.name}")
