"""How KL falls with the number of network calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmcore.chain import earliest_of
from cmcore.divergences import Direction, Estimate, kl
from cmcore.experiments.curve import Curve
from cmcore.grids import TimeGrid
from cmcore.samplers import SAMPLERS, grid_for, source_for
from cmcore.targets.base import Target

__all__ = ["KLPoint", "baseline_curves", "kl_points", "kl_versus_steps"]

STEPS = (1, 2, 4, 8, 16)


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
    grid: str = "uniform_angle",
    horizon: float | None = None,
    delta: float | None = None,
    renoise: float = 0.5,
    n: int | None = None,
    direction: Direction | None = None,
) -> Iterator[KLPoint]:
    """The points of :func:`kl_versus_steps` one at a time, for whoever shows progress."""
    chosen = SAMPLERS[sampler]
    f = chosen.jump(source_for(model, chosen))
    plan = "renoise" if chosen.noisy else "deterministic"
    if delta is None and not hasattr(model, "delta"):
        delta = target.default_delta
    learned = earliest_of(model)
    for calls in steps:
        jumps = calls // chosen.calls_per_jump
        if jumps < 1:
            continue
        times = grid_for(model, grid, jumps, horizon, delta)
        estimate = kl(
            f, target, times, sampler=plan, renoise=renoise, n=n, seed=seed, direction=direction, earliest=learned
        )
        if times.delta < learned:
            words = f"The last jump lands at t = {times.delta:g}, but this map was trained to δ = {learned:g} only."
            estimate = replace(estimate, note=f"{estimate.note} {words}".strip())
        yield KLPoint(calls, chosen.calls(times), times, estimate)


def kl_versus_steps(
    model: Any,
    target: Target,
    steps: Sequence[int] = STEPS,
    *,
    seed: int,
    sampler: str = "deterministic",
    grid: str = "uniform_angle",
    horizon: float | None = None,
    delta: float | None = None,
    renoise: float = 0.5,
    n: int | None = None,
    direction: Direction | None = None,
) -> Curve:
    """KL between samples and truth, in nats, for several numbers of network calls N.

    Args:
        model: a trained model, any map (x, t, s) → x_s, or for the baselines "ddim" and "heun" a target.
        target: the truth.
        steps: the N to try. A sampler that makes two calls a jump gets N/2 jumps, and no point at N = 1.
        seed: of all noise; the same starting noise serves every N.
        sampler: a name in `SAMPLERS`.
        grid: a name in `GRIDS`.
        horizon: T; by default the model's own, else 3.
        delta: δ, where q and p_δ are compared; by default the model's own, else the target's.
        renoise: η as a share of t, for a sampler that adds noise.
        n: samples (or landings) behind each estimate.
        direction: by default KL(model‖data) for deterministic sampling and KL(data‖model) for renoised.
    """
    choices: dict[str, Any] = {
        "sampler": sampler, "grid": grid, "horizon": horizon, "delta": delta, "renoise": renoise, "n": n,
    }  # fmt: skip
    points = list(kl_points(model, target, steps, seed=seed, direction=direction, **choices))
    if not points:
        raise ValueError(f"{SAMPLERS[sampler].label} needs at least {SAMPLERS[sampler].calls_per_jump} calls.")
    last = points[-1].grid
    config = choices | {"horizon": last.horizon, "delta": last.delta, "target": target.name}
    del config["sampler"]
    return Curve(
        axis="steps",
        values=tuple(float(point.steps) for point in points),
        estimates=tuple(point.estimate for point in points),
        calls=tuple(point.calls for point in points),
        sampler=sampler,
        config=config,
        seed=seed,
    )


def baseline_curves(target: Target, steps: Sequence[int] = STEPS, *, seed: int, **choices: Any) -> dict[str, Curve]:
    """The same curves for the exact-score baselines, which learn nothing; `choices` as in `kl_versus_steps`."""
    names = [name for name, sampler in SAMPLERS.items() if sampler.needs == "score"]
    return {name: kl_versus_steps(target, target, steps, seed=seed, sampler=name, **choices) for name in names}
