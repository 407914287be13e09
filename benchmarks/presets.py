"""The search behind each objective's defaults: one knob at a time on eight Gaussians, the better setting kept.

    python -m benchmarks.presets [OBJECTIVE ...] [--steps 500] [--out assets/objectives/presets.jsonl] [--histogram]

Each trial trains two seeds side by side for the same number of steps (of a smaller batch more) and is scored by the
mean over N = 1, 4, 16 of log KL, the medians over both seeds. Maps that jump to δ alone are sampled by renoising
(η = t, δ = 0.02, KL(data‖model)), the others by deterministic jumps (δ = 0, KL(model‖data)). With --histogram the
target and the measure are those of `benchmarks.objectives --histogram`: the excess over exact samples at N = 1, 2, 4,
16, whose mean log ratio to what is asked is the score. A trial is one line of the file; what was kept is in the
classes.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import cmcore as cm
from benchmarks.objectives import STEPS as ALL_STEPS
from benchmarks.objectives import asked_of, earlier_target, excess
from cmcore.grids import make_grid
from cmcore.objectives import make_objective

STEPS = (1, 4, 16)
HISTOGRAM_STEPS = (1, 2, 4, 16)
RATES = ("batch", "learning_rate", "matrix_learning_rate", "average")
"""Settings of the optimiser; all others are the objective's own."""
PLAIN = {"from_noise": 0.0, "to_data": 0.0}
ENDS = ({"from_noise": 0.2, "to_data": 0.3}, {"from_noise": 0.4, "to_data": 0.3})
LINEAR = {"preconditioning": "linear"}
LOW_NOISE = {"clock": "log_normal", "log_mean": -1.0, "log_sd": 1.4}
HUBER = {"metric": "pseudo_huber", "metric_scale": 0.1}
UNIT = {"metric": "unit", "metric_scale": 0.1}
HEUN = {"solver": "heun"}

