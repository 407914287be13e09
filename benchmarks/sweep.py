"""A sweep of 24 cells on two processes against one, on a Dask cluster of two workers, and killed in the middle.

    python -m benchmarks.sweep [--steps 1000] [--skip-dask]

Asked: two processes at least 1.7 times as fast as one, their start-up included; the same table, but for
seconds, from both and from the cluster; of a sweep killed with signal 9 at most the cells in flight lost.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import joblib

from cmcore.sweep import Outcome, Sweep, make_sweep, run_sweep

JOBS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    parser.add_argument("--skip-dask", action="store_true")
    choices = parser.parse_args()
    sweep = make_sweep(grid(choices.steps))
    print(f"{len(sweep.cells)} cells of {choices.steps} steps, {joblib.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        one, seconds = timed(sweep, here / "one", jobs=1)
        two, shorter = timed(sweep, here / "two", jobs=JOBS)
        print(f"asked: two processes at least 1.70 times as fast as one; measured: {seconds / shorter:.2f}")
        print(f"the same table from both, but for seconds: {rows(one) == rows(two)}", flush=True)
        if not choices.skip_dask:
            with cluster(here) as scheduler:
                away, _ = timed(sweep, here / "dask", backend="dask", scheduler=scheduler)
            print(f"the same table from the cluster: {rows(one) == rows(away)}", flush=True)
        killed(choices.steps, sweep, here, rows(one))


def grid(steps: int) -> dict[str, Any]:
    return {
        "steps": steps,
        "target": ["eight_gaussians", "moons"],
        "objective": ["lsd", "psd", "ct"],
        "seed": [0, 1, 2, 3],
        "training": {"batch": 256, "device": "cpu"},
        "network": {"width": 64, "depth": 3},
        "measure": {"steps": [1, 2, 4], "n": 1024},
    }


def timed(sweep: Sweep, out: Path, **where: Any) -> tuple[Outcome, float]:
    start = time.perf_counter()
    outcome = run_sweep(sweep, out, **where)
    seconds = time.perf_counter() - start
    print(f"{out.name:8} {seconds:7.1f} s, {len(outcome.failed)} failed", flush=True)
    return outcome, seconds


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The rows but for seconds; NaN as None, which equals itself."""
    table = outcome.table.drop_columns(["seconds"]).to_pylist()
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in table]


@contextlib.contextmanager
def cluster(here: Path) -> Iterator[str]:
    """Dask's own scheduler and two of its workers, on loopback."""
    found = here / "scheduler.json"
    started = [python("dask", "scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", found)]
    try:
        while not (found.exists() and found.read_text().endswith("}")):
            time.sleep(0.1)
        address = json.loads(found.read_text())["address"]
        started.append(python("dask", "worker", address, "--nworkers", JOBS, "--nthreads", 1, cwd=here))
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(JOBS)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def python(*words: object, **choices: Any) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, **choices)


def killed(steps: int, sweep: Sweep, here: Path, expected: list[dict[str, Any]]) -> None:
    """Kill the sweep with half of its cells done, go on, and count the cells whose results were lost."""
    file, out = here / "sweep.json", here / "killed"
    file.write_text(json.dumps(grid(steps)))
    process = python("cmcore", "sweep", file, "--jobs", JOBS, "--out", out)
    while len(kept(out)) < len(sweep.cells) // 2:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = kept(out)
    outcome = run_sweep(sweep, out, jobs=JOBS)
    again = len(sweep.cells) - len(before)
    untouched = before.items() <= kept(out).items()
    print(f"killed with {len(before)} cells done, of which none was repeated: {untouched}; {again} were left")
    print(f"the same table afterwards: {rows(outcome) == expected}")


def kept(out: Path) -> dict[str, int]:
    """The results in a folder, and when each was written."""
    return {str(path): path.stat().st_mtime_ns for path in (out / "cells").glob("*/result.json")}


if __name__ == "__main__":
    main()
