"""Every objective at an equal budget: both KLs against the number of jumps, and the table of a published comparison.

    python -m benchmarks.objectives [OBJECTIVE …] [--seconds 60] [--seeds 4] [--out FILE] [--targets eight_gaussians …]
    python -m benchmarks.objectives [OBJECTIVE …] --steps 2500               # as many steps of each, on a busy machine
    python -m benchmarks.objectives --show assets/objectives/table.json      # what was measured before
    python -m benchmarks.objectives [OBJECTIVE …] --histogram [--seconds 60]

An objective trains its seeds side by side, all of them within the budget, teacher and pools included. Maps of two times
are sampled by deterministic jumps and measured by change of variables at the target's own δ; maps that jump to δ alone
by jumping to 0 and renoising, measured by the convolution grid at δ = 0.02 or the target's own. A cell is the median
over the seeds, with the least lower and the greatest upper end of their 95 % intervals.

With --histogram the target and the estimator are those of one earlier comparison (eight Gaussians of radius 1.38,
64,000 samples on 50 × 50 bins, half a count added, 3,000 steps of batch 512 on one seed): asked is at most half its
excess over the score of exact samples. Renoised rows show whether a map that jumps to δ alone gets worse with steps.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cmcore as cm
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl_histogram
from cmcore.grids import make_grid
from cmcore.objectives import OBJECTIVES, make_objective
from cmcore.samplers import RENOISE

STEPS = (1, 2, 4, 8, 16)
CORE = ("trajectory_regression", "lmd", "emd", "lsd", "esd", "psd", "mean_flow", "two_time_cd", "cd", "ct")
EARLIER = {
    "lmd": (0.213, 0.168, 0.083, 0.051, 0.038),
    "lsd": (0.430, 0.329, 0.164, 0.093, 0.070),
    "psd": (0.632, 0.459, 0.257, 0.158, 0.117),
    "esd": (0.841, 0.713, 0.326, 0.167, 0.124),
    "mean_flow": (1.254, 1.757, 0.547, 0.232, 0.169),
    "ct": (0.388, 0.336, 0.156, 0.178, 0.297),
}
EARLIER_FLOOR = 0.018
HALF_WIDTH = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objectives", nargs="*", help="all families unless named; beyond eight Gaussians the core ones")
    parser.add_argument("--targets", nargs="*", default=["eight_gaussians", "moons", "checkerboard"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="as many steps of each instead")
    parser.add_argument("--threads", type=int, default=0, help="0: chosen by the lab's probe")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--n", type=int, default=2000, help="samples behind a KL by change of variables")
    parser.add_argument("--landings", type=int, default=1 << 16, help="landings behind a KL by convolution")
    parser.add_argument("--out", type=Path, help="a JSON file for the cells")
    parser.add_argument("--show", type=Path, help="print the tables of such a file, and train nothing")
    parser.add_argument("--histogram", action="store_true", help="the earlier comparison instead")
    choices = parser.parse_args()
    if choices.histogram:
        histogram(choices)
        return
    if choices.show:
        tables(json.loads(choices.show.read_text())["cells"])
        return
    cells: list[dict[str, Any]] = []
    for target in choices.targets:
        for name in choices.objectives or families(target):
            cells += list(measured(name, target, choices))
            if choices.out:
                choices.out.write_text(json.dumps({"cells": cells}, indent=1) + "\n")
    tables(cells)


def tables(cells: list[dict[str, Any]]) -> None:
    """A table for each target and direction."""
    for target in dict.fromkeys(cell["target"] for cell in cells):
        for direction in (MODEL_DATA, DATA_MODEL):
            table(target, direction, [cell for cell in cells if cell["target"] == target])


def families(target: str) -> tuple[str, ...]:
    """All published families on eight Gaussians, the core ones elsewhere."""
    every = tuple(name for name, kind in OBJECTIVES.items() if not kind.building_block)
    return every if target == "eight_gaussians" else CORE


def trained(name: str, target: cm.Target, choices: argparse.Namespace) -> tuple[cm.TrainedModel, ...]:
    """The seeds of one objective, side by side within the budget."""
    budget = {"steps": choices.steps} if choices.steps else {"seconds": choices.seconds}
    return cm.train_members(target, seeds=range(choices.seeds), objective=name, threads=choices.threads, **budget)


# ---- both KLs -------------------------------------------------------------------------------------------------------
def measured(name: str, target_name: str, choices: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cells of one objective on one target: each direction and number of jumps."""
    target = cm.make_target(target_name)
    models = trained(name, target, choices)
    print(
        f"{target_name}, {name}: {models[0].steps} steps in {models[0].seconds:.0f} s, {models[0].device}", flush=True
    )
    single = make_objective(name).single_time
    delta = max(0.02, models[0].delta) if single else models[0].delta
    how: dict[str, Any] = {"n": choices.n}
    if single:
        how = {"sampler": "renoise", "renoise": 1.0, "n": choices.landings}
    for direction in (MODEL_DATA, DATA_MODEL):
        for steps in STEPS:
            grid = make_grid("uniform_angle", steps, horizon=models[0].horizon, delta=delta)
            found = [cm.kl(model, target, grid, seed=0, direction=direction, **how) for model in models]
            numbers = [e.value for e in found if e.trusted and math.isfinite(e.value)]
            cell: dict[str, Any] = {
                "target": target_name,
                "objective": name,
                "sampler": "renoise" if single else "deterministic",
                "delta": delta,
                "direction": direction,
                "steps": steps,
                "value": statistics.median(numbers) if len(numbers) == len(found) else None,
                "low": min(e.low for e in found),
                "high": max(e.high for e in found),
                "floor": statistics.median(e.floor for e in found),
                "estimator": found[0].estimator,
                "n": found[0].n,
                "seeds": len(found),
                "training_steps": models[0].steps,
                "seconds": round(models[0].seconds, 1),
            }
            for key in ("off_mode_mass", "fold_share"):
                cell[key] = statistics.median(e.diagnostics.get(key, math.nan) for e in found)
            yield {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in cell.items()}


