"""S maps trained as one batched computation against S runs one after the other.

    python -m benchmarks.members [--members 8] [--width 64] [--batch 256] [--objective trajectory_regression]

Both sides take the same steps of the same maps (same seeds, same batches); the loops alone are timed, by turns, and a
ratio compares the best of several rounds.
"""

import argparse
import time
from collections.abc import Callable

import cmcore as cm
from cmcore.training_defaults import resolved
from cmcore.training_run import TrainingRun

STEPS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--objective", default="trajectory_regression")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    choices = parser.parse_args()
    seeds = range(choices.members)
    together, alone = [_run(choices, seeds)], [_run(choices, (seed,), single=True) for seed in seeds]
    paces = {"one batched run": [], f"{choices.members} runs in turn": []}
    for _ in range(choices.rounds):
        for name, runs in zip(paces, (together, alone), strict=True):
            paces[name].append(_seconds(lambda runs=runs: [_advance(run) for run in runs]))
    print(f"{choices.objective}, width {choices.width}, batch {choices.batch}, {choices.threads} thread(s)")
    for name, seconds in paces.items():
        print(f"{name:20} {choices.members * STEPS / min(seconds):9.0f} member steps/s")
    batched, in_turn = (min(seconds) for seconds in paces.values())
    print(f"asked: at least 2.00 times the throughput; measured: {in_turn / batched:.2f}")


def _run(choices: argparse.Namespace, seeds: range | tuple[int, ...], *, single: bool = False) -> TrainingRun:
    config = cm.TrainingConfig(
        objective=choices.objective,
        network=cm.NetworkConfig(width=choices.width, depth=choices.depth),
        batch=choices.batch,
        steps=100_000,
        seed=seeds[0],
        threads=choices.threads,
    )
    target = cm.make_target("eight_gaussians")
    run = TrainingRun(target, resolved(config, target), seeds=None if single else seeds)
    for _ in run.prepare():
        pass
    _advance(run)
    return run


def _advance(run: TrainingRun) -> None:
    for _ in range(STEPS):
        run.take_step()


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
