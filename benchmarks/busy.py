"""A training on a machine that is busy: what its budget buys beside other programs that take every core.

    python -m benchmarks.busy [--busy 3] [--seconds 20] [--rows 1500] [--asked 1500]

Processes that do nothing but compute are started, and ended with this one whatever happens. Beside them a table of
one's own and two moons are trained by the engine with the default settings of the page, one after the other. Printed:
steps, seconds of training and of preparation, trajectories, and whether the steps that were asked for were made.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cmcore as cm
from cmcore.config import TrainingConfig

LONGEST = 600
"""Seconds after which a busy process ends by itself, should nobody end it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=3, help="processes beside the training")
    parser.add_argument("--seconds", type=float, default=20.0, help="budget of each training; the page's is 20")
    parser.add_argument("--rows", type=int, default=1_500, help="of the table")
    parser.add_argument("--asked", type=int, default=1_500, help="steps that each training should make")
    choices = parser.parse_args()
    print(f"{'target':12} {'steps':>7} {'training':>9} {'preparation':>11} {'trajectories':>12}  threads  ended")
    with _busy(choices.busy):
        fewest = min(_trained(target, choices.seconds) for target in (_table(choices.rows), cm.make_target("moons")))
    print(f"asked: at least {choices.asked:,} steps each beside {choices.busy} processes; measured: {fewest:,}")
    sys.exit(fewest < choices.asked)


def _trained(target: cm.Target, seconds: float) -> int:
    event = deque(cm.training(target, TrainingConfig(seconds=seconds)), maxlen=1).pop()
    model = event.model()
    pool = model.config.objective_parameters["trajectories"]
    print(
        f"{target.name[:12]:12} {model.steps:7,} {model.seconds:7.1f} s {model.preparation:9.1f} s {pool:12,}  "
        f"{model.config.threads:7}  {model.status} {event.message}",
        flush=True,
    )
    return model.steps


def _table(rows: int) -> cm.Target:
    """Two clusters of numbers, as somebody would upload them."""
    chance = random.Random(0)
    lines = ["x,y"]
    for i in range(rows):
        middle, spread = ((0.0, 0.0), 0.3) if i % 2 else ((2.0, 1.0), 0.4)
        lines.append(",".join(f"{chance.gauss(m, spread):.4f}" for m in middle))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.csv"
        path.write_text("\n".join(lines) + "\n")
        return cm.read_table(path)


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """So many processes that take all they get of a core."""
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_compute, daemon=True) for _ in range(processes)]
    for process in running:
        process.start()
    try:
        time.sleep(1.0)  # they have started
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(5)
            process.kill()


def _compute() -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        sum(i * i for i in range(100_000))


if __name__ == "__main__":
    main()
