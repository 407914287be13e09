"""What knowing the exact velocity is worth: maps learned with it and from samples alone, at equal seconds.

    python -m benchmarks.samples_alone [--targets moons …] [--seconds 30] [--out assets/objectives/samples_alone.csv]
    python -m benchmarks.samples_alone --show assets/objectives/samples_alone.csv       # what was measured before

Each target is learned once with its exact flow and once by each recipe that is given samples only, one after the other
on one thread: trajectory regression on a velocity that was learned first, with several shares of the run for it, and
Lagrangian self-distillation. KL(model‖data) of deterministic jumps on the usual times, at the target's own δ. A run
that was cut off goes on.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

import cmcore as cm
from benchmarks.cells import read_cells, write_cells

STEPS = (1, 2, 4, 8, 16)
COLUMNS = ("target", "recipe", "N", "kl", "low", "high", "trusted", "training_steps", "seconds")
TARGETS = ("eight_gaussians", "moons", "pinwheel", "two_spirals", "checkerboard")
EXACT = "exact velocity"


def learned(share: float) -> dict[str, Any]:
    """Trajectory regression along a velocity that takes this share of the run to learn."""
    return {"objective_parameters": {"velocity": "learned", "teacher_budget": share}}


RECIPES: dict[str, dict[str, Any]] = {
    EXACT: {},
    "velocity learned, 0.25 of the run": learned(0.25),
    "velocity learned, 0.4": learned(0.4),
    "velocity learned, 0.6": learned(0.6),
    "self-distillation (LSD)": {"objective": "lsd"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    parser.add_argument("--recipes", nargs="*", default=tuple(RECIPES), choices=tuple(RECIPES))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--samples", type=int, default=8192, help="behind each KL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a CSV file for the cells")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    source = choices.show or choices.out
    rows = read_cells(source) if source and source.exists() else []
    if not choices.show:
        there = {(row["target"], row["recipe"]) for row in rows}
        for target, recipe in ((target, recipe) for target in choices.targets for recipe in choices.recipes):
            if (target, recipe) not in there:
                rows += measured(target, recipe, choices)
                if choices.out:
                    write_cells(rows, choices.out, COLUMNS)
    table(rows)


def measured(name: str, recipe: str, choices: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each N of one target and recipe."""
    target = cm.make_target(name)
    model = cm.train(target, seconds=choices.seconds, seed=choices.seed, threads=1, **RECIPES[recipe])
    estimates = cm.kl_versus_steps(model, target, STEPS, seed=choices.seed + 1, n=choices.samples).estimates
    print(f"{name}, {recipe}: " + ", ".join(f"{e.value:.2g}" for e in estimates), flush=True)
    return [
        {"target": name, "recipe": recipe, "N": n, "trusted": e.trusted}
        | {"kl": f"{e.value:.5g}", "low": f"{e.low:.5g}", "high": f"{e.high:.5g}"}
        | {"training_steps": model.steps, "seconds": f"{model.seconds:.1f}"}
        for n, e in zip(STEPS, estimates, strict=True)
    ]


# ---- the table ------------------------------------------------------------------------------------------------------
def table(rows: list[dict[str, Any]]) -> None:
    """KL at every N, and at each how many times that of the map learned with the exact velocity."""
    values = {(row["target"], row["recipe"], int(row["N"])): float(row["kl"]) for row in rows}
    print("\n| target | recipe | KL(q‖p), N = 1, 2, 4, 8, 16 | × that of the exact velocity |\n|---|---|---|---|")
    for target, recipe in dict.fromkeys((row["target"], row["recipe"]) for row in rows):
        shown = ", ".join(f"{values[target, recipe, n]:.2g}" for n in STEPS)
        times = ", ".join(f"{values[target, recipe, n] / values[target, EXACT, n]:.2g}" for n in STEPS)
        print(f"| {target.replace('_', ' ')} | {recipe} | {shown} | {'' if recipe == EXACT else times} |")


if __name__ == "__main__":
    main()
