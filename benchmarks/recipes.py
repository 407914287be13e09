"""The present recipe beside the one before it, on every target of the plane, at equal processor time.

    python -m benchmarks.recipes [--targets moons …] [--steps 2000] [--out assets/objectives/recipes.csv]
    python -m benchmarks.recipes --show assets/objectives/recipes.csv       # what was measured before

Each target is learned twice, by trajectory regression on its exact flow: by the former recipe in so many steps, by the
present one in as many as take the same time. KL(model‖data) of deterministic jumps is measured at the target's own δ,
each map on the times that belong to its recipe; the present one also on the former's, which tells what training alone
gives. Nothing of either recipe was chosen by these runs. One thread, one seed; a run that was cut off goes on.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

import cmcore as cm
from benchmarks.cells import read_cells, write_cells
from benchmarks.eight_gaussians import COST, FORMER, FORMER_GRID
from cmcore.config import USUAL_GRID
from cmcore.targets import GALLERY

STEPS = (1, 2, 4, 8, 16)
COLUMNS = ("target", "recipe", "grid", "N", "kl", "low", "high", "trusted", "training_steps", "seconds")
PRESENT, ALONE, BEFORE = ("present", USUAL_GRID), ("present", FORMER_GRID), ("former", FORMER_GRID)
PLANE = tuple(name for name, toy in GALLERY.items() if toy.dims == "2" and name != "sketch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="*", default=PLANE)
    parser.add_argument("--steps", type=int, default=2000, help="of the former recipe")
    parser.add_argument("--samples", type=int, default=8192, help="behind each KL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a CSV file for the cells")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    source = choices.show or choices.out
    rows: list[dict[str, Any]] = []
    if source and source.exists():
        rows = read_cells(source)
    if not choices.show:
        for name in choices.targets:
            if name not in {row["target"] for row in rows}:
                rows += measured(name, choices)
                if choices.out:
                    write_cells(rows, choices.out, COLUMNS)
    table(rows)


def measured(name: str, choices: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each recipe, grid and N of one target."""
    target, rows = cm.make_target(name), []
    for recipe, grids, steps, settings in (
        ("former", (FORMER_GRID,), choices.steps, FORMER),
        ("present", (USUAL_GRID, FORMER_GRID), round(choices.steps / COST), {}),
    ):
        model = cm.train(target, steps=steps, seed=choices.seed, threads=1, **settings)
        for grid in grids:
            how = {"seed": choices.seed + 1, "grid": grid, "n": choices.samples}
            estimates = cm.kl_versus_steps(model, target, STEPS, **how).estimates
            print(f"{name}, {recipe}, {grid}: " + ", ".join(f"{e.value:.2g}" for e in estimates), flush=True)
            for n, e in zip(STEPS, estimates, strict=True):
                rows.append(
                    {"target": name, "recipe": recipe, "grid": grid, "N": n, "trusted": e.trusted}
                    | {"kl": f"{e.value:.5g}", "low": f"{e.low:.5g}", "high": f"{e.high:.5g}"}
                    | {"training_steps": model.steps, "seconds": f"{model.seconds + model.preparation:.1f}"}
                )
    return rows


# ---- the table ------------------------------------------------------------------------------------------------------
def table(rows: list[dict[str, Any]]) -> None:
    """KL of the present recipe and its ratios to the former one, then what holds over all targets."""
    cells = {(row["target"], row["recipe"], row["grid"], int(row["N"])): row for row in rows}
    targets = list(dict.fromkeys(row["target"] for row in rows))
    print("\n| target | KL(q‖p), present, N = 1, 2, 4, 8, 16 | ÷ former | ÷ former, on its times |\n|---|---|---|---|")
    for target in targets:
        shown = ", ".join(f"{float(cells[target, *PRESENT, n]['kl']):.2g}" for n in STEPS)
        both = (", ".join(f"{_ratio(cells, target, kind, n):.2f}" for n in STEPS) for kind in (PRESENT, ALONE))
        print(f"| {target.replace('_', ' ')} | {shown} | {' | '.join(both)} |")
    for words, kind in (("present", PRESENT), ("present, on the former's times", ALONE)):
        columns = [[_ratio(cells, target, kind, n) for target in targets] for n in STEPS]
        medians = ", ".join(f"{statistics.median(column):.2f}" for column in columns)
        worst = ", ".join(f"{max(column):.2f}" for column in columns)
        falls = sum(all(_falls(cells, target, kind, n) for n in STEPS[1:]) for target in targets)
        print(f"{words}: median ratio {medians}; worst {worst}; falls in N on {falls} of {len(targets)}")


def _ratio(cells: dict[Any, dict[str, Any]], target: str, kind: tuple[str, str], n: int) -> float:
    return float(cells[target, *kind, n]["kl"]) / float(cells[target, *BEFORE, n]["kl"])


def _falls(cells: dict[Any, dict[str, Any]], target: str, kind: tuple[str, str], n: int) -> bool:
    """Whether N jumps are no worse than half as many, within the intervals."""
    return float(cells[target, *kind, n]["low"]) <= float(cells[target, *kind, n // 2]["high"])


if __name__ == "__main__":
    main()
