"""The search behind each objective's defaults: one knob at a time on eight Gaussians, the better setting kept.

    python -m benchmarks.presets [OBJECTIVE ...] [--steps 600] [--out assets/presets.jsonl]

Each trial trains two seeds side by side for the same number of steps (a larger batch gets fewer) and is scored by the
mean over N = 1, 4, 16 of log KL, the medians over both seeds. Maps that jump to δ alone are sampled by renoising
(η = t, δ = 0.02, KL(data‖model)), the others by deterministic jumps (δ = 0, KL(model‖data)). A trial is one line of the
file; what was kept is in the classes. Knobs that an objective lacks are passed over.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import cmcore as cm
from cmcore.grids import make_grid
from cmcore.objectives import OBJECTIVES, make_objective

STEPS = (1, 4, 16)
RATES: dict[str, tuple[Any, ...]] = {
    "matrix_learning_rate": (0.03, 0.06),
    "average": (0.998, 0.995),
    "batch": (1024, 512),
}
KNOBS: dict[str, tuple[Any, ...]] = {
    "metric": ("l2", "pseudo_huber", "adaptive", "unit"),
    "metric_scale": (0.01, 0.1, 1.0),
    "diagonal_share": (0.75, 0.5, 0.25),
    "clock": ("uniform_angle", "uniform_linear", "log_normal", "karras"),
    "from_noise": (0.2, 0.0, 0.4),
    "to_data": (0.3, 0.0),
    "target_average": (0.0, 0.9, 0.99),
    "intervals": (32, 128, 512),
    "first_intervals": (2, 16, 64),
    "space": ("network", "map"),
    "step_power": (0.0, 1.0),
    "weight_power": (0.0, 1.0),
    "tangent_warmup": (0.0, 0.1, 0.3),
    "kernel_width": (1.0, 0.3, 3.0),
    "particles": (4, 16),
    "through_time": (True, False),
    "through": ("midpoint", "uniform"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objectives", nargs="*", help="all families unless named")
    parser.add_argument("--steps", type=int, default=600, help="of a trial, at batch 1024")
    parser.add_argument("--out", type=Path, default=Path("assets/presets.jsonl"))
    choices = parser.parse_args()
    families = [name for name, kind in OBJECTIVES.items() if not kind.building_block]
    for name in choices.objectives or families:
        search(name, choices)


def search(name: str, choices: argparse.Namespace) -> None:
    """Try each knob in turn from the defaults, keeping what is better."""
    defaults = make_objective(name).parameters()
    kept: dict[str, Any] = {}
    best = trial(name, kept, choices)
    for knob, values in {**RATES, **KNOBS}.items():
        if knob not in RATES and (knob not in defaults or (knob == "diagonal_share" and not defaults[knob])):
            continue
        for value in values:
            settings = {**kept, knob: value}
            if knob == "metric_scale" and settings.get("metric", defaults.get("metric")) == "l2":
                continue
            if value == kept.get(knob, defaults.get(knob, RATES.get(knob, (None,))[0])):
                continue
            score = trial(name, settings, choices)
            if score < best - 0.02:
                best, kept = score, settings
    print(f"{name}: kept {kept}, score {best:.3f}", flush=True)


def trial(name: str, settings: dict[str, Any], choices: argparse.Namespace) -> float:
    """Train and score one setting, and write the line."""
    started = time.process_time()
    try:
        numbers = measure(name, settings, choices.steps)
    except ValueError as refusal:
        numbers = {"refused": str(refusal)}
    score = statistics.fmean(math.log(v) for v in numbers["kl"]) if "kl" in numbers else math.inf
    line = {"objective": name, "settings": settings, "steps": choices.steps, **numbers, "score": round(score, 4)}
    line["processor_seconds"] = round(time.process_time() - started, 1)
    with choices.out.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(line, flush=True)
    return score


def measure(name: str, settings: dict[str, Any], steps: int) -> dict[str, Any]:
    """The median KL over two seeds at each N."""
    target = cm.make_target("eight_gaussians")
    rates = {knob: value for knob, value in settings.items() if knob in RATES}
    parameters = {knob: value for knob, value in settings.items() if knob not in RATES}
    budget = round(steps * 1024 / rates.get("batch", 1024))
    models = cm.train_members(
        target, seeds=(0, 1), objective=name, objective_parameters=parameters, steps=budget, threads=1, **rates
    )
    if make_objective(name, **parameters).single_time:
        how: dict[str, Any] = {"sampler": "renoise", "renoise": 1.0, "n": 1 << 15}
        delta = 0.02
    else:
        how, delta = {"sampler": "deterministic", "n": 2000}, 0.0
    kl = []
    for n in STEPS:
        grid = make_grid("uniform_angle", n, horizon=3.0, delta=delta)
        values = [cm.kl(model, target, grid, seed=0, **how).value for model in models]
        kl.append(round(max(1e-6, statistics.median(v if math.isfinite(v) else 100.0 for v in values)), 5))
    return {"kl": kl}


if __name__ == "__main__":
    main()
