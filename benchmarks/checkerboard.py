"""The 4 × 4 checkerboard by the estimator of a published table: 64,000 samples, 50 × 50 bins, KL(data‖histogram).

    python -m benchmarks.checkerboard [--seconds 180] [--seeds 1] [--width 96] [--depth 6] [--delta 1e-4]

Boffi et al. 2025 (arXiv:2505.18825), table 1: Lagrangian self-distillation after 150,000 steps of 100,000 samples on an
A100. Here: trajectory regression on the exact flow, and, from samples alone, on a flow learned first, each within the
budget, down to δ = 0.0001, where noise is a sixth of a bin: the samples are compared with the board itself. The bins do
not line up with the squares, so exact samples score far from 0; their score stands beside.
"""

import argparse
import statistics

import cmcore as cm
from cmcore.divergences import kl_histogram

STEPS = (1, 2, 4, 8, 16)
PUBLISHED = (0.086, 0.077, 0.071, 0.070, 0.071)
SAMPLES = 64_000
ADDED = 1e-3
"""Of a count, to every bin: as good as none, and no logarithm of 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--delta", type=float, default=1e-4)
    parser.add_argument("--velocities", nargs="*", default=["exact", "learned"], choices=["exact", "learned"])
    choices = parser.parse_args()
    target = cm.make_target("checkerboard")
    print(f"{'':36}" + "".join(f"{f'N = {n}':>8}" for n in STEPS))
    print(f"{'published, 1.5e10 samples, an A100':36}" + "".join(f"{value:8.3f}" for value in PUBLISHED))
    for velocity in choices.velocities:
        label = {"exact": "exact flow", "learned": "samples alone"}[velocity]
        scores = [row(target, velocity, seed, choices) for seed in range(choices.seeds)]
        medians = [statistics.median(column) for column in zip(*scores, strict=True)]
        print(f"{f'{label}, {choices.seconds:g} s':36}" + "".join(f"{value:8.3f}" for value in medians), flush=True)


def row(target: cm.Target, velocity: str, seed: int, choices: argparse.Namespace) -> list[float]:
    """The score at each N of one model."""
    model = cm.train(
        target,
        seconds=choices.seconds,
        seed=seed,
        delta=choices.delta,
        objective_parameters={"velocity": velocity},
        network=cm.NetworkConfig(width=choices.width, depth=choices.depth),
    )
    print(
        f"  {velocity}: {model.steps} steps in {model.seconds:.0f} s, δ = {model.delta:g}, {model.device}", flush=True
    )
    scores = []
    for steps in STEPS:
        draw = cm.sample(model, SAMPLES, steps, seed=seed + 1)
        estimate = kl_histogram(draw.points, target, half_width=2.0, seed=seed + 2, added=ADDED)
        scores.append(estimate.value)
    print(f"  exact samples score {estimate.floor:.4f}", flush=True)
    return scores


if __name__ == "__main__":
    main()
