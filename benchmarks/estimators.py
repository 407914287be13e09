"""How good the estimators are on a trained run: spread, stated error, coverage, seconds.

    python benchmarks/estimators.py assets/pretrained/eight_gaussians [--repeats 24] [--steps 1,4,16]

The truth of a trained network is not known otherwise, so coverage is of the mean over all repeats; oracles with a known
truth are in tests/oracles/test_kl.py. One thread.
"""

import argparse
import statistics
import time

import torch

import cmcore as cm
from cmcore.divergences import DATA_MODEL, MODEL_DATA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--repeats", type=int, default=24)
    parser.add_argument("--steps", default="1,4,16")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    model = cm.load(choices.run)
    assert model.target is not None, "the run does not carry its target"
    cases = [
        ("deterministic", MODEL_DATA, model.config.delta, 20_000),
        ("deterministic", DATA_MODEL, model.config.delta, 20_000),
        ("renoise", DATA_MODEL, max(0.02, model.config.delta), 1 << 17),
        ("renoise", MODEL_DATA, max(0.02, model.config.delta), 1 << 17),
    ]
    for sampler, direction, delta, n in cases:
        print(f"\n{sampler}, {direction}, δ = {delta:g}, n = {n:,}")
        print(f"{'N':>3} {'mean':>9} {'sd':>9} {'stated':>9} {'coverage':>9} {'s':>6}  estimators")
        for steps in map(int, choices.steps.split(",")):
            grid = cm.make_grid("uniform_angle", steps, horizon=model.config.horizon, delta=delta)
            started = time.perf_counter()
            found = [
                cm.kl(model, model.target, grid, sampler=sampler, n=n, direction=direction, seed=seed)
                for seed in range(choices.repeats)
            ]
            seconds = (time.perf_counter() - started) / choices.repeats
            values = [e.value for e in found]
            mean, spread = statistics.mean(values), statistics.stdev(values)
            stated = statistics.median((e.high - e.value) / 1.96 for e in found)
            hits = sum(e.low <= mean <= e.high for e in found) / len(found)
            names = ", ".join(sorted({e.estimator for e in found}))
            print(f"{steps:3d} {mean:9.5f} {spread:9.5f} {stated:9.5f} {hits:9.0%} {seconds:6.2f}  {names}", flush=True)


if __name__ == "__main__":
    main()
