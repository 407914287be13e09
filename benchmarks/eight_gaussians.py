"""Eight Gaussians (ring radius 2, sd 0.15, T = 3): the numbers the lab must reach, beside what it reaches.

    python benchmarks/eight_gaussians.py [--seeds 4] [--seconds 60] [--renoise-seconds 20] [--steps N] [--former]

Trains from nothing, says beside the seconds of training what was prepared before, and prints medians over seeds:

* deterministic jumps, δ = 0: KL(q‖p₀) by change of variables, all preimages counted where the map folds;
* jump then renoise, η = t/2, δ = 0.02: KL(p_δ‖q) by the convolution grid, with Bound A above it;
* the exact-score DDIM and Heun at the same number of calls, δ = 0.005.

With --former a map of the recipe before the present one is trained after each and drawn as it was drawn, on times even
in angle; the ratio of the medians is printed, and what it is if the present one is drawn on those times too.
On a busy machine --steps compares better than seconds: a step of the present recipe costs 1.25 of the former one's.
"""

import argparse
import statistics
from collections.abc import Sequence
from typing import Any

import torch

import cmcore as cm
from cmcore.config import USUAL_GRID
from cmcore.divergences import Estimate
from cmcore.measure import baseline_curves
from cmcore.runtime import choose_products
from cmcore.theory import bound_a

