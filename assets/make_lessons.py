"""Make the small runs and the answer of the failure gallery, which the lessons show.

    python assets/make_lessons.py                  all of them
    python assets/make_lessons.py collapse         one of them
    python assets/make_lessons.py estimators       how estimators lie, in three panels

Each run goes to assets/lessons/runs/NAME with its KL curve, the answer to assets/lessons/estimators.json. All start
from the seed below; a run takes up to a minute of one core, the answer half a minute.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

import cmcore as cm
from cmcore.divergences.histogram import kl_histogram
from cmcore.divergences.tools.log_ratio import kl_from_log_ratio
from cmcore.experiments.base import Axis, Panel, Result, Series
from cmcore.files import write_atomically
from cmcore.streams import stream

FOLDER = Path(__file__).parent / "lessons"
NETWORK = cm.NetworkConfig(width=48, depth=4)
STEPS = [1, 2, 4, 8, 16]
SEED = 0

RUNS: dict[str, dict[str, object]] = {
    "no_average": {"steps": 2_500, "hold": 2_500, "batch": 64, "average": 0.0},
    "with_average": {"steps": 2_500, "hold": 2_500, "batch": 64, "average": 0.998},
    "collapse": {
        "objective": "ct",
        "objective_parameters": {"first_intervals": 2, "intervals": 2, "growth": "constant", "metric": "l2"},
        "steps": 800,
        "batch": 256,
    },
}
"""Name → fields of its TrainingConfig; all learn the eight Gaussians. The two with and without an average are the same
training: its rates do not fall at the end (`hold`), since that would quieten the weights in another way."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"all by default: {', '.join(RUNS)}, estimators")
    parser.add_argument("--curves", action="store_true", help="keep the weights, measure again")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    for name in choices.names or [*RUNS, "estimators"]:
        if name == "estimators":
            write_atomically(FOLDER / "estimators.json", (estimators().to_json() + "\n").encode())
        elif choices.curves:
            measure(FOLDER / "runs" / name)
        else:
            make_run(name)


def make_run(name: str) -> None:
    """Train a run, and measure its curve."""
    target = cm.make_target("eight_gaussians")
    model = cm.train(target, network=NETWORK, seed=SEED, threads=1, **RUNS[name])
    measure(cm.save(model, FOLDER / "runs" / name, resumable=False))


