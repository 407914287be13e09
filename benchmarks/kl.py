"""KL of a saved run against network calls, both directions, with the exact-score baselines and Bound A beside it.

    python benchmarks/kl.py assets/pretrained/eight_gaussians [--steps 1,2,4,8,16] [--renoise-delta 0.02] [-n N]

Seconds are wall time on one thread for one estimate, the estimator's own work included.
"""

import argparse
import time

import torch

import cmcore as cm
from cmcore.divergences import DATA_MODEL, MODEL_DATA, Direction, kl_to_noised
from cmcore.measure import kl_points
from cmcore.theory import bound_a, initialisation_bound, initialisation_kl

SEED = 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--steps", default="1,2,4,8,16")
    parser.add_argument("--renoise-delta", type=float, default=0.02)
    parser.add_argument("-n", type=int, help="samples or landings behind each estimate")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    model = cm.load(choices.run)
    target = model.target
    if target is None:
        raise SystemExit(f"The run in {choices.run} does not carry its target.")
    steps = [int(part) for part in choices.steps.split(",")]
    horizon = model.config.horizon
    exact, formula = initialisation_kl(target, horizon, seed=SEED), initialisation_bound(target, horizon)
    print(f"{target.name}: KL(p_T‖γ) = {exact.value:.2e} (formula {formula:.2e})")
    for direction in (MODEL_DATA, DATA_MODEL):
        for sampler in ("deterministic", "ddim", "heun"):
            table(model, target, steps, sampler, direction, model.config.delta, choices.n)
    delta = max(choices.renoise_delta, model.config.delta)
    stopped = kl_to_noised(target, delta, seed=SEED)
    print(f"\nKL(p₀‖p_δ) at δ = {delta:g}: {stopped.value:.3f}")
    for direction in (DATA_MODEL, MODEL_DATA):
        table(model, target, steps, "renoise", direction, delta, choices.n)


def table(  # noqa: PLR0917
    model: cm.TrainedModel,
    target: cm.Target,
    steps: list[int],
    sampler: str,
    direction: Direction,
    delta: float,
    n: int | None,
) -> None:
    print(f"\n{sampler}, {direction} at δ = {delta:g}, nats")
    print(f"{'N':>3} {'calls':>5} {'KL':>10} {'95 % interval':>23} {'floor':>9} {'folds':>7} {'off modes':>9} {'s':>6}")
    started = time.perf_counter()
    for point in kl_points(model, target, steps, sampler=sampler, direction=direction, delta=delta, n=n, seed=SEED):
        seconds, e = time.perf_counter() - started, point.estimate
        folds, off = e.diagnostics.get("fold_share", 0.0), e.diagnostics.get("off_mode_mass", float("nan"))
        interval = f"[{e.low:.5f}, {e.high:.5f}]"
        row = f"{point.steps:3d} {point.calls:5d} {e.value:10.5f} {interval:>23} {e.floor:9.1e} {folds:7.2%} {off:9.2%}"
        above = ""
        if sampler == "renoise" and direction == DATA_MODEL:
            bound = bound_a(model, target, point.grid, seed=SEED).total
            above = f"  Bound A {bound.value:.5f}, {bound.value / e.value:.1f} times above"
        print(f"{row} {seconds:6.1f}  {e.estimator}{above}  {e.note}", flush=True)
        started = time.perf_counter()


if __name__ == "__main__":
    main()
