"""What a CUDA device is worth here: its tests, then training and sampling on it, on this machine's CPU, and in JAX.

    make gpu                                   all of it, at most 8 minutes; build/gpu.json
    python -m benchmarks.gpu [PATH] [--parts tests training …] [--device cuda] [--small]

Each part is a process of its own with a time limit; where one fails, its traceback is in the JSON and the others go on.
Paces are wall times of whole runs, the device waited for at both ends, and the best of three.

    tests      `pytest -m cuda`
    training   steps of the lab's own loop, drawing of batches included
    sampling   draws of a learned map, the exact score and the exact flow; KL of a learned map
    jax        one step of regression, jitted and scanned in JAX where that is installed, and by this engine

`--device cpu` takes the CPU in the device's place, which is how the script is tried where there is none.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"machine": 40, "tests": 200, "training": 120, "sampling": 70, "jax": 50}
"""Seconds each part may take; 480 in all."""
RESULT = "RESULT "
OBJECTIVES = ("trajectory_regression", "lsd", "mean_flow")
SHAPES = ((128, 512), (256, 2048), (512, 16384))
SETTINGS = {"space": (1.0, 2.0, 4.0), "time": (1.0, 2.0, 3.0, 4.0, 6.0), "learning_rate": 1e-3, "average": 0.998}
SCANNED = 20


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, default=Path("build/gpu.json"))
    parser.add_argument("--parts", nargs="+", choices=[*LIMITS], default=[*LIMITS])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that show that it runs, and no pace")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    choices = parser.parse_args(arguments)
    if choices.part:
        return answer(choices)
    import torch

    if choices.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was run; `--device cpu` tries the script on the CPU.")
        return 1
    found = {}
    for part in choices.parts:
        print(f"{part} …", flush=True)
        command = [sys.executable, __file__, "--part", part, "--device", choices.device]
        found[part] = collected([*command, *(["--small"] if choices.small else [])], LIMITS[part])
        choices.path.parent.mkdir(parents=True, exist_ok=True)
        choices.path.write_text(json.dumps(found, indent=1) + "\n")  # after each part: what is there is not lost
        print(table(part, found[part]), flush=True)
    print(f"Written to {choices.path}.")
    return int(any("error" in part or part.get("failed") for part in found.values()))


def answer(choices: argparse.Namespace) -> int:
    """One part, in its own process."""
    makers = {"machine": machine, "tests": tests, "training": training, "sampling": sampling, "jax": in_jax}
    say(makers[choices.part](choices.device, small=choices.small))
    return 0


def collected(command: list[str], limit: float) -> dict:
    """What a part's process answers; on its way down, at least the end of what it said."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            status = f"exit status {worker.wait(limit)}"
        except subprocess.TimeoutExpired:
            status = f"stopped after {limit:g} seconds"
            os.killpg(worker.pid, signal.SIGKILL)  # with whatever it has started
            worker.wait()
        said.seek(0)
        words = said.read()
    answers = [line for line in words.splitlines() if line.startswith(RESULT)]
    result = json.loads(answers[-1].removeprefix(RESULT)) if answers else {}
    if not answers or worker.returncode:
        result["error"] = f"{status}\n{words[-4000:]}"
    return {**result, "seconds": round(time.perf_counter() - start, 1)}


def say(result: dict) -> None:
    """The result so far, where the process that collects it finds it."""
    print(RESULT + json.dumps(result), flush=True)


def table(part: str, result: dict) -> str:
    """The part for people: its rows, or the last lines of what went wrong."""
    if "error" in result:
        return f"  did not work ({result['seconds']} s): " + result["error"].strip().splitlines()[-1]
    if "rows" not in result:
        plain = {name: value for name, value in result.items() if not isinstance(value, list | dict)}
        return "\n".join(f"  {name:22} {value}" for name, value in plain.items())
    lines = [f"  {'':44}{'device':>12}{'its CPU':>12}{'ratio':>8}"]
    for row in result["rows"]:
        ratio = row["device"] / row["cpu"] if row.get("cpu") and row.get("device") else float("nan")
        values = "".join(f"{row[side]:12.4g}" if row.get(side) else f"{'-':>12}" for side in ("device", "cpu"))
        lines.append(f"  {row['what']:32}{row['unit']:>12}{values}{ratio:8.2f}")
    return "\n".join(lines)


