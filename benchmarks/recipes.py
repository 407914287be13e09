"""The present recipe beside the one before it, on every target of the plane, at equal processor time.

    python -m benchmarks.recipes [--targets moons …] [--seeds 4] [--steps 2000] [--out assets/objectives/recipes.csv]
    python -m benchmarks.recipes --show assets/objectives/recipes.csv       # what was measured before

Each target is learned twice, by trajectory regression on its exact flow: by the former recipe in so many steps, by the
present one in as many as take the same time. KL(model‖data) of deterministic jumps is measured at the target's own δ,
each map on the times that belong to its recipe; the present one also on the former's, which tells what training alone
gives. Tables are of medians over seeds. Nothing of either recipe was chosen by these runs. One thread; a run that was
cut off goes on.
"""

import argparse
import statistics
from itertools import product
from pathlib import Path
from typing import Any

import torch

import cmcore as cm
from benchmarks.cells import read_cells, write_cells
from benchmarks.eight_gaussians import COST, FORMER, FORMER_GRID
from cmcore.config import USUAL_GRID
from cmcore.targets import GALLERY

STEPS = (1, 2, 4, 8, 16)
COLUMNS = ("target", "seed", "recipe", "grid", "N", "kl", "low", "high", "trusted", "training_steps", "seconds")
PRESENT, ALONE, BEFORE = ("present", USUAL_GRID), ("present", FORMER_GRID), ("former", FORMER_GRID)
PLANE = tuple(name for name, toy in GALLERY.items() if toy.dims == "2" and name != "sketch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="*", default=PLANE)
    parser.add_argument("--steps", type=int, default=2000, help="of the former recipe")
    parser.add_argument("--samples", type=int, default=8192, help="behind each KL")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, help="a CSV file for the cells")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    source = choices.show or choices.out
    rows: list[dict[str, Any]] = []
    if source and source.exists():
        rows = read_cells(source)
    if not choices.show:
        for seed, name in product(range(choices.seeds), choices.targets):
            if (name, seed) not in {(row["target"], int(row["seed"])) for row in rows}:
                rows += measured(name, seed, choices)
                if choices.out:
                    write_cells(rows, choices.out, COLUMNS)
    table(rows)


def measured(name: str, seed: int, choices: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each recipe, grid and N of one target and seed."""
    target, rows = cm.make_target(name), []
    for recipe, grids, steps, settings in (
        ("former", (FORMER_GRID,), choices.steps, FORMER),
        ("present", (USUAL_GRID, FORMER_GRID), round(choices.steps / COST), {}),
    ):
        model = cm.train(target, steps=steps, seed=seed, threads=1, **settings)
        for grid in grids:
            how = {"seed": seed + 1, "grid": grid, "n": choices.samples}
            estimates = cm.kl_versus_steps(model, target, STEPS, **how).estimates
            print(
                f"{name}, seed {seed}, {recipe}, {grid}: " + ", ".join(f"{e.value:.2g}" for e in estimates), flush=True
            )
            for n, e in zip(STEPS, estimates, strict=True):
                rows.append(
                    {"target": name, "seed": seed, "recipe": recipe, "grid": grid, "N": n, "trusted": e.trusted}
                    | {"kl": f"{e.value:.5g}", "low": f"{e.low:.5g}", "high": f"{e.high:.5g}"}
                    | {"training_steps": model.steps, "seconds": f"{model.seconds + model.preparation:.1f}"}
                )
    return rows


# ---- the table ------------------------------------------------------------------------------------------------------
Cells = dict[tuple[str, str, str, int], dict[str, float]]
"""The KL and the ends of its interval, medians over seeds, by target, recipe, grid and N."""


def table(rows: list[dict[str, Any]]) -> None:
    """KL of the present recipe and its ratios to the former one, then what holds over all targets."""
    of_seeds: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        of_seeds.setdefault((row["target"], row["recipe"], row["grid"], int(row["N"])), []).append(row)
    cells = {
        key: {name: statistics.median(float(row[name]) for row in own) for name in ("kl", "low", "high")}
        for key, own in of_seeds.items()
    }
    targets = list(dict.fromkeys(row["target"] for row in rows))
    seeds = len({row["seed"] for row in rows})
    print(f"\n{f'Medians over {seeds} seeds' if seeds > 1 else 'One seed'}\n")
    print("| target | KL(q‖p), present, N = 1, 2, 4, 8, 16 | ÷ former | ÷ former, on its times |\n|---|---|---|---|")
    for target in targets:
        shown = ", ".join(f"{cells[target, *PRESENT, n]['kl']:.2g}" for n in STEPS)
        both = (", ".join(f"{_ratio(cells, target, kind, n):.2f}" for n in STEPS) for kind in (PRESENT, ALONE))
        print(f"| {target.replace('_', ' ')} | {shown} | {' | '.join(both)} |")
    for words, kind in (("present", PRESENT), ("present, on the former's times", ALONE)):
        columns = [[_ratio(cells, target, kind, n) for target in targets] for n in STEPS]
        medians = ", ".join(f"{statistics.median(column):.2f}" for column in columns)
        worst = ", ".join(f"{max(column):.2f}" for column in columns)
        falls = sum(all(_falls(cells, target, kind, n) for n in STEPS[1:]) for target in targets)
        print(f"{words}: median ratio {medians}; worst {worst}; falls in N on {falls} of {len(targets)}")


def _ratio(cells: Cells, target: str, kind: tuple[str, str], n: int) -> float:
    return cells[target, *kind, n]["kl"] / cells[target, *BEFORE, n]["kl"]


def _falls(cells: Cells, target: str, kind: tuple[str, str], n: int) -> bool:
    """Whether N jumps are no worse than half as many, within the intervals."""
    return cells[target, *kind, n]["low"] <= cells[target, *kind, n // 2]["high"]


if __name__ == "__main__":
    main()
