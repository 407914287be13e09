"""Seconds to make a pool of exact trajectories, and the error of its float32 states.

    python benchmarks/trajectory_pool.py [--all] [--rounds 3] [--trajectories 40000]

One thread. The error is the largest of any coordinate, against the adaptive solver in float64 at a tolerance of 1e-9,
on trajectories that were not used to choose the sub-steps.
"""

import argparse
import statistics
import time

import torch

from cmcore.flow import ExactFlow, trajectory_pool
from cmcore.process import time_from_angle
from cmcore.targets import GALLERY, make_target

LEVELS = 65


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every target of the gallery")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trajectories", type=int, default=40_000)
    choices = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{choices.trajectories:,} × {LEVELS} states, T = 3, δ = 0 (0.01 where p₀ is not smooth)")
    print(f"{'target':24}{'seconds':>10}{'error':>10}")
    for name in GALLERY if choices.all else ["eight_gaussians"]:
        seconds, error = measured(name, choices.rounds, choices.trajectories)
        print(f"{name:24}{seconds:10.2f}{error:10.1e}", flush=True)


def measured(name: str, rounds: int, n: int) -> tuple[float, float]:
    """Median seconds over the rounds, and the error of 500 of the trajectories."""
    target = make_target(name)
    seconds = []
    for seed in range(rounds):
        start = time.perf_counter()
        pool = trajectory_pool(
            target,
            n,
            horizon=3.0,
            delta=0.0 if target.smooth else 0.01,
            levels=LEVELS,
            generator=torch.Generator().manual_seed(seed),
        )
        seconds.append(time.perf_counter() - start)
    last = pool.states[:, -500:].double()
    times = time_from_angle(pool.angles.double())
    truth = ExactFlow(target).path(last[0], times.clamp(min=0))
    return statistics.median(seconds), float((last - truth).abs().max())


if __name__ == "__main__":
    main()