# ---- parts ----------------------------------------------------------------------------------------------------------
def machine(device: str, *, small: bool) -> dict:
    """What was measured, and with what."""
    import torch

    del small
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": next((line.split(":")[1].strip() for line in _cpuinfo() if "model name" in line), ""),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "device": device,
    }
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda or ""}
    return found


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def tests(device: str, *, small: bool) -> dict:
    """`pytest -m cuda`: how many passed, and the report of each that did not."""
    del device
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-v", "-m", "cuda", "-p", "no:cacheprovider"]
        command += ["--continue-on-collection-errors", f"--junitxml={report}", *tests_of_a_device()]
        if importlib.util.find_spec("beartype") is None:  # the shapes of calls are then not checked
            command += ["-o", "addopts=--import-mode=importlib"]
        if importlib.util.find_spec("xdist") and (os.cpu_count() or 1) >= 8:
            command += ["--numprocesses", "4"]
        if small:
            command += ["--collect-only"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if not report.exists():
            raise FileNotFoundError("The tests left no report: see above.")
        cases = list(ET.parse(report).iter("testcase"))
    failures = [(case, *case.findall("failure"), *case.findall("error")) for case in cases]
    told = {
        f"{case.get('classname')}::{case.get('name')}": (why[0].text or "")[-3000:] for case, *why in failures if why
    }
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(told) - skipped
    return {"passed": passed, "failed": len(told), "skipped": skipped, "failures": told}


def tests_of_a_device() -> list[str]:
    """The files that may hold some: those that speak of a device, and not of a page or a browser."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path.parent.name not in ("app", "browser")]
    return [str(path.relative_to(ROOT)) for path in files if re.search(r"\b(cuda|device)\b", path.read_text())]


def training(device: str, *, small: bool) -> dict:
    """Steps per second of the lab's own loop on eight Gaussians."""
    rows = []
    for name in OBJECTIVES:
        for width, batch in SHAPES[: 1 if small else None]:
            paces = {side: _steps_a_second(name, width, batch, side, small=small) for side in (device, "cpu")}
            what = f"{name}, {width}/{batch}"
            rows.append({"what": what, "unit": "steps/s", "device": paces[device], "cpu": paces["cpu"]})
            say({"rows": rows})
    return {"rows": rows}


def _steps_a_second(name: str, width: int, batch: int, device: str, *, small: bool) -> float:
    from cmcore.config import NetworkConfig, TrainingConfig
    from cmcore.targets import make_target
    from cmcore.threads import team
    from cmcore.training_defaults import resolved
    from cmcore.training_run import TrainingRun

    trajectories = {"trajectories": 40 if small else 4000, "levels": 5 if small else 65}
    config = TrainingConfig(
        objective=name,
        objective_parameters=trajectories if name == "trajectory_regression" else {},
        network=NetworkConfig(width=8 if small else width, depth=3),
        batch=16 if small else batch,
        steps=10**6,
        device=device,
    )
    target = make_target("eight_gaussians")
    run = TrainingRun(target, resolved(config, target))
    for _ in run.prepare():
        pass
    with team(run.config.threads or 1):
        return paced(run.take_step, device, small=small)


def sampling(device: str, *, small: bool) -> dict:
    """Points per second of draws, scores, flows and an estimate of KL."""
    import torch

    import cmcore as cm
    from cmcore.config import NetworkConfig
    from cmcore.flow import ExactFlow
    from cmcore.model import FlowMap
    from cmcore.samplers import starting_noise
    from cmcore.streams import stream

    n, target = 20 if small else 100_000, cm.make_target("eight_gaussians")
    dust = cm.make_target("cantor_dust")
    size = 1 << 11 if small else 1 << 14
    grid = cm.make_grid("uniform_angle", 4, horizon=3.0, delta=0.02)
    work: dict[str, tuple[int, Callable[[FlowMap, torch.Tensor], object]]] = {
        "8 deterministic jumps": (n, lambda f, x: cm.sample(f, len(x), 8, seed=0)),
        "8 jumps, renoised": (n, lambda f, x: cm.sample(f, len(x), 8, sampler="renoise", delta=0.05, seed=0)),
        "score of eight Gaussians": (n, lambda _, x: target.score(x, 0.3)),
        "score of cantor dust": (n, lambda _, x: dust.score(x, 0.3)),
        "exact flow to 1e-4": (n, lambda _, x: ExactFlow(target, tolerance=1e-4)(x, 3.0, 0.1)),
        "KL(model‖data), 4 jumps": (size, lambda f, x: cm.kl(f, target, grid, seed=0, n=len(x))),
    }
    rows = []
    for what, (count, call) in work.items():
        row: dict[str, object] = {"what": what, "unit": "points/s"}
        for side, where in (("device", device), ("cpu", "cpu")):
            f = FlowMap(2, NetworkConfig(width=8 if small else 128, depth=3), generator=stream(0, "weights")).to(where)
            x = starting_noise(count, 2, seed=0, device=where)
            row[side] = count * paced(partial(call, f, x), where, small=small)
        rows.append(row)
        say({"rows": rows})
    return {"rows": rows}


def in_jax(device: str, *, small: bool) -> dict:
    """Steps per second of one regression step on batches that are there already: JAX (where it is installed), here."""
    rows = []
    for width, batch in [(8, 16)] if small else SHAPES:
        row: dict[str, object] = {"what": f"regression, {width}/{batch}", "unit": "steps/s"}
        row["device"] = _engine_steps(width, batch, device, small=small)
        if device != "cpu":
            row["cpu"] = _engine_steps(width, batch, "cpu", small=small)
        rows.append(row)
        if importlib.util.find_spec("jax"):
            pace = _jax_steps(width, batch, small=small)
            rows.append({"what": f"the same in JAX ({pace[1]})", "unit": "steps/s", "device": pace[0]})
        say({"rows": rows})
    return {"jax": bool(importlib.util.find_spec("jax")), "rows": rows}


def _engine_steps(width: int, batch: int, device: str, *, small: bool) -> float:
    import torch

    from cmcore.config import NetworkConfig, TrainingConfig
    from cmcore.model import FlowMap
    from cmcore.optimizer import FlatOptimizer
    from cmcore.streams import stream

    network = NetworkConfig(
        width=width, depth=3, space_frequencies=SETTINGS["space"], time_frequencies=SETTINGS["time"]
    )
    rates = {"learning_rate": SETTINGS["learning_rate"], "matrix_learning_rate": 1e-2, "average": SETTINGS["average"]}
    config = TrainingConfig(network=network, optimizer="adam", steps=10**7, warmup=0, **rates)
    flow_map = FlowMap(2, network, generator=stream(0, "weights")).to(device)
    flow_map.matmul_dtype = torch.float32
    optimizer = FlatOptimizer(flow_map, config)
    x, y = (torch.randn(batch, 2, device=device) for _ in "xy")
    theta, gap = (torch.rand(batch, 1, device=device) for _ in "tg")

    @torch.no_grad()
    def step() -> None:
        value, pull_back = flow_map.pulled_direction(x, theta, gap)
        pull_back((value - y) * (2 / value.numel()))
        optimizer.step(1.0, 1000)

    return paced(step, device, small=small)


def _jax_steps(width: int, batch: int, *, small: bool) -> tuple[float, str]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import jax
    import numpy as np
    from training_speed_jax import make_steps

    source = np.random.default_rng(0)
    columns = {"x": 2, "y": 2, "dx": 2, "theta": 1, "gap": 1}
    data = {name: source.standard_normal((SCANNED, batch, w), dtype=np.float32) for name, w in columns.items()}
    inputs = 2 * (1 + 2 * len(SETTINGS["space"])) + 4 * len(SETTINGS["time"])
    steps = make_steps("a", [inputs, width, width, width, 2], data, SETTINGS)
    return SCANNED * paced(steps, "cpu", small=small), jax.devices()[0].platform


def paced(call: Callable[[], object], device: str, *, small: bool) -> float:
    """Calls per second of wall time, the best of three rounds of about a second each."""
    import torch

    def round_of(count: int) -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once = round_of(1)  # and whatever is made at the first call
    if small:
        return 1 / once
    once = round_of(2) / 2
    count = max(1, min(2000, round(1 / once)))
    return count / min(round_of(count) for _ in range(3))


if __name__ == "__main__":
    sys.exit(main())
