"""Which estimator measures a KL: the first that fits, from closed forms to brackets."""

from collections.abc import Sequence
from typing import Any

from cmcore.chain import Chain, JumpMap, JumpSampler, earliest_of, jump_map_of, make_chain
from cmcore.config import checked_seed
from cmcore.divergences.estimate import (
    DATA_MODEL,
    ESTIMATORS,
    MODEL_DATA,
    Direction,
    Estimate,
    Estimator,
    direction_of,
)
from cmcore.divergences.own_law import are_samples, has_law, kl_of_law, kl_of_samples
from cmcore.divergences.problem import FITTING, Problem
from cmcore.divergences.tools.line_law import TooFine
from cmcore.divergences.tools.push_forward import doubled
from cmcore.grids import TimeGrid, as_grid
from cmcore.map_check import require_map
from cmcore.targets.base import NoDensity, Target
from cmcore.threads import piecewise

FEWEST = 256
"""The least number of samples (or landings) an interval is made from."""


def kl(
    model: Any,
    target: Target,
    grid: TimeGrid | Sequence[float] | None = None,
    *,
    seed: int,
    sampler: JumpSampler = "deterministic",
    renoise: float | None = None,
    noiseless_end: bool = False,
    n: int | None = None,
    direction: Direction | None = None,
    earliest: float | None = None,
    delta: float = 0.0,
) -> Estimate:
    """KL between the law q of a model at time δ and p_δ, in nats; of a map's sampler as :func:`kl_of_chain` chooses.

    Args:
        model: a trained model or any map (x, t, s) → x_s, along a grid. Without a grid: a model with `log_prob(x)` and
            `sample((n,))`, such as a normalizing flow or a distribution of torch's, by its own density; or samples
            [n, d] as a tensor, an array or a file, for d ≤ 3 and by their neighbours, with all that samples cannot tell
            in the interval.
        target: the truth.
        grid: the times of a map, ending at δ; a list of numbers will do.
        seed: of all noise.
        sampler: "deterministic", "renoise", "algorithm_1" (the paper's) or "one_time"; see
            :func:`cmcore.chain.make_chain`.
        renoise: η_{k+1} as a share of t_{k+1} (0.5), or for "algorithm_1" of the step (1).
        noiseless_end: whether the last jump of a renoised sampler adds no noise.
        n: samples (20,000) or, renoised, landings (2^19) behind the estimate.
        direction: "KL(model‖data)" or "KL(data‖model)", or a spelling that `direction_of` knows; by default the former
            for deterministic sampling and the latter for renoised.
        earliest: where renoised jumps may land at the earliest; by default the δ of a trained model.
        delta: δ of a model without a grid.

    Raises:
        ValueError: in a sentence, what keeps a map from being measured, as :func:`cmcore.map_check.check_map` finds it.
    """
    if grid is None:
        return _kl_without_grid(model, target, seed=seed, n=n, direction=direction or MODEL_DATA, delta=delta)
    f, grid = jump_map_of(model), as_grid(grid)
    earliest = earliest_of(model) if earliest is None else earliest
    chain = make_chain(grid, sampler=sampler, renoise=renoise, noiseless_end=noiseless_end, earliest=earliest)
    require_map(f, target.dim, chain.stages, derivative=chain.deterministic)
    return kl_of_chain(f, target, chain, seed=seed, n=n, direction=direction)


def _kl_without_grid(
    model: Any, target: Target, *, seed: int, n: int | None, direction: Direction, delta: float
) -> Estimate:
    checked_seed(seed)
    if are_samples(model):
        return kl_of_samples(model, target, seed=seed, delta=delta, direction=direction)
    if has_law(model):
        return kl_of_law(model, target, seed=seed, delta=delta, direction=direction, **({} if n is None else {"n": n}))
    raise ValueError(
        "Without times there is nothing to measure here: give a map a grid, [3.0, 1.0, 0.3, 0.01] say; a model needs "
        "log_prob and sample; and samples are a tensor, an array or the name of a file."
    )


@piecewise()
def kl_of_chain(
    f: JumpMap, target: Target, chain: Chain, *, seed: int, n: int | None = None, direction: Direction | None = None
) -> Estimate:
    """KL between the law q of the last state of any chain and p_δ, in nats, by the estimator that fits the case.

    ==========================  ======================================================================
    Gaussian target, affine f   closed form
    product, coordinate-wise f  sum of one-dimensional quadratures
    d = 1                       quadrature
    deterministic               change of variables; all preimages (d = 2) or a bracket where f folds
    last stage noisy, d = 2     convolution on a grid
    noise before the end, d = 2 convolution up to the last noiseless jumps, change of variables through them
    last stage noisy, d > 2     sandwich between two mixtures
    ==========================  ======================================================================

    Args:
        f: the map of the stages.
        target: the truth.
        chain: what the sampler does, ending at δ.
        seed: of all noise.
        n: samples (20,000) or, where noise is added, landings (2^19) behind the estimate.
        direction: by default KL(model‖data) for deterministic chains and KL(data‖model) for others.
    """
    if n is not None and n < FEWEST:
        raise ValueError(f"An estimate with an interval needs at least {FEWEST} samples; got n = {n}.")
    if not target.has_score:
        raise NoDensity(f"{target.name} is known by its samples alone, so no KL against the truth can be had.")
    if chain.delta == 0 and not target.has_density:
        raise NoDensity(f"{target.name} has no density at t = 0, so no KL is finite there: end the grid at δ > 0.")
    checked_seed(seed)
    own = MODEL_DATA if chain.deterministic else DATA_MODEL
    problem = Problem(doubled(f), target, chain, own if direction is None else direction_of(direction), seed, n)
    try:
        for _, attempt in FITTING:
            if (estimate := attempt(problem)) is not None:
                return estimate
    except TooFine as error:  # one number is missing, and not the curve that it is a point of
        return _unknown(problem, str(error))
    return _unknown(problem, "The last jump adds no noise, and the law before it is known as samples only.")


def _unknown(problem: Problem, why: str) -> Estimate:
    """No number, and one sentence that says why."""
    nan, inf = float("nan"), float("inf")
    return Estimate(
        nan, 0.0, inf, problem.direction, problem.chain.delta, "none", n=0, floor=inf, trusted=False, note=why
    )


ESTIMATORS.register("none")(Estimator("none", "No estimator here knows the law of this sampler."))
