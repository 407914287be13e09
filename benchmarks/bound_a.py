"""Bound A against the KL it bounds, over a random search for the tightest case, or for one below it.

    python -m benchmarks.bound_a [--count 220] [--seed 0] [--out assets/theory/bound_a_ratios.csv]
    python -m benchmarks.bound_a --show assets/theory/bound_a_ratios.csv        # what was measured before

Each case draws a target (smooth, boxes, atoms; d = 1, 2 and products up to d = 64), a map (the exact one or a coarse
solver plus a random smooth field, an untrained network, a shipped one), a grid, T, δ and η/t. In one dimension and for
products the KL is by quadrature, elsewhere by convolution on a grid. A case breaks the bound where KL exceeds it by
more than four standard errors of the two together. Ratios are of cases whose KL is resolved: trusted, and its interval
reaching no lower than half its value. One thread.
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import cmcore as cm
from benchmarks.cells import read_cells, write_cells
from cmcore.config import NetworkConfig
from cmcore.divergences import DATA_MODEL
from cmcore.flow import ExactFlow
from cmcore.grids import GRIDS, custom, make_grid
from cmcore.model import FlowMap
from cmcore.samplers.runge_kutta import heun
from cmcore.streams import stream
from cmcore.targets import BoxMixture, GaussianMixture, Product, Target, make_target
from cmcore.theory import bound_a

POINTS = 1024
LANDINGS = 1 << 15
AMPLITUDES = (0.003, 0.01, 0.03, 0.1, 0.3)
LINE: dict[str, Callable[[], Target]] = {
    "one Gaussian": lambda: GaussianMixture([1.0], [[0.7]], 0.3),
    "two Gaussians": lambda: GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 0.1),
    "two atoms": lambda: GaussianMixture([0.5, 0.5], [[-1.0], [1.5]], 0.0),
    "five atoms": lambda: GaussianMixture([1.0] * 5, [[-2.0], [-1.0], [0.0], [0.5], [2.0]], 0.0),
    "an atom in a Gaussian": lambda: GaussianMixture([0.5, 0.5], [[1.0], [0.0]], [0.0, 1.0]),
    "two boxes": lambda: BoxMixture([0.4, 0.6], [[-1.5], [0.5]], [[-0.5], [1.0]]),
}
PLANE = ("gaussian", "eight_gaussians", "moons", "pinwheel", "random_mixture", "checkerboard", "thin_ring", "two_atoms")
PRODUCTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("product_of_mixtures", {"dim": 2, "case": "off_centre"}),
    ("product_of_mixtures", {"dim": 64, "case": "skewed"}),
    ("hypercube_corners", {"dim": 16}),
    ("cantor_dust", {"dim": 2, "stage": 1}),
    ("cantor_dust", {"dim": 8, "stage": 2}),
)
SHIPPED = ("eight_gaussians", "moons", "two_spirals", "checkerboard")
COLUMNS = (
    "target", "d", "smooth", "map", "amplitude", "grid", "steps", "horizon", "delta", "renoise",
    "bound", "bound_low", "bound_high", "kl", "kl_low", "kl_high", "estimator", "trusted", "ratio", "standard_errors",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=220)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a CSV file for the cases")
    parser.add_argument("--show", type=Path, help="sum up such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    if choices.show:
        summary(read_cells(choices.show))
        return
    started, rows = time.perf_counter(), []
    for i in range(choices.count):
        rows.append(case(random.Random(f"{choices.seed}/{i}"), seed=i))
        if i % 20 == 19:
            print(f"{i + 1} of {choices.count} after {time.perf_counter() - started:.0f} s", flush=True)
        if choices.out:
            write_cells(rows, choices.out, COLUMNS)
    summary(rows)


# ---- one case -------------------------------------------------------------------------------------------------------
def case(draw: random.Random, *, seed: int) -> dict[str, Any]:
    """One random case, measured."""
    target, name, f, amplitude = drawn(draw)
    earliest = getattr(f, "delta", 0.0)
    delta = max(draw.choice((0.02, 0.05, 0.1, 0.3)), 2 * earliest)
    horizon, steps = draw.uniform(1.0, 4.0), draw.choice((1, 2, 3, 4, 6))
    kind = draw.choice((*GRIDS, "custom"))
    if kind == "custom":
        inner = sorted((draw.uniform(1.2 * delta, horizon) for _ in range(steps - 1)), reverse=True)
        grid = custom([horizon, *inner, delta])
    else:
        grid = make_grid(kind, steps, horizon=horizon, delta=delta)
    renoise = draw.uniform(0.05, 1.0)
    bound = bound_a(f, target, grid, seed=seed, renoise=renoise, n=POINTS).total
    estimate = cm.kl(f, target, grid, seed=seed, sampler="renoise", renoise=renoise, n=LANDINGS, direction=DATA_MODEL)
    error = math.hypot(bound.high - bound.value, estimate.value - estimate.low) / 1.96
    gap = bound.value - estimate.value
    numbers = {
        "amplitude": amplitude, "horizon": horizon, "delta": delta, "renoise": renoise,
        "bound": bound.value, "bound_low": bound.low, "bound_high": bound.high,
        "kl": estimate.value, "kl_low": estimate.low, "kl_high": estimate.high,
        "ratio": bound.value / estimate.value if estimate.value > 0 else math.inf,
        "standard_errors": gap / error if error else math.copysign(math.inf, gap),
    }  # fmt: skip
    return {
        "target": target.name, "d": target.dim, "smooth": target.smooth, "map": name, "grid": kind, "steps": steps,
        "estimator": estimate.estimator, "trusted": estimate.trusted,
        **{key: f"{value:.5g}" for key, value in numbers.items()},
    }  # fmt: skip


def drawn(draw: random.Random) -> tuple[Target, str, Any, float]:
    """A target, with a map by its name and the amplitude of its disturbance."""
    kind = draw.choices(("line", "plane", "product", "untrained", "shipped"), (6, 5, 2, 3, 3))[0]
    if kind == "shipped":
        model = cm.load(f"assets/pretrained/{draw.choice(SHIPPED)}")
        assert model.target is not None
        return model.target, "shipped network", model, 0.0
    if kind == "untrained":
        target = on_the_line(draw) if draw.random() < 0.5 else make_target(draw.choice(PLANE))
        generator = stream(draw.randrange(1 << 30), "weights")
        network = FlowMap(target.dim, NetworkConfig(width=32, depth=2), generator=generator)
        return target, "untrained network", network, 0.0
    amplitude = draw.choice(AMPLITUDES)
    if kind == "plane":
        target = make_target(draw.choice(PLANE))
        substeps = draw.choice((2, 4, 8))
        base, name = solver(target, substeps), f"Heun, {substeps} sub-steps, and a field"
    else:
        target = on_the_line(draw) if kind == "line" else product(draw)
        base, name = ExactFlow(target), "exact and a field"
    alike = isinstance(target, Product)
    return target, name, disturbed(base, amplitude, draw, target.dim, alike=alike), amplitude


def on_the_line(draw: random.Random) -> Target:
    name = draw.choice(list(LINE))
    target = LINE[name]()
    target.name = name
    return target


def product(draw: random.Random) -> Target:
    name, parameters = draw.choice(PRODUCTS)
    return make_target(name, **parameters)


def solver(target: Target, substeps: int) -> Callable[[Tensor, Any, Any], Tensor]:
    """Φ by a few of Heun's steps, even in log t: cheap, and wrong in a way of its own."""
    step = heun(target.score)

    def f(x: Tensor, t: Any, s: Any) -> Tensor:
        last = max(s, 1e-3)
        times = [t * (last / t) ** (i / substeps) for i in range(substeps)] + [s]
        for now, then in pairwise(times):
            x = step(x, now, then)
        return x

    return f


