"""How fast each baseline's KL falls in one dimension with the exact score: KL ~ K^{-p}, by quadrature, nothing drawn.

    python benchmarks/baseline_orders.py [--steps 8,16,32] [--samplers ddim,heun,…] [--horizon 6] [--delta 0.05]

A product of d such factors has d times the KL, so K ∝ d^{1/p} steps keep it at a level (theory, E2). p is the slope
between neighbouring K; below about 1e-7 it is that of the start at N(0, I) instead of p_T, or of rounding.
"""

import argparse
import math
import time
from itertools import pairwise

import torch

import cmcore as cm
from cmcore.divergences import MODEL_DATA, kl_of_chain
from cmcore.samplers import SAMPLERS, source_for


def main() -> None:
    baselines = [name for name, sampler in SAMPLERS.items() if sampler.needs == "score" and name != "dopri5"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default="8,16,32")
    parser.add_argument("--samplers", default=",".join(baselines))
    parser.add_argument("--horizon", type=float, default=6.0)
    parser.add_argument("--delta", type=float, default=0.05)
    choices = parser.parse_args()
    torch.set_num_threads(1)
    target = cm.GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1, name="pair")
    steps = [int(part) for part in choices.steps.split(",")]
    print(f"{'sampler':16} {'calls/step':>10}  KL(q‖p_δ) at K = {', '.join(map(str, steps))}; p between them; s")
    for name in choices.samplers.split(","):
        started = time.perf_counter()
        found = [kl(target, name, count, choices.horizon, choices.delta) for count in steps]
        pairs = zip(pairwise(found), pairwise(steps), strict=True)
        orders = [slope(a, b, more / fewer) for (a, b), (fewer, more) in pairs]
        values, slopes = (" ".join(f"{v:{form}}" for v in row) for row, form in ((found, "9.2e"), (orders, "5.2f")))
        seconds = time.perf_counter() - started
        print(f"{name:16} {SAMPLERS[name].calls_per_jump:10d}  {values}   {slopes}   {seconds:5.1f}", flush=True)


def kl(target: cm.Target, name: str, steps: int, horizon: float, delta: float) -> float:
    """One KL, or NaN where the quadrature says why it cannot."""
    grid = cm.make_grid("uniform_angle", steps, horizon=horizon, delta=delta)
    plan = SAMPLERS[name].plan(source_for(target, SAMPLERS[name]), grid)
    try:
        return kl_of_chain(plan.f, target, plan.chain, seed=0, direction=MODEL_DATA).value
    except ValueError:
        return math.nan


def slope(before: float, after: float, ratio: float) -> float:
    """p, when `ratio` times as many steps take the KL from `before` to `after`."""
    return math.log(before / after) / math.log(ratio) if before > 0 and after > 0 else math.nan


if __name__ == "__main__":
    main()
