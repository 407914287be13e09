"""KL ≤ Bound A ≤ the paper's bound over random targets, score errors, step rules and η; and where its premise fails.

    python -m benchmarks.paper_bound [--count 213] [--long 45] [--seed 0] [--out assets/theory/paper_bound_ratios.csv]
    python -m benchmarks.paper_bound --show assets/theory/paper_bound_ratios.csv       # what was measured before

Each case draws a target (smooth, boxes, atoms; d = 1, 2), a field of score errors, a step rule, c, ρ, T and δ. The map
is the exact consistency map of the wrong score. `--count` cases have h'L ≤ 1 as far as seen at samples (c is halved
until they do), `--long` more need not; their score errors are small, where the premise fails first. On the line the KL
is by quadrature, in the plane by convolution on a grid. A case breaks an order where it fails by more than four
standard errors. A run that was cut off goes on. One thread.
"""

import argparse
import csv
import math
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cells import read_cells, write_cells
from cmcore.chain import RenoisedChain, make_chain
from cmcore.divergences import DATA_MODEL, kl_of_chain
from cmcore.grids import STEP_RULES, ruled_grid
from cmcore.targets import BoxMixture, GaussianMixture, Target, make_target
from cmcore.theory import PREMISE, ScoreMap, paper_bound_of_chain, steepness

