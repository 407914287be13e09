"""How KL falls with the number of network calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmcore.chain import earliest_of, usual_share
from cmcore.config import USUAL_GRID
from cmcore.divergences import Direction, Estimate, kl_of_chain
from cmcore.grids import TimeGrid
from cmcore.map_check import require_map
from cmcore.measure.curve import Curve
from cmcore.samplers import SAMPLERS, Score, grid_for, score_of, source_for
from cmcore.targets.base import Target

STEPS = (1, 2, 4, 8, 16)
BASELINES = ("ddim", "heun", "dpm++2m", "exponential_sde")
"""The baselines that are shown unless others are named."""


@dataclass(frozen=True)
class KLPoint:
    """One point of a curve: N network calls asked for, the calls of each sample really taken, and the KL."""

    steps: int
    calls: int
    grid: TimeGrid
    estimate: Estimate


def kl_points(
    model: Any,
    target: Target,
    steps: Sequence[int] = STEPS,
    *,
    seed: int,
    sampler: str = "deterministic",
    grid: str | TimeGrid = USUAL_GRID,
    horizon: float | None = None,
    delta: float | None = None,
    renoise: float | None = None,
    score: Score | None = None,
    n: int | None = None,
    direction: Direction | None = None,
) -> Iterator[KLPoint]:
    """The points of :func:`kl_versus_steps` one at a time, for whoever shows progress.

    `grid` may also be the times themselves, for a single N whose K jumps they hold.
    """
    chosen = SAMPLERS[sampler]
    source = source_for(model, chosen, score)
    if delta is None and not hasattr(model, "delta"):
        delta = target.default_delta
    learned = earliest_of(model) if chosen.needs == "map" else 0.0  # a solver asks for no score before δ
    for calls in steps:
        jumps = calls // chosen.calls_per_jump
        if jumps < 1:
            continue
        times = grid_for(model, grid, jumps, horizon, delta, target=target, seed=seed)
        plan = chosen.plan(source, times, renoise=renoise, earliest=learned)
        if chosen.needs == "map":
            require_map(source, target.dim, plan.chain.stages, derivative=plan.chain.deterministic)
        estimate = kl_of_chain(plan.f, target, plan.chain, n=n, seed=seed, direction=direction)
        if times.delta < learned:
            words = f"The last jump lands at t = {times.delta:g}, but this map was trained to δ = {learned:g} only."
            estimate = replace(estimate, note=f"{estimate.note} {words}".strip())
        yield KLPoint(calls, plan.calls, times, estimate)


def kl_versus_steps(
    model: Any,
    target: Target,
    steps: Sequence[int] = STEPS,
    *,
    seed: int,
    sampler: str = "deterministic",
    grid: str = USUAL_GRID,
    horizon: float | None = None,
    delta: float | None = None,
    renoise: float | None = None,
    score: Score | None = None,
    n: int | None = None,
    direction: Direction | None = None,
) -> Curve:
    """KL between samples and truth, in nats, for several numbers of network calls N.

    Args:
        model: a trained model, any map (x, t, s) → x_s, or for the baselines a target or a score.
        target: the truth.
        steps: the N to try. A sampler that makes two calls a step gets N/2 steps, and no point at N = 1.
        seed: of all noise; the same starting noise serves every N.
        sampler: a name in `SAMPLERS`.
        grid: a name in `GRIDS` or `FITTED_GRIDS`.
        horizon: T; by default the model's own, else 3.
        delta: δ, where q and p_δ are compared; by default the model's own, else the target's.
        renoise: η as a share of t, or of the step, for a sampler that renoises; by default its own.
        score: what a baseline follows, "exact" or the "model"'s own; by default exact where the target is known.
        n: samples (or landings) behind each estimate.
        direction: by default KL(model‖data) for deterministic sampling and KL(data‖model) for renoised.
    """
    renoise = usual_share(sampler) if renoise is None else renoise
    choices: dict[str, Any] = {"grid": grid, "horizon": horizon, "delta": delta, "renoise": renoise, "n": n}
    if SAMPLERS[sampler].needs == "score":
        choices["score"] = score_of(model, score)[1]
    points = list(kl_points(model, target, steps, seed=seed, sampler=sampler, direction=direction, **choices))
    if not points:
        raise ValueError(f"{SAMPLERS[sampler].label} needs at least {SAMPLERS[sampler].calls_per_jump} calls.")
    last = points[-1].grid
    config = choices | {"horizon": last.horizon, "delta": last.delta, "target": target.name}
    return Curve(
        axis="steps",
        values=tuple(float(point.steps) for point in points),
        estimates=tuple(point.estimate for point in points),
        calls=tuple(point.calls for point in points),
        sampler=sampler,
        config=config,
        seed=seed,
    )


def baseline_curves(
    target: Target,
    steps: Sequence[int] = STEPS,
    *,
    seed: int,
    names: Sequence[str] = BASELINES,
    model: Any = None,
    **choices: Any,
) -> dict[str, Curve]:
    """The same curves for baselines by name.

    Args:
        names: samplers that follow a score.
        model: a trained model, for score="model"; without one they follow the target's exact score and learn nothing.
        choices: as in :func:`kl_versus_steps`.
    """
    source = target if model is None else model
    return {name: kl_versus_steps(source, target, steps, seed=seed, sampler=name, **choices) for name in names}
