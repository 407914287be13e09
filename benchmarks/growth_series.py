"""What `benchmarks/growth.py` measures: pieces of work, what they grow with, and by which power they should."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch

import cmcore as cm
from benchmarks.disturbed import Disturbed
from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl_of_chain
from cmcore.divergences.tools.off_mode import density_level
from cmcore.flow import TrajectoryPool
from cmcore.pools import exact_pool
from cmcore.training_defaults import resolved
from cmcore.training_run import BLOCK, TrainingRun

HORIZON, DELTA = 3.0, 0.05
AMOUNT = 0.2
"""Of the disturbance: the map does not fold, and the KL is small."""
DIMENSIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
NUMBERS = tuple(first * 10**power for power in range(3, 8) for first in (1, 3))[:-1]
WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
JUMPS = MEMBERS = DIMENSIONS
COMPONENTS = tuple(2**power for power in range(1, 13))
VALUES = {"d": DIMENSIONS, "n": NUMBERS, "width": WIDTHS, "N": JUMPS, "members": MEMBERS, "components": COMPONENTS}


@dataclass(frozen=True)
class Setting:
    """A problem; one of its numbers is varied at a time."""

    d: int = 2
    n: int = 1 << 12
    width: int = 96
    depth: int = 3
    N: int = 2
    members: int = 1
    components: int = 8

    @property
    def network(self) -> cm.NetworkConfig:
        return cm.NetworkConfig(width=self.width, depth=self.depth)

    @property
    def target(self) -> cm.Target:
        """A mixture whose law is nearly N(0, I) whatever its size, so that one map is near its flow everywhere."""
        generator = torch.Generator().manual_seed(1)
        means = 0.3 * torch.randn(self.components, self.d, generator=generator, dtype=torch.float64)
        variances = 0.9 + 0.02 * torch.rand(self.components, generator=generator, dtype=torch.float64)
        return cm.GaussianMixture(torch.ones(self.components), means, variances, name="nearly N(0, I)")

    @property
    def flow_map(self) -> cm.FlowMap:
        """A network as it is before training."""
        return cm.FlowMap(self.d, self.network, generator=torch.Generator().manual_seed(2))


class Growth(NamedTuple):
    """By which powers of a number time and memory should grow at most, and why."""

    seconds: float
    megabytes: float
    reason: str


@dataclass(frozen=True)
class Work:
    """A piece of work.

    Attributes:
        name: for people.
        make: what is to be measured, made ready for a setting.
        base: the setting in which one number is varied.
        growth: for each number that is varied, how the work should grow with it.
        times: how often one call does it.
        bases: other settings, in which a number that is varied comes farther.
    """

    name: str
    make: Callable[[Setting], Callable[[], object]]
    base: Setting
    growth: Mapping[str, Growth]
    times: int = 1
    bases: Mapping[str, Setting] = field(default_factory=dict)

    def at(self, against: str, value: int) -> Callable[[], object]:
        """The work where one number is this."""
        return self.make(replace(self.bases.get(against, self.base), **{against: value}))


# ---- training -------------------------------------------------------------------------------------------------------
def _run(setting: Setting) -> TrainingRun:
    """A run of the default recipe, ready for its first step, on a pool of n trajectories that cost nothing to make."""
    config = cm.TrainingConfig(
        network=cm.NetworkConfig(width=setting.width),
        objective_parameters={"trajectories": 1_000, "levels": 9},
        steps=10_000,
        threads=1,
    )
    target = setting.target
    seeds = range(setting.members) if setting.members > 1 else None
    run = TrainingRun(target, resolved(config, target), seeds=seeds)
    for _ in run.prepare():
        pass
    noise = torch.randn(1, setting.n, setting.d)
    pool = TrajectoryPool(torch.linspace(1.5, 0.0, 9), noise.expand(9, -1, -1), 0.0)
    vars(pool)["stretch"] = torch.rand(setting.n)  # which is a part of making a pool
    run.prepared = [pool] * setting.members
    run.batches = run._stream_of_batches()
    return run


def _steps(setting: Setting) -> Callable[[], object]:
    run = _run(setting)
    run.take_step()

    def steps() -> None:
        for _ in range(BLOCK):
            run.take_step()

    return steps


def _models(setting: Setting) -> Callable[[], object]:
    run = _run(setting)
    return lambda: run.models("stopped", 0.0)


def _pool(setting: Setting) -> Callable[[], object]:
    target = setting.target

    def make() -> object:
        choice: dict[str, Any] = {"horizon": HORIZON, "delta": 0.0, "levels": 65, "wide_share": 0.1}
        generator = torch.Generator().manual_seed(0)
        growing = exact_pool(target, generator=generator, device=torch.device("cpu"), **choice)
        growing.grow(setting.n, room=setting.n)
        return growing.pool(setting.n).stretch

    return make


# ---- draws and divergences ------------------------------------------------------------------------------------------
def _draw(setting: Setting, sampler: str) -> Callable[[], object]:
    f = setting.flow_map
    return lambda: cm.sample(f, setting.n, setting.N, seed=0, sampler=sampler, horizon=HORIZON, delta=DELTA)


def _kl(setting: Setting, sampler: Any, direction: Any) -> Callable[[], object]:
    target, f = setting.target, Disturbed(setting.flow_map, AMOUNT)
    chain = make_chain(cm.make_grid("uniform_angle", setting.N, horizon=HORIZON, delta=DELTA), sampler=sampler)
    density_level(target, DELTA)  # once for each target and δ; a row of its own
    return lambda: kl_of_chain(f, target, chain, seed=0, n=setting.n, direction=direction)


def _level(setting: Setting) -> Callable[[], object]:
    target = setting.target

    def level() -> object:
        density_level.cache_clear()
        return density_level(target, DELTA)

    return level


LANDINGS = 1 << 15
SMALL = Setting(width=16, depth=1, N=1, components=2)
FAR = {"n": SMALL}
PASSES = "N jumps, each a pass and d backward passes; the outer layers are as wide as d, the determinant is d³"
BY_NEWTON = "Newton's method through d + 1 passes a step from starts for at most 4,096 points; a d × d system for each"
WORKS = (
    Work(
        "training step",
        _steps,
        Setting(n=1_000),
        {
            "d": Growth(1, 1, "only the outer layers are as wide as d"),
            "n": Growth(0, 0, "a batch is as large whatever the pool; the memory is the pool"),
            "width": Growth(3, 2, "products with the batch are width², Muon's orthogonalisation width³"),
            "members": Growth(1, 1, "as many maps and batches"),
        },
        times=BLOCK,
        bases={"members": Setting(n=1_000, width=16)},
    ),
    Work(
        "trained models of a run",
        _models,
        Setting(n=1_000),
        {"members": Growth(1, 1, "each member is copied once")},
    ),
    Work(
        "pool and its stretch",
        _pool,
        Setting(n=1 << 12),
        {
            "d": Growth(1, 1, "a score is components × d; 65 states of d numbers"),
            "n": Growth(1, 1, "each trajectory by itself; 65 states of each"),
            "components": Growth(1, 0, "a score is a sum over components, in pieces of points"),
        },
        bases=FAR,
    ),
    *(
        Work(
            f"draw, {sampler}",
            partial(_draw, sampler=sampler),
            Setting(n=1 << 15, N=4),
            {
                "d": Growth(1, 1, "only the outer layers are as wide as d; states of d numbers"),
                "n": Growth(1, 1, "each point by itself; all its states are the answer"),
                "width": Growth(2, 1, "products width²; activations of 1,024 points at a time"),
                "N": Growth(1, 1, "a call a jump; all states are the answer"),
            },
            bases=FAR,
        )
        for sampler in ("deterministic", "renoise")
    ),
    Work(
        "KL(q‖p), deterministic",
        partial(_kl, sampler="deterministic", direction=MODEL_DATA),
        Setting(n=1 << 12),
        {
            "d": Growth(2, 2, PASSES),
            "n": Growth(1, 1, "each point by itself"),
            "width": Growth(2, 1, "products width²; activations of 512 points at a time"),
            "N": Growth(1, 0, "a Jacobian a jump"),
            "components": Growth(1, 0, "a density is a sum over components, in pieces of points"),
        },
        bases=FAR,
    ),
    Work(
        "KL(p‖q), deterministic",
        partial(_kl, sampler="deterministic", direction=DATA_MODEL),
        Setting(n=1 << 10),
        {
            "d": Growth(2, 2, BY_NEWTON),
            "n": Growth(1, 1, "in the plane each point of the model by itself, as in the other direction"),
            "width": Growth(2, 1, "products width²; activations of 512 points at a time"),
            "N": Growth(1, 0, "a Jacobian a jump"),
            "components": Growth(1, 0, "a density is a sum over components, in pieces of points"),
        },
        bases={**FAR, "d": replace(SMALL, n=256)},
    ),
    *(
        Work(
            f"KL({pair}), renoised",
            partial(_kl, sampler="renoise", direction=direction),
            Setting(n=LANDINGS),
            {
                "d": Growth(1, 1, "beyond the plane 4,096 points × n landings, d products each; outer layers"),
                "n": Growth(1, 0, "each landing by itself, counted in cells"),
                "width": Growth(2, 1, "products width²; activations of 1,024 points at a time"),
                "N": Growth(1, 0, "a call a jump"),
                "components": Growth(1, 0, "one density at each cell of the grid, in pieces"),
            },
            bases=FAR,
        )
        for pair, direction in (("q‖p", MODEL_DATA), ("p‖q", DATA_MODEL))
    ),
    Work(
        "level of the density",
        _level,
        Setting(),
        {
            "d": Growth(1, 1, "200,000 exact samples, once for a target and δ"),
            "components": Growth(1, 0, "a density is a sum over components, in pieces of points"),
        },
    ),
)
