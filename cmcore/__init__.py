"""The engine of Consistency Lab: exact targets, learned flow maps, few-step samples, and KL against the truth.

    import cmcore as cm

    target = cm.make_target("eight_gaussians")
    model = cm.train(target, objective="trajectory_regression", steps=8_000, seed=0)
    draw = cm.sample(model, n=10_000, steps=4, sampler="deterministic", seed=1)
    curve = cm.kl_versus_steps(model, target, steps=[1, 2, 4, 8, 16], seed=2)
    print(curve.to_frame())

Names are brought in when first used, so that `import cmcore` and `cmcore --help` do not wait for torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmcore.config import NetworkConfig, SamplerConfig, TargetConfig, TrainingConfig
    from cmcore.divergences import Estimate, compare_samples, compare_with_target, kl
    from cmcore.flow import ExactFlow, trajectory_pool
    from cmcore.grids import TimeGrid, make_grid
    from cmcore.map_check import check_map
    from cmcore.measure import Curve, kl_versus_steps
    from cmcore.model import FlowMap, TrainedModel
    from cmcore.samplers import Trajectory, sample
    from cmcore.store import ExternalResult, load, load_external, save, save_external
    from cmcore.sweep import read_sweep, run_sweep
    from cmcore.targets import (
        BoxMixture,
        CircleMixture,
        Empirical,
        GaussianMixture,
        Product,
        Samples,
        TableTarget,
        Target,
        make_target,
        read_table,
        real_table,
    )
    from cmcore.training import TrainingEvent, continuation, train, train_members, training, with_raw_weights
    from cmcore.wrap import wrap

__all__ = [
    "BoxMixture",
    "CircleMixture",
    "Curve",
    "Empirical",
    "Estimate",
    "ExactFlow",
    "ExternalResult",
    "FlowMap",
    "GaussianMixture",
    "NetworkConfig",
    "Product",
    "SamplerConfig",
    "Samples",
    "TableTarget",
    "Target",
    "TargetConfig",
    "TimeGrid",
    "TrainedModel",
    "TrainingConfig",
    "TrainingEvent",
    "Trajectory",
    "check_map",
    "compare_samples",
    "compare_with_target",
    "estimators",
    "kl",
    "kl_versus_steps",
    "load",
    "load_external",
    "make_grid",
    "make_target",
    "objectives",
    "read_sweep",
    "read_table",
    "real_table",
    "run_sweep",
    "sample",
    "samplers",
    "save",
    "save_external",
    "targets",
    "train",
    "train_members",
    "training",
    "trajectory_pool",
    "with_raw_weights",
    "wrap",
]

_HOMES = {
    "config": ("NetworkConfig", "SamplerConfig", "TargetConfig", "TrainingConfig"),
    "divergences": ("Estimate", "compare_samples", "compare_with_target", "kl"),
    "measure": ("Curve", "kl_versus_steps"),
    "flow": ("ExactFlow", "trajectory_pool"),
    "grids": ("TimeGrid", "make_grid"),
    "map_check": ("check_map",),
    "model": ("FlowMap", "TrainedModel"),
    "samplers": ("Trajectory", "sample"),
    "store": ("ExternalResult", "load", "load_external", "save", "save_external"),
    "sweep": ("read_sweep", "run_sweep"),
    "targets": (
        "BoxMixture",
        "CircleMixture",
        "Empirical",
        "GaussianMixture",
        "Product",
        "Samples",
        "TableTarget",
        "Target",
        "make_target",
        "read_table",
        "real_table",
    ),
    "training": ("TrainingEvent", "continuation", "train", "train_members", "training", "with_raw_weights"),
    "wrap": ("wrap",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def targets() -> tuple[str, ...]:
    """Names of the gallery's targets, for :func:`make_target`."""
    return tuple(import_module("cmcore.targets").GALLERY)


def objectives() -> tuple[str, ...]:
    """Names of the training objectives, for :func:`train`."""
    return tuple(import_module("cmcore.objectives").OBJECTIVES)


def samplers() -> tuple[str, ...]:
    """Names of the samplers, for :func:`sample`."""
    return tuple(import_module("cmcore.samplers").SAMPLERS)


def estimators() -> tuple[str, ...]:
    """Names of the divergence estimators."""
    return tuple(import_module("cmcore.divergences").ESTIMATORS)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"cmcore.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `cm.targets()` and `cm.training(...)` what they are when modules of the same names are loaded."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
