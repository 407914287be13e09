r"""The KL of a renoised sampler in the plane whose last jumps add no noise: multistep consistency sampling.

Before its last noiseless jumps the law is a mixture of Gaussians around scaled landings, known by convolution
(:mod:`cmcore.divergences.convolution_grid`). A triangular map takes N(0, I) there
(:mod:`cmcore.divergences.tools.plane_transport`), so that what is left is a deterministic chain from noise, measured by
a change of variables: folds, preimages and both directions are treated as there.

A finite number M of landings changes the law before the jumps and with it the KL, at random and by about C/M. The same
from four quarters of the landings, each with noise of its own, shows both: their spread enters the interval, and what
their mean lies above the whole, C/(M/4) − C/M, lengthens its lower end by a third.
"""

import math
from dataclasses import replace

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from cmcore.chain import Chain, JumpMap
from cmcore.divergences.change_of_variables import SAMPLES, kl_change_of_variables
from cmcore.divergences.convolution_grid import counted_landings
from cmcore.divergences.estimate import ESTIMATORS, Direction, Estimate, Estimator
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.plane_transport import PlaneTransport
from cmcore.grids import TimeGrid
from cmcore.process import Time
from cmcore.targets.base import Target

ESTIMATORS.register("last_jump")(
    Estimator(
        "convolution, then change of variables",
        "The law before the last noiseless jumps from where the noisy ones land, and their Jacobians from there on.",
    )
)

LANDINGS = 1 << 18
_QUARTERS, _FEWEST = 4, 1024


class _FromNoise(nn.Module):
    """N(0, I) to the law before the last jumps in a first stage, then the jumps.

    Args:
        f: the map of the jumps.
        before: N(0, I) → that law.
        top: the time that stands for N(0, I).
    """

    def __init__(self, f: JumpMap, before: PlaneTransport, top: float) -> None:
        super().__init__()
        self.f = f
        self.before = before
        self.top = top

    def forward(self, x: Tensor, t: Time, s: Time) -> Tensor:
        return self.before(x.double().cpu()).to(x) if t == self.top else self.f(x, t, s)


def kl_through_last_jump(
    f: JumpMap, target: Target, chain: Chain, *, seed: int, direction: Direction, n: int = LANDINGS
) -> Estimate:
    """KL between the law of a chain in the plane that ends with noiseless jumps and p_δ, in nats.

    Args:
        f: the map of the stages.
        target: the truth.
        chain: a stage for every step of its grid, some of them noisy but not the last.
        seed: of all noise.
        direction: which KL.
        n: M, landings before the last noiseless jumps; samples behind the change of variables are at most as many.
    """
    noisy = 1 + max(k for k, stage in enumerate(chain.stages) if stage.spread > 0)
    times = chain.grid.times
    before = Chain(TimeGrid(times[: noisy + 1]), chain.stages[:noisy])
    counted = counted_landings(f, target, before, n=n, seed=seed)
    top = times[noisy] + 1.0
    rest = TimeGrid((top, *times[noisy:]), chain.grid.name)
    quarters = counted.counts.unflatten(0, (_QUARTERS, -1)).sum(1)
    size = min(n, SAMPLES)

    def measured(counts: Tensor, samples: int, seed: int) -> Estimate:
        g = _FromNoise(f, PlaneTransport(counted.axes, counts, counted.variance), top)
        return kl_change_of_variables(g, target, rest, seed=seed, n=samples, direction=direction)

    whole = measured(quarters.sum(0), size, seed)
    few = max(_FEWEST, size // _QUARTERS)
    parts = [measured(counts, few, seed + 1 + i) for i, counts in enumerate(quarters)] if whole.trusted else []
    return _combined(whole, parts, counted.each * len(counted.counts))


def _combined(whole: Estimate, parts: list[Estimate], landings: int) -> Estimate:
    """The estimate from all landings, with what the quarters tell of its bias and of its error."""
    values = torch.tensor([part.value for part in parts], dtype=torch.float64)
    named = replace(
        whole,
        estimator="last_jump",
        note=f"{whole.note} By {whole.estimator} through the last jumps.".strip(),
        diagnostics={**whole.diagnostics, "landings": landings},
    )
    if not whole.trusted or not bool(torch.isfinite(values).all()):
        return replace(named, trusted=False)
    spread = float(stdtrit(_QUARTERS - 1, 0.975)) * float(values.std()) / math.sqrt(_QUARTERS)
    too_high = max(0.0, float(values.mean()) - whole.value) / 3
    below, above = (math.hypot(end, spread) for end in (whole.value - whole.low, whole.high - whole.value))
    low = whole.value - below - too_high
    return replace(named, low=low, high=whole.value + above, floor=math.hypot(whole.floor, spread))


@fits(45)
def _attempt(problem: Problem) -> Estimate | None:
    """In the plane, noise on the way but not at the end."""
    chain = problem.chain
    if problem.target.dim != 2 or problem.noisy_end or chain.deterministic or len(chain.stages) != chain.grid.steps:
        return None
    n = problem.n or LANDINGS
    return kl_through_last_jump(problem.f, problem.target, chain, seed=problem.seed, direction=problem.direction, n=n)
