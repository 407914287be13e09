"""How good a sampler is: KL divergences against the truth, each with an interval, a floor and diagnostics."""

from typing import Any

from cmcore.chain import JumpSampler, jump_map_of, make_chain
from cmcore.divergences.change_of_variables import kl_change_of_variables
from cmcore.divergences.convolution_grid import LANDINGS, kl_convolution_grid
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator
from cmcore.divergences.off_mode import off_mode_mass
from cmcore.grids import TimeGrid
from cmcore.targets.base import Target

__all__ = [
    "DATA_MODEL",
    "ESTIMATORS",
    "MODEL_DATA",
    "Direction",
    "Estimate",
    "Estimator",
    "kl",
    "kl_change_of_variables",
    "kl_convolution_grid",
    "off_mode_mass",
]


def kl(
    model: Any,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    sampler: JumpSampler = "deterministic",
    renoise: float = 0.5,
    noiseless_end: bool = False,
    n: int | None = None,
    direction: Direction | None = None,
) -> Estimate:
    """KL between the law q of a sampler at time δ and p_δ, by the estimator that fits the case.

    Args:
        model: a trained model or any map (x, t, s) → x_s.
        target: the truth.
        grid: the times, ending at δ.
        seed: of all noise.
        sampler: "deterministic" or "renoise".
        renoise: η_{k+1} as a share of t_{k+1}, when renoising.
        noiseless_end: whether the last jump of a renoised sampler adds no noise.
        n: samples (deterministic, 20,000) or landings (renoised, 2^19) behind the estimate.
        direction: by default KL(model‖data) for deterministic sampling and KL(data‖model) for renoised.
    """
    f = jump_map_of(model)
    chain = make_chain(grid, sampler=sampler, renoise=renoise, noiseless_end=noiseless_end)
    if chain.deterministic:
        return kl_change_of_variables(f, target, grid, seed=seed, n=n or 20_000, direction=direction or MODEL_DATA)
    return kl_convolution_grid(f, target, chain, seed=seed, n=n or LANDINGS, direction=direction or DATA_MODEL)
