"""Times that the map chooses, and times even in ∫ L dt, beside named grids and a searched one, on the shipped runs.

    python -m benchmarks.fitted_grids [--targets eight_gaussians …] [--out assets/theory/fitted_grids.csv]
    python -m benchmarks.fitted_grids --show assets/theory/fitted_grids.csv         # what was measured before

Every run is drawn by K deterministic jumps, K calls of its network, on each grid; KL(model‖data) is measured on noise
that no grid was chosen by. What choosing a grid took is counted apart, in evaluations of the map. The search looks at
`--trials` chains and starts from the best named grid. A run that was cut off goes on. One thread.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import cmcore as cm
from benchmarks.cells import read_cells, write_cells
from cmcore.chain import jump_map_of, make_chain
from cmcore.divergences import MODEL_DATA, kl_of_chain
from cmcore.experiments.fitted_grids import FITTED, NAMED, SEARCHED, grids_beside
from cmcore.files import LAB

RUNS = LAB / "assets" / "pretrained"
COLUMNS = ("target", "steps", "grid", "kl", "low", "high", "floor", "trusted", "calls_to_choose", "delta", "times")
GRIDS = (*NAMED.values(), *FITTED.values(), SEARCHED)
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="*", default=sorted(path.name for path in RUNS.iterdir()))
    parser.add_argument("--steps", type=int, nargs="*", default=[2, 4, 8], help="K")
    parser.add_argument("--trials", type=int, default=40, help="chains that the search looks at")
    parser.add_argument("--samples", type=int, default=8192, help="behind each KL")
    parser.add_argument("--out", type=Path, help="a CSV file for the cells")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    source = choices.show or choices.out
    rows: list[dict[str, Any]] = []
    if source and source.exists():
        rows = read_cells(source)
    if not choices.show:
        done = {(row["target"], int(row["steps"])) for row in rows}
        for name in choices.targets:
            for steps in choices.steps:
                if (name, steps) not in done:
                    rows += measured(name, steps, choices)
                    if choices.out:
                        write_cells(rows, choices.out, COLUMNS)
    table(rows)


def measured(name: str, steps: int, choices: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each grid of one run and K."""
    model = cm.load(RUNS / name)
    target, span = model.target, {"horizon": model.horizon, "delta": model.delta}
    grids = grids_beside(model, target, tuple(FITTED), steps, seed=SEED, trials=choices.trials, **span)
    for words, grid, calls in grids:
        f = jump_map_of(model)
        found = kl_of_chain(f, target, make_chain(grid), seed=SEED + 1, n=choices.samples, direction=MODEL_DATA)
        print(f"{name}, K = {steps}, {words}: {found.value:.3g} [{found.low:.3g}, {found.high:.3g}]", flush=True)
        numbers = {"kl": found.value, "low": found.low, "high": found.high, "floor": found.floor}
        yield {
            "target": name, "steps": steps, "grid": words, "trusted": found.trusted, "calls_to_choose": calls,
            "delta": model.delta, "times": " ".join(f"{t:.5g}" for t in grid.times),
            **{key: f"{value:.5g}" for key, value in numbers.items()},
        }  # fmt: skip


# ---- the table ------------------------------------------------------------------------------------------------------
def table(rows: list[dict[str, Any]]) -> None:
    """KL on every grid, then how often a grid is better or worse than the better named one, and by how much."""
    cells = {(row["target"], int(row["steps"]), row["grid"]): row for row in rows}
    places = list(dict.fromkeys((target, steps) for target, steps, _ in cells))
    print(f"\n{MODEL_DATA}, deterministic, 95 % intervals of one map\n")
    print("| target | K | " + " | ".join(GRIDS) + " |\n|---|---|" + "---|" * len(GRIDS))
    for target, steps in places:
        shown = " | ".join(_cell(cells.get((target, steps, grid))) for grid in GRIDS)
        print(f"| {target.replace('_', ' ')} | {steps} | {shown} |")
    print()
    for grid in (*FITTED.values(), SEARCHED):
        pairs = [(cells[*place, grid], _best_named(cells, place)) for place in places if (*place, grid) in cells]
        print(f"{grid}: {_verdict(pairs)}")


def _best_named(cells: dict[Any, dict[str, Any]], place: tuple[str, int]) -> dict[str, Any]:
    return min((cells[*place, grid] for grid in NAMED.values()), key=lambda row: float(row["kl"]))


def _verdict(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Where intervals do not meet, one is better; the ratio is a geometric mean over all."""
    better = sum(float(ours["high"]) < float(named["low"]) for ours, named in pairs)
    worse = sum(float(ours["low"]) > float(named["high"]) for ours, named in pairs)
    ratios = [float(ours["kl"]) / float(named["kl"]) for ours, named in pairs if float(ours["kl"]) > 0]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    calls = [int(ours["calls_to_choose"]) for ours, _ in pairs]
    return (
        f"better than the best named grid in {better} of {len(pairs)}, worse in {worse}; KL {mean:.3g} of its, "
        f"{min(ratios):.3g} to {max(ratios):.3g}; {min(calls):,} to {max(calls):,} evaluations to choose"
    )


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    value, low, high = (float(row[key]) for key in ("kl", "low", "high"))
    mark = "" if str(row["trusted"]) == "True" else " (not trusted)"
    return f"{value:.2g} [{low:.2g}, {high:.2g}]{mark}"


if __name__ == "__main__":
    main()
