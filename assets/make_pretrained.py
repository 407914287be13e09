"""Train the runs the lab ships with, and compute the curves shown beside them.

    python assets/make_pretrained.py                      every run and its curves
    python assets/make_pretrained.py eight_gaussians      one of them
    python assets/make_pretrained.py --curves             only the curves, of the runs that are there

A run is determined by the config below, its seed, the version of the lab and the rounding of the machine. The weights
of three_gaussians are those of an earlier recipe, since tests hold the KL of that map against independent numbers:
training it anew gives a better run, not the same numbers.
"""

import argparse
import json
import sys
from pathlib import Path

import cmcore as cm
from cmcore.divergences import Direction
from cmcore.files import write_atomically
from cmcore.measure import baseline_curves
from cmcore.sampling_defaults import delta_for

PRETRAINED = Path(__file__).parent / "pretrained"

RUNS = {
    "gaussian_grid": {
        "objective": "shortcut",
        "steps": 4_000,
        "network": cm.NetworkConfig(width=48, depth=4),
    },
    "eight_gaussians": {"steps": 12_000},
    "moons": {"steps": 8_000},
    "two_spirals": {"steps": 12_000},
    "checkerboard": {"steps": 12_000},
    "three_gaussians": {"steps": 4_000, "network": cm.NetworkConfig(width=64, depth=5)},
}
"""Gallery target → fields of its TrainingConfig; everything else is the default.

The first is the one that the lab opens on: a small network that learned from samples alone, in less than a minute, so
that what further jumps buy can be seen.
"""
TARGETS = {"gaussian_grid": {"side": 3, "spacing": 1.5, "sd": 0.15}}
"""Parameters of targets that are not their defaults."""

STEPS = [1, 2, 4, 8, 16]
BASELINE_CALLS = [*STEPS, 32]
DIRECTIONS: tuple[Direction, ...] = ("KL(model‖data)", "KL(data‖model)")
SEED = 7
COMPARED_DELTA = 0.01
"""Where a run that goes to time 0 is compared with one that must stop early, as the first two are when Runs opens."""
LESSON_GRIDS = {"eight_gaussians": "constant_step"}
"""Times beside the usual ones that a lesson draws a run on, so that its number is there at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which runs; all by default: {', '.join(RUNS)}")
    parser.add_argument("--curves", action="store_true", help="keep the weights, measure again")
    choices = parser.parse_args()
    for name in choices.names or RUNS:
        folder = PRETRAINED / name
        if not choices.curves:
            model = cm.train(
                cm.make_target(name, **TARGETS.get(name, {})),
                seed=SEED,
                threads=1,
                on_event=_progress(name),
                **RUNS[name],
            )
            cm.save(model, folder, resumable=False)
        measure(folder)


def measure(folder: Path) -> None:
    """Write curves.json: the model's KL against network calls, and the exact-score baselines beside it."""
    model = cm.load(folder)
    shared = {"seed": SEED, "horizon": model.horizon}
    curves = {}
    for direction in DIRECTIONS:
        for sampler in ("deterministic", "renoise"):
            delta = delta_for(sampler, model.delta)
            choices = {**shared, "delta": delta, "direction": direction}
            curves[f"{sampler}, {direction}"] = cm.kl_versus_steps(
                model, model.target, STEPS, sampler=sampler, **choices
            )
            for name, curve in baseline_curves(model.target, BASELINE_CALLS, **choices).items():
                curves[f"{name}, δ = {delta:g}, {direction}"] = curve
        if model.delta < COMPARED_DELTA:
            choices = {**shared, "delta": COMPARED_DELTA, "direction": direction}
            curve = cm.kl_versus_steps(model, model.target, STEPS, sampler="deterministic", **choices)
            curves[f"deterministic, δ = {COMPARED_DELTA:g}, {direction}"] = curve
        if grid := LESSON_GRIDS.get(folder.name):
            choices = {**shared, "delta": model.delta, "direction": direction, "grid": grid}
            curves[f"deterministic, {grid}, {direction}"] = cm.kl_versus_steps(model, model.target, STEPS, **choices)
    for name, curve in curves.items():
        print(f"{folder.name}, {name}:\n{curve.to_frame().iloc[:, :8].to_string(index=False)}\n", file=sys.stderr)
    content = {name: json.loads(curve.to_json()) for name, curve in curves.items()}
    write_atomically(folder / "curves.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _progress(name: str):
    def show(event: cm.TrainingEvent) -> None:
        if event.step % 500 == 0:
            print(f"{name}: step {event.step} of {event.steps}, loss {event.loss:.5f}", file=sys.stderr)

    return show


if __name__ == "__main__":
    main()