STEPS = (1, 2, 4, 8, 16)
ASKED = (0.05, 0.03, 0.012, 0.003, 0.002)
ASKED_OFF_MODES = 0.004
"""At N = 1."""
ASKED_RENOISED = (0.013, 0.008, 0.0035, 0.0012, 0.0005)
EXPECTED_DDIM = (48, 8.1, 1.35, 0.30, 0.064)
COST = 1.25
"""Of a step, in those of the former recipe, half of them with float32 products."""
FORMER: dict[str, Any] = {
    "objective_parameters": {"threshold": 0.05, "late_power": 0.0, "from_noise": 0.2},
    "learning_rate": 5e-3,
    "network": cm.NetworkConfig(experts=1),
    "matmul_dtype": choose_products("auto", torch.device("cpu")),
}
"""The recipe before the present one, as settings."""
FORMER_GRID = "uniform_angle"
"""On which it was drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--renoise-seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=0, help="0: chosen by the lab's probe")
    parser.add_argument("--steps", type=int, help="instead of both seconds")
    parser.add_argument("--former", action="store_true", help="train the former recipe too")
    choices = parser.parse_args()
    target = cm.make_target("eight_gaussians")
    deterministic(target, choices)
    renoised(target, choices)
    baselines(target)


def trained(
    target: cm.Target, seconds: float, choices: argparse.Namespace
) -> tuple[list[cm.TrainedModel], list[cm.TrainedModel]]:
    """One model a seed, each from nothing within the budget; as many of the former recipe where it was asked for."""
    present: list[cm.TrainedModel] = []
    former: list[cm.TrainedModel] = []
    for seed in range(choices.seeds):
        for models, recipe, cost in ((present, {}, COST), (former, FORMER, 1.0))[: 1 + choices.former]:
            budget = {"steps": round(choices.steps / cost)} if choices.steps else {"seconds": seconds}
            models.append(cm.train(target, seed=seed, threads=choices.threads, **budget, **recipe))
            model, name = models[-1], "former" if recipe else "present"
            words = f"{model.steps} steps in {model.seconds:.1f} + {model.preparation:.1f} s on {model.device}"
            print(f"  seed {seed}, {name}: {words}", flush=True)
    return present, former


def deterministic(target: cm.Target, choices: argparse.Namespace) -> None:
    print(f"Deterministic jumps, δ = 0, KL(q‖p₀), {choices.seconds:g} s of training", flush=True)
    models, former = trained(target, choices.seconds, choices)
    print(f"\n{'N':>3} {'asked ≤':>8} {'median':>8} {'over seeds':>19} {'folds':>8} {'off modes':>10}  estimator")
    for steps, asked in zip(STEPS, ASKED, strict=True):
        found = [_estimate(model, target, steps, delta=0.0) for model in models]
        folds, off = (
            statistics.median(e.diagnostics.get(key, float("nan")) for e in found)
            for key in ("fold_share", "off_mode_mass")
        )
        row = f"{steps:3d} {asked:8.4g} {_median(found):8.4f} {_range(found):>19} {folds:8.2%} {off:10.2%}"
        met = _median(found) <= asked and (steps > 1 or off <= ASKED_OFF_MODES)
        versus = _versus(models, former, found, target, steps, delta=0.0)
        print(f"{row}  {found[0].estimator}{'' if met else '   MISSED'}{versus}", flush=True)


def renoised(target: cm.Target, choices: argparse.Namespace) -> None:
    print(f"\nRenoise η = t/2, δ = 0.02, KL(p_δ‖q), {choices.renoise_seconds:g} s of training", flush=True)
    models, former = trained(target, choices.renoise_seconds, choices)
    print(f"\n{'N':>3} {'asked ≤':>8} {'median':>8} {'over seeds':>19} {'floor':>8} {'Bound A':>8} {'Bound A/KL':>11}")
    for steps, asked in zip(STEPS, ASKED_RENOISED, strict=True):
        found = [_estimate(model, target, steps, delta=0.02, sampler="renoise") for model in models]
        grid = cm.make_grid(USUAL_GRID, steps, horizon=3.0, delta=0.02)
        bounds = [bound_a(model, target, grid, seed=1).total for model in models]
        ratios = [bound.value / estimate.value for bound, estimate in zip(bounds, found, strict=True)]
        bound = statistics.median(bound.value for bound in bounds)
        floor = statistics.median(e.floor for e in found)
        row = f"{steps:3d} {asked:8.4g} {_median(found):8.5f} {_range(found):>19} {floor:8.5f} {bound:8.5f}"
        verdict = "" if _median(found) <= asked and min(ratios) >= 1 else "   MISSED"
        versus = _versus(models, former, found, target, steps, delta=0.02, sampler="renoise")
        print(f"{row} {min(ratios):5.1f}–{max(ratios):.1f}{verdict}{versus}", flush=True)


def baselines(target: cm.Target) -> None:
    print("\nExact score, nothing learned, δ = 0.005, KL(q‖p_δ)\n")
    curves = baseline_curves(target, STEPS, seed=1, horizon=3.0, delta=0.005, direction="KL(model‖data)")
    for name, curve in curves.items():
        values = ", ".join(f"{calls}: {e.value:.3g}" for calls, e in zip(curve.calls, curve.estimates, strict=True))
        print(f"{name:5} {values}")
    print(f"ddim  expected {', '.join(f'{n}: {v:g}' for n, v in zip(STEPS, EXPECTED_DDIM, strict=True))}")


def _estimate(
    model: cm.TrainedModel,
    target: cm.Target,
    steps: int,
    *,
    delta: float,
    sampler: str = "deterministic",
    grid: str = USUAL_GRID,
) -> Estimate:
    times = cm.make_grid(grid, steps, horizon=3.0, delta=delta)
    return cm.kl(model, target, times, seed=5, sampler=sampler)


def _versus(
    models: Sequence[cm.TrainedModel],
    former: Sequence[cm.TrainedModel],
    found: Sequence[Estimate],
    target: cm.Target,
    steps: int,
    **draw: Any,
) -> str:
    """The ratio to the former recipe, where that was trained, and what training alone has of it."""
    if not former:
        return ""
    before, alone = (
        [_estimate(model, target, steps, grid=FORMER_GRID, **draw) for model in each] for each in (former, models)
    )
    ratios = f"{_median(found) / _median(before):.2f} ({_median(alone) / _median(before):.2f} on its times)"
    return f"   {ratios} of the former recipe's {_median(before):.5f} ({_range(before)})"


def _median(found: Sequence[Estimate]) -> float:
    return statistics.median(e.value for e in found)


def _range(found: Sequence[Estimate]) -> str:
    values = [e.value for e in found]
    return f"{min(values):.5f}–{max(values):.5f}"


if __name__ == "__main__":
    main()