def measure(folder: Path) -> None:
    """Write curves.json: KL against network calls, jumps without fresh noise."""
    model = cm.load(folder)
    numbers = (
        [1] if folder.name == "collapse" else STEPS
    )  # its further jumps fold so often that measuring takes minutes
    curve = cm.kl_versus_steps(model, model.target, numbers, seed=7, horizon=model.horizon)
    print(f"{folder.name}:\n{curve.to_frame().iloc[:, :8].to_string(index=False)}\n", file=sys.stderr)
    content = {f"deterministic, {curve.estimates[0].direction}": json.loads(curve.to_json())}
    write_atomically(folder / "curves.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


# ---- estimators that lie --------------------------------------------------------------------------------------------
MODES = (4, 8, 16, 32)
DIMS = (1, 2, 3, 4, 6, 8, 12, 16)
ROWS = (1_000, 3_000, 10_000, 30_000, 100_000)
BINS, HALF_WIDTH = 50, 2.7


def estimators() -> Result:
    """Three estimators asked about laws whose KL is known."""
    began = time.perf_counter()
    series = (*dropped_mode(), *wide_model(), *histogram())
    panels = (
        Panel(
            name="dropped",
            x=Axis(label="modes, of which the model drops one", log=True),
            y=Axis(label="KL(model‖data), nats", log=True),
            title="A model that drops a mode: KL(model‖data)",
        ),
        Panel(
            name="neighbours",
            x=Axis(label="dimension d"),
            y=Axis(label="KL(model‖data), nats"),
            title="A model that is too wide: KL(model‖data)",
        ),
        Panel(
            name="histogram",
            x=Axis(label="samples n", log=True),
            y=Axis(label="KL(data‖histogram), nats", log=True),
            title="Samples on 50 × 50 bins: KL(data‖histogram)",
        ),
    )
    config = {"seed": SEED, "modes": MODES, "dims": DIMS, "rows": ROWS, "bins": BINS, "half_width": HALF_WIDTH}
    return Result(
        experiment="estimators",
        config={name: list(value) if isinstance(value, tuple) else value for name, value in config.items()},
        panels=panels,
        series=series,
        reading="What k3, nearest neighbours and a histogram say where the truth is known.",
        seconds=time.perf_counter() - began,
    )


def dropped_mode(n: int = 20_000) -> list[Series]:
    """q is p without one of its m far modes: KL(q‖p) = log m/(m − 1), and p/q = (m − 1)/m wherever q is."""
    truth, k1, k3 = [], [], []
    for m in MODES:
        turn = torch.arange(m, dtype=torch.float64) * (2 * math.pi / m)
        means = 4 * m * torch.stack([turn.cos(), turn.sin()], dim=1)
        data, model = (cm.GaussianMixture(torch.ones(len(c)) / len(c), c, 1.0) for c in (means, means[1:]))
        x = model.sample(n, generator=stream(SEED, f"dropped mode of {m}"))
        log_ratio = data.log_prob(x) - model.log_prob(x)
        plain = kl_from_log_ratio(log_ratio[:, None], torch.ones(n, 1), control_variate=False)
        truth.append(math.log(m / (m - 1)))
        k1.append((plain.value, plain.half_width))
        r = log_ratio.exp()
        k3.append(_mean(r - 1 - log_ratio))
    how = f"KL(model‖data), n = {n:,}"
    return [
        _line("truth, log m/(m − 1)", "exact", "dropped", MODES, [(v, 0.0) for v in truth], how="closed form"),
        _line("k1, the mean of log q − log p", "baseline", "dropped", MODES, k1, how=how),
        _line("k3, the mean of r − 1 − log r, r = p/q", "model", "dropped", MODES, k3, how=how),
    ]


def wide_model(n: int = 5_000, k: int = 10) -> list[Series]:
    """q = N(0, s² I), too wide for N(0, I) by one nat, and the textbook estimate from samples of both."""
    answers = []
    for d in DIMS:
        s = _scale_of_one_nat(d)
        noise = stream(SEED, f"wide model in {d} dimensions")
        q, p = (torch.randn(n, d, generator=noise, dtype=torch.float64).numpy() for _ in range(2))
        answers.append(_neighbours(s * q, p, k))
    return [
        _line("truth", "exact", "neighbours", DIMS, [(1.0, 0.0)] * len(DIMS), how="closed form"),
        _line(f"{k} nearest neighbours, n = {n:,}", "model", "neighbours", DIMS, answers, how="ten blocks"),
    ]


def _scale_of_one_nat(d: int) -> float:
    """s > 1 with KL(N(0, s² I)‖N(0, I)) = d (s² − 1 − 2 log s)/2 = 1."""
    low, high = 1.0, 4.0
    for _ in range(80):
        s = (low + high) / 2
        low, high = (s, high) if d * (s**2 - 1 - 2 * math.log(s)) / 2 < 1 else (low, s)
    return low


def _neighbours(q: np.ndarray, p: np.ndarray, k: int) -> tuple[float, float]:
    """Wang, Kulkarni & Verdú 2009, which `cm.kl` refuses above d = 3; value and half a 95 % interval of ten blocks."""
    own = KDTree(q).query(q, k=k + 1)[0][:, -1]
    other = KDTree(p).query(q, k=k)[0][:, -1]
    terms = q.shape[1] * np.log(other / own) + math.log(len(p) / (len(q) - 1))
    blocks = terms.reshape(10, -1).mean(1)
    return float(terms.mean()), 2.262 * float(blocks.std(ddof=1)) / math.sqrt(10)


def histogram() -> list[Series]:
    """The score of a histogram of exact samples, whose KL is 0, and of two networks' samples."""
    target = cm.make_target("eight_gaussians")
    models = {"shipped run, 4 jumps": cm.load(FOLDER.parent / "pretrained" / "eight_gaussians")}
    score = {"half_width": HALF_WIDTH, "bins": BINS, "seed": SEED}
    scores: dict[str, list[tuple[float, float]]] = {"exact samples": [], **{name: [] for name in models}}
    for n in ROWS:
        exact = target.sample(n, generator=stream(SEED, f"{n} rows of a histogram"))
        drawn = {"exact samples": exact} | {name: cm.sample(m, n, 4, seed=SEED).points for name, m in models.items()}
        for name, points in drawn.items():
            estimate = kl_histogram(points, target, **score)
            scores[name].append((estimate.value, (estimate.high - estimate.low) / 2))
    roles = {"exact samples": "exact"}
    return [
        _line(name, roles.get(name, "model"), "histogram", ROWS, found, how=f"{BINS} × {BINS} bins, half added to each")
        for name, found in scores.items()
    ]


def _mean(values: torch.Tensor) -> tuple[float, float]:
    return float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))


def _line(label, role, panel, x, found, *, how) -> Series:
    y = tuple(value for value, _ in found)
    exact = not any(half for _, half in found)
    ends = {} if exact else {"low": tuple(v - h for v, h in found), "high": tuple(v + h for v, h in found)}
    return Series(label=label, role=role, panel=panel, x=tuple(map(float, x)), y=y, how=how, **ends)


if __name__ == "__main__":
    main()
