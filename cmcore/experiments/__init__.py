"""Experiments on the theory: a config goes in, a frozen result comes out."""

from importlib import import_module
from pkgutil import iter_modules

from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series

__all__ = [
    "EXPERIMENTS",
    "Axis",
    "Experiment",
    "Fit",
    "Panel",
    "Progress",
    "Result",
    "Series",
]

for _module in iter_modules(__path__):  # each file registers its experiment
    import_module(f"{__name__}.{_module.name}")