def table(target: str, direction: str, cells: list[dict[str, Any]]) -> None:
    """One direction: objective × N, the band over seeds beneath, then mass off the modes and folds at N = 1."""
    print(f"\n{target}, {direction}: median over seeds [least low … greatest high]")
    print(
        f"{'objective':22} {'sampler':13} {'steps':>6} " + " ".join(f"{f'N = {n}':^25}" for n in STEPS) + "  off  folds"
    )
    for name in dict.fromkeys(cell["objective"] for cell in cells):
        row = [cell for cell in cells if cell["objective"] == name and cell["direction"] == direction]
        shown = " ".join(
            f"{_number(c['value']):>7} [{_number(c['low'])} … {_number(c['high'])}]".ljust(25) for c in row
        )
        first = row[0]
        off, folds = (_percent(first[key]) for key in ("off_mode_mass", "fold_share"))
        print(f"{name:22} {first['sampler']:13} {first['training_steps']:6} {shown} {off:>6} {folds:>6}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}" if value >= 1 else f"{value:.4f}".lstrip("0") or "0"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}%"


# ---- the earlier comparison -----------------------------------------------------------------------------------------
def histogram(choices: argparse.Namespace) -> None:
    target = earlier_target()
    print(
        f"Excess over exact samples, {choices.seconds:g} s for {choices.seeds} seeds, median over seeds; asked in ( )"
    )
    print(f"{'objective':14} {'sampler':14}" + "".join(f"{f'N = {n}':>16}" for n in STEPS) + "   all met")
    for name in choices.objectives or EARLIER:
        models = trained(name, target, choices)
        for sampler in ("renoise",) if make_objective(name).single_time else ("deterministic", "renoise"):
            found = [excess(models, target, sampler, steps) for steps in STEPS]
            asked = asked_of(name)
            cells = "".join(f"{e:8.4f} ({a:.4f})" for e, a in zip(found, asked, strict=True))
            met = "yes" if all(e <= a for e, a in zip(found, asked, strict=True)) else "no"
            print(f"{name:14} {sampler:14}{cells}   {met}", flush=True)


def earlier_target() -> cm.Target:
    """Eight Gaussians as the earlier comparison had them."""
    return cm.make_target("eight_gaussians", radius=1.38, sd=0.15)


def asked_of(name: str) -> list[float]:
    """Half the excess of the earlier comparison, at each N."""
    return [(value - EARLIER_FLOOR) / 2 for value in EARLIER[name]]


def excess(models: tuple[cm.TrainedModel, ...], target: cm.Target, sampler: str, steps: int) -> float:
    """KL(data‖histogram) of the samples less that of exact ones, the median over the models."""
    found = []
    for model in models:
        grid = make_grid("uniform_angle", steps, horizon=model.horizon, delta=0.0)
        noisy = sampler == RENOISE.name
        draw = cm.sample(
            model, 64_000, steps, seed=1, sampler=sampler, grid=grid, renoise=1.0, noiseless_end=noisy
        )  # fmt: skip
        score = kl_histogram(draw.points, target, half_width=HALF_WIDTH, seed=2, binned=True)
        found.append(score.value - score.floor)
    return statistics.median(found)


if __name__ == "__main__":
    main()
