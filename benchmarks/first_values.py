"""The first KL at every N, which the pages show before a better one: seconds of the processor, width, and coverage.

    .venv/bin/python -m benchmarks.first_values [--seeds 8] [--n 2048] [RUN …]

Each interval is held against that of the curve that the run ships with, from eight times as many points: they should
overlap in about 95 of 100. One thread; the first row of all includes what a process does once.
"""

import argparse
import statistics
import time

import torch

from app.kl.question import QUICK_SAMPLES, Question
from app.runs.library import SHIPPED, read_run
from app.runs.run import Run
from cmcore.divergences.estimate import MODEL_DATA, Estimate
from cmcore.measure import kl_points

STEPS = (1, 2, 4, 8, 16)


def first_value(run: Run, steps: int, n: int, seed: int) -> Estimate:
    """The estimate from n samples at N, with the seed of the noise."""
    question = Question.on_grid("deterministic", steps, MODEL_DATA, run.model.delta, horizon=run.model.horizon)
    how = {"sampler": "deterministic", "grid": question.grid, "renoise": None, "direction": MODEL_DATA}
    return next(kl_points(run.model, run.target, [steps], seed=seed, n=n, **how)).estimate


def row(run: Run, n: int, seeds: int) -> tuple[int, int]:
    """Print what a run's first values are; how many intervals held the shipped one, and of how many."""
    shipped = next(curve for curve in run.curves.values() if curve.sampler == "deterministic")
    seconds, widths, held = [], {steps: [] for steps in STEPS}, dict.fromkeys(STEPS, 0)
    for seed in range(seeds):
        began = time.process_time()
        estimates = {steps: first_value(run, steps, n, seed) for steps in STEPS}
        seconds.append(time.process_time() - began)
        for steps, estimate in estimates.items():
            better = shipped.estimates[shipped.values.index(float(steps))]
            held[steps] += estimate.low <= better.high and better.low <= estimate.high
            widths[steps].append((estimate.high - estimate.low) / 2 / estimate.value)
    cells = " ".join(f"{statistics.median(widths[k]):6.0%} {held[k]:2d}/{seeds}" for k in STEPS)
    print(f"{run.key:16} {seconds[0]:6.2f} {statistics.median(seconds):6.2f} {cells}", flush=True)
    return sum(held.values()), seeds * len(STEPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--n", type=int, default=QUICK_SAMPLES)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folders = [folder for folder in sorted(SHIPPED.iterdir()) if (folder / "curves.json").exists()]
    runs = [read_run(folder) for folder in folders if not asked.runs or folder.name in asked.runs]
    heads = " ".join(f"{f'± at N = {k}':>12}" for k in STEPS)
    print(f"n = {asked.n:,}\n{'run':16} {'first':>6} {'later':>6} {heads}   (seconds; half width; held)")
    counts = [row(run, asked.n, asked.seeds) for run in runs if run.target.dim == 2]
    print(f"{sum(held for held, _ in counts)} of {sum(of for _, of in counts)} intervals hold the shipped value")


if __name__ == "__main__":
    main()