def disturbed(base: Any, amplitude: float, draw: random.Random, dim: int, *, alike: bool) -> Any:
    """base plus a sum of waves in x and t of root mean square about `amplitude`; the same in every coordinate, or not.

    Waves that mix coordinates would make a product none.
    """
    waves = [
        (draw.gauss(0, 1), draw.uniform(0.3, 4.0), draw.uniform(0, math.tau), draw.uniform(-3, 3)) for _ in range(3)
    ]
    angles = [draw.uniform(0, math.tau) for _ in waves]

    def f(x: Tensor, t: Any, s: Any) -> Tensor:
        y = base(x, t, s)
        for (height, pace, phase, drift), angle in zip(waves, angles, strict=True):
            if alike or dim == 1:
                y = y + amplitude * height * torch.sin(pace * x + phase + drift * t)
            else:
                way = torch.tensor([math.cos(angle), math.sin(angle)], dtype=x.dtype)
                y = y + amplitude * height * torch.sin(pace * (x @ way)[:, None] + phase + drift * t) * way.flip(0)
        return y

    return f


# ---- all of them ----------------------------------------------------------------------------------------------------
def summary(rows: list[dict[str, Any]]) -> None:
    """Ratios by kind of data and map, the tightest cases, and those above the bound."""
    trusted = [row for row in rows if str(row["trusted"]) == "True"]
    resolved = [row for row in trusted if float(row["kl_low"]) > float(row["kl"]) / 2 > 0]
    print(f"{len(rows)} cases, {len(trusted)} with a trusted KL, {len(resolved)} of them resolved; bound/KL of these:")
    groups: dict[tuple[str, str], list[float]] = {}
    for row in resolved:
        data = "smooth" if str(row["smooth"]) == "True" else "not smooth"
        what = row["map"].split(",")[0].replace("exact and", "exact map and").replace("Heun", "Heun and a field")
        groups.setdefault((data, what), []).append(float(row["ratio"]))
    print(f"{'data':12} {'map':20} {'cases':>5} {'least':>9} {'median':>9} {'largest':>9}")
    for (data, what), ratios in sorted(groups.items()):
        ratios.sort()
        print(
            f"{data:12} {what:20} {len(ratios):5d} {ratios[0]:9.4g} {statistics.median(ratios):9.3g} {ratios[-1]:9.3g}"
        )
    print("\nThe tightest:")
    for row in sorted(resolved, key=lambda row: float(row["ratio"]))[:8]:
        print(line(row))
    above = [row for row in trusted if float(row["standard_errors"]) < -4]
    under = sorted(float(row["standard_errors"]) for row in trusted if float(row["bound"]) < float(row["kl"]))
    deepest = f", by at most {-under[0]:.2g} standard errors" if under else ""
    print(f"\nOf all trusted cases, KL comes out above the bound in {len(under)}{deepest}")
    print(f"KL above the bound by more than 4 standard errors: {len(above)}")
    for row in above:
        print(line(row))


def line(row: dict[str, Any]) -> str:
    return (
        f"  {float(row['ratio']):7.4f}  KL {row['kl']} [{row['kl_low']}, {row['kl_high']}], bound {row['bound']} "
        f"[{row['bound_low']}, {row['bound_high']}]: {row['target']}, d = {row['d']}, {row['map']}, "
        f"amplitude {row['amplitude']}, {row['grid']}, {row['steps']} jumps, T = {row['horizon']}, "
        f"δ = {row['delta']}, η/t = {row['renoise']}"
    )


if __name__ == "__main__":
    main()