KNOBS: dict[str, tuple[dict[str, Any], ...]] = {
    "lsd": (LINEAR, {"target_average": 0.9}, LOW_NOISE, {"diagonal_share": 0.5}),
    "psd": (LINEAR, {"target_average": 0.9}, LOW_NOISE, {"diagonal_share": 0.5}),
    "mean_flow": (LINEAR, LOW_NOISE, {"metric": "adaptive", "metric_scale": 1.0}, {"diagonal_share": 0.5}),
    "improved_mean_flow": ({"metric": "adaptive", "metric_scale": 1.0}, UNIT, {"diagonal_share": 0.75}, *ENDS),
    "controlled_mean_flow": (
        {"tangent_beta": 0.5},
        {"tangent_beta": 0.97},
        {"target_average": 0.99},
        {"diagonal_share": 0.75},
        UNIT,
    ),
    "alpha_flow": (
        {"alpha_from": 0.25, "alpha_to": 0.75},
        {"alpha_to": 0.5},
        {"diagonal_share": 0.25},
        UNIT,
        {"alpha_floor": 0.05},
    ),
    "tvm": ({"target_average": 0.9}, {"diagonal_share": 0.75}, *ENDS, {"gap_mean": 0.0}, {"clock": "uniform_angle"}),
    "drifting": (
        {"temperature": 0.1},
        {"temperature": 0.2},
        {"temperature": 0.02},
        {"from_noise": 0.8},
        {"particles": 256},
    ),
    "esd": ({"diagonal_share": 0.75}, {"metric": "l2"}, {"target_average": 0.0}, {"through_time": True}),
    "emd": (PLAIN, LINEAR, LOW_NOISE, UNIT, {"diagonal_share": 0.5}),
    "ayf": ({**LINEAR, **PLAIN}, LOW_NOISE, {"gap_mean": 0.0}),
    "lmd": (HUBER, LINEAR, LOW_NOISE),
    "imm": ({"intervals": 32}, {"intervals": 128}, {"kernel_width": 3.0}, {"particles": 16}),
    "ct": ({"intervals": 64}, {"target_average": 0.0}, HUBER, {"growth": "doubling"}, {"mirrored": False}),
    "shortcut": ({"target_average": 0.9}, {"clock": "uniform_angle"}, {"diagonal_share": 0.5}, *ENDS),
    "ctm": ({"intervals": 64}, {"target_average": 0.9}, HUBER, {"diagonal_share": 0.5}),
    "scm": ({"from_noise": 0.2}, {"tangent_warmup": 0.0}, {"tangent_warmup": 0.3}, {"log_mean": 0.0}),
    "cd": ({"intervals": 128}, {"target_average": 0.0}, HUBER, {"from_noise": 0.2}, {"grid": "uniform_angle"}),
    "ict": ({"metric_scale": 0.1}, {"log_mean": 0.0}, {"intervals": 256}, {"space": "network", "step_power": 0.0}),
    "ect": ({"metric_scale": 0.1}, {"log_mean": 0.0}, {"intervals": 64}, {"space": "network", "step_power": 0.0}),
    "two_time_cd": ({"intervals": 128}, HUBER, LOW_NOISE),
    "multistep_cm": ({"intervals": 256}, HUBER, {"target_average": 0.9}, {"growth": "doubling"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objectives", nargs="*", help="all unless named")
    parser.add_argument("--steps", type=int, default=500, help="of a trial, at batch 1024")
    parser.add_argument("--histogram", action="store_true", help="score by the earlier comparison")
    parser.add_argument("--out", type=Path, default=Path("assets/objectives/presets.jsonl"))
    choices = parser.parse_args()
    for name in choices.objectives or KNOBS:
        search(name, choices)


def search(name: str, choices: argparse.Namespace) -> None:
    """Try each knob in turn from the defaults, keeping what is better."""
    kept: dict[str, Any] = {}
    best = trial(name, kept, choices)
    for knob in ({"batch": 512}, *KNOBS[name]):
        score = trial(name, {**kept, **knob}, choices)
        if score < best - 0.02:
            best, kept = score, {**kept, **knob}
    print(f"{name}: kept {kept}, score {best:.3f}", flush=True)


def trial(name: str, settings: dict[str, Any], choices: argparse.Namespace) -> float:
    """Train and score one setting, and write the line."""
    started = time.process_time()
    try:
        numbers = measure(name, settings, choices.steps, histogram=choices.histogram)
    except ValueError as refusal:
        numbers = {"refused": str(refusal)}
    score = scored(name, numbers)
    line = {"objective": name, "settings": settings, "steps": choices.steps, **numbers, "score": round(score, 4)}
    line["processor_seconds"] = round(time.process_time() - started, 1)
    with choices.out.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(line, flush=True)
    return score


def scored(name: str, numbers: dict[str, Any]) -> float:
    """The mean log KL, or excess in units of what is asked; less is better."""
    if "kl" in numbers:
        return statistics.fmean(math.log(v) for v in numbers["kl"])
    if "excess" not in numbers:
        return math.inf
    asked = dict(zip(ALL_STEPS, asked_of(name), strict=True))
    pairs = zip(HISTOGRAM_STEPS, numbers["excess"], strict=True)
    return statistics.fmean(math.log(max(1e-6, found) / asked[n]) for n, found in pairs)


def measure(name: str, settings: dict[str, Any], steps: int, *, histogram: bool) -> dict[str, Any]:
    """The median KL over two seeds at each N, or the median excess of the earlier comparison."""
    target = earlier_target() if histogram else cm.make_target("eight_gaussians")
    rates = {knob: value for knob, value in settings.items() if knob in RATES}
    network = cm.NetworkConfig(preconditioning=settings.get("preconditioning"))
    parameters = {knob: value for knob, value in settings.items() if knob not in (*RATES, "preconditioning")}
    objective = make_objective(name, **parameters)
    budget = round(steps * 1024 / rates.get("batch", 1024))
    models = cm.train_members(
        target,
        seeds=(0, 1),
        objective=name,
        objective_parameters=parameters,
        steps=budget,
        threads=1,
        network=network,
        **rates,
    )
    if histogram:
        sampler = "renoise" if objective.single_time else "deterministic"
        return {"excess": [round(excess(models, target, sampler, n), 4) for n in HISTOGRAM_STEPS]}
    if objective.single_time:
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