POINTS, LOOKED_AT = 256, 128
"""Samples behind a map error, and behind h'L while c is chosen."""
LANDINGS = 1 << 13
SIZES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
SMALL, MANY_POINTS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1), 2048
"""Score errors of long jumps, and samples behind their map errors: of these a share ~ε changes basin, which is what
makes the premise fail."""
SHARES = (0.25, 0.5, 1.0, 2.0)
LONGEST_RUN = 16
"""Jumps of a case: with more of them c is not halved further, and another case is drawn."""
COLUMNS = (
    "case", "target", "d", "smooth", "error", "size", "rule", "c", "share", "steps", "horizon", "delta", "longest",
    "premise",
    "kl", "kl_low", "kl_high", "bound_a", "bound_a_low", "bound_a_high", "paper", "paper_low", "paper_high", "start",
    "estimator", "trusted", "kl_over_a", "a_over_paper", "errors_below_a", "errors_below_paper",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=213, help="cases with h'L ≤ 1")
    parser.add_argument("--long", type=int, default=45, help="cases with any h'L")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a CSV file for the cases")
    parser.add_argument("--show", type=Path, help="sum up such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    if choices.show:
        summary(read_cells(choices.show))
        return
    started, rows = time.perf_counter(), []
    if choices.out and choices.out.exists():  # a run that was cut off goes on
        with choices.out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    measured = {int(row["case"]) for row in rows}
    for i in range(choices.count + choices.long):
        if i in measured:
            continue
        short = i < choices.count
        rows.append({"case": i} | case(random.Random(f"{choices.seed}/{i}"), seed=i, short=short))
        if i % 20 == 19:
            print(f"{i + 1} after {time.perf_counter() - started:.0f} s", flush=True)
        if choices.out:
            write_cells(rows, choices.out, COLUMNS)
    summary(rows)


# ---- one case -------------------------------------------------------------------------------------------------------
def case(draw: random.Random, *, seed: int, short: bool, landings: int = LANDINGS) -> dict[str, Any]:
    """One random case, measured; another is drawn where short jumps would be too many."""
    while True:
        target, name = drawn_target(draw)
        size, error = draw.choice(SIZES if short else SMALL), Waves(draw, target.dim)
        horizon, delta = draw.uniform(1.5, 3.5), draw.choice((0.05, 0.1, 0.2, 0.4) if target.dim == 1 else (0.2, 0.4))
        rule, share = draw.choice(list(STEP_RULES)), draw.choice(SHARES)
        c = draw.choice((0.1, 0.2, 0.4)) * (1 if short else 3)

        def score(x: Tensor, t: Any, target: Target = target, error: Waves = error, size: float = size) -> Tensor:
            return target.score(x, t) + size * error(x, t)

        chain = chain_of(rule, c, share, horizon, delta, target.dim)
        while short and chain.grid.steps <= LONGEST_RUN and longest(score, target, chain, seed) > 1:
            c /= 2
            chain = chain_of(rule, c, share, horizon, delta, target.dim)
        if chain.grid.steps <= LONGEST_RUN:
            break
    f = ScoreMap(score)
    bound = paper_bound_of_chain(f, target, chain, seed=seed, score=score, n=POINTS if short else MANY_POINTS)
    kl = kl_of_chain(f, target, chain, seed=seed, n=landings, direction=DATA_MODEL)
    below, above = bound.bound_a.total, bound.total
    numbers = {
        "size": size, "c": c, "share": share, "horizon": horizon, "delta": delta, "longest": bound.longest,
        "premise": max(ratio.value for ratio in bound.ratios), "kl": kl.value, "kl_low": kl.low, "kl_high": kl.high,
        "bound_a": below.value, "bound_a_low": below.low, "bound_a_high": below.high,
        "paper": above.value, "paper_low": above.low, "paper_high": above.high, "start": bound.start.value,
        "kl_over_a": kl.value / below.value, "a_over_paper": below.value / above.value,
        "errors_below_a": apart(below.value - kl.value, kl.value - kl.low, below.high - below.value),
        "errors_below_paper": apart(above.value - below.value, below.value - below.low, above.high - above.value),
    }  # fmt: skip
    return {
        "target": name, "d": target.dim, "smooth": target.smooth, "error": error.words, "rule": rule,
        "steps": chain.grid.steps, "estimator": kl.estimator, "trusted": kl.trusted,
        **{key: f"{value:.5g}" for key, value in numbers.items()},
    }  # fmt: skip


def apart(gap: float, first: float, second: float) -> float:
    """A difference in standard errors; halves of two 95 % intervals."""
    error = math.hypot(first, second) / 1.96
    return gap / error if error > 0 else math.copysign(math.inf, gap)


def chain_of(rule: str, c: float, share: float, horizon: float, delta: float, dim: int) -> RenoisedChain:  # noqa: PLR0917
    grid = ruled_grid(rule, c, horizon=horizon, delta=delta, dim=dim)
    return make_chain(grid, sampler="algorithm_1", renoise=share)


def longest(score: Any, target: Target, chain: RenoisedChain, seed: int) -> float:
    """The largest h'L of a chain, L at least 1."""
    lengths = ((stage.t - stage.s, stage) for stage in chain.stages)
    return max(h * max(1.0, steepness(score, target, stage, seed=seed, n=LOOKED_AT)) for h, stage in lengths)


def drawn_target(draw: random.Random) -> tuple[Target, str]:
    kinds = ("one Gaussian", "mixture", "atoms", "boxes", "plane mixture", "plane atoms", "moons", "eight_gaussians")
    kind = draw.choice(kinds)
    count = draw.randint(2, 5)
    places = [[draw.gauss(0, 1.2)] for _ in range(count)]
    weights = [draw.uniform(0.2, 1) for _ in range(count)]
    spread = draw.uniform(0.05, 0.5)
    if kind == "one Gaussian":
        return GaussianMixture([1.0], [[draw.gauss(0, 1)]], draw.uniform(0.1, 2)), kind
    if kind in {"mixture", "atoms"}:
        return GaussianMixture(weights, places, spread if kind == "mixture" else 0.0), kind
    if kind == "boxes":
        return BoxMixture([0.4, 0.6], [[-1.5], [0.5]], [[-0.5], [draw.uniform(0.8, 2)]]), kind
    if kind.startswith("plane"):
        points = [[draw.gauss(0, 1.2), draw.gauss(0, 1.2)] for _ in range(count)]
        return GaussianMixture(weights, points, spread if "mixture" in kind else 0.0), kind
    return make_target(kind), kind


class Waves:
    """A field of score errors of root mean square about 1: a constant, or waves in x that may drift with t."""

    def __init__(self, draw: random.Random, dim: int) -> None:
        self.words = draw.choice(("constant", "waves", "drifting waves"))
        self.pace = [draw.gauss(0, 1.5) * (self.words != "constant") for _ in range(dim)]
        self.drift = draw.gauss(0, 1.5) * (self.words == "drifting waves")
        self.phase = draw.uniform(0, math.tau)

    def __call__(self, x: Tensor, t: Any) -> Tensor:
        wave = x @ torch.tensor(self.pace, dtype=x.dtype) + self.phase + self.drift * t
        return math.sqrt(2) * wave.sin()[:, None] if x.shape[1] == 1 else torch.stack([wave.cos(), wave.sin()], 1)


# ---- all of them ----------------------------------------------------------------------------------------------------
def summary(rows: list[dict[str, Any]]) -> None:
    """The orders, the ratios by kind of data, and where jumps are long how often and by how much the premise fails."""
    trusted = [row for row in rows if str(row["trusted"]) == "True"]
    short = [row for row in trusted if float(row["longest"]) <= 1]
    long = [row for row in trusted if float(row["longest"]) > 1]
    print(f"{len(rows)} cases, {len(trusted)} with a trusted KL: {len(short)} with h'L ≤ 1, {len(long)} with more")
    print(f"\n{'data':12} {'d':>2} {'cases':>5}   KL/Bound A: least, median, largest   Bound A/paper's: the same")
    for smooth in ("True", "False"):
        for dim in ("1", "2"):
            some = [row for row in short if str(row["smooth"]) == smooth and str(row["d"]) == dim]
            if some:
                ratios = [spread_of([float(row[key]) for row in some]) for key in ("kl_over_a", "a_over_paper")]
                kind = "smooth" if smooth == "True" else "not smooth"
                print(f"{kind:12} {dim:>2} {len(some):5}   {ratios[0]:36} {ratios[1]}")
    for words, key in (("KL above Bound A", "errors_below_a"), ("Bound A above the paper's", "errors_below_paper")):
        found = [row for row in short if float(row[key]) < -4]
        worst = min((float(row[key]) for row in short), default=math.inf)
        print(f"{words} by more than 4 standard errors, h'L ≤ 1: {len(found)}; the least distance is {worst:.3g}")
        for row in found:
            print(f"  {row}")
    failed = [row for row in long if float(row["premise"]) > PREMISE]
    by = f", by a factor of up to {max(float(row['premise']) for row in failed) / PREMISE:.3g}" if failed else ""
    print(f"\nWhere h'L > 1: ε_k ≤ e²h'ε fails in {len(failed)} of {len(long)} cases{by}")
    over = [row for row in long if float(row["bound_a"]) > float(row["paper"])]
    print(f"and Bound A lies above the paper's bound in {len(over)} of them")
    for row in sorted(failed, key=lambda row: -float(row["premise"]))[:5]:
        where = f"{row['target']}, d = {row['d']}, ε = {row['size']}, {row['rule']}, c = {row['c']}, ρ = {row['share']}"
        print(f"  ε_k/(h'ε) = {row['premise']}, h'L = {row['longest']}: {where}")


def spread_of(values: list[float]) -> str:
    return f"{min(values):.3g}, {statistics.median(values):.3g}, {max(values):.3g}"


if __name__ == "__main__":
    main()
