"""How long a training step takes: this engine, plain PyTorch and JAX, beside what their matrix products must take.

    python benchmarks/training_speed.py [--tasks abcd] [--shapes 128/512 256/2048] [--rounds 12]
    python benchmarks/training_speed.py --measures [--width 128] [--batch 512] [--rounds 5]

Four steps on batches that are there already, each with Adam and an exponential average of the weights: three hidden
layers on 34 features of (x, θ, gap), two outputs.

    a  regression
    b  regression on what the averaged weights say elsewhere
    c  regression on a constant made with the derivative along a direction, as MeanFlow's is
    d  a residual with a derivative in it that gets a gradient too, as a Lagrangian one has

"plain" is what one writes first in PyTorch, with `torch.func.jvp`; "engine" is cmcore with its default dtype of matrix
products, "engine32" with float32 ones; JAX is jitted and scans over twenty steps. Each has a process of its own for
each cell, all on the same core; they take turns of a tenth of a second, and a ratio is the median over the rounds.
The engine's losses are known in closed form, as those of most objectives are: their slopes go straight to the weights,
and no tape is kept.
Times are processor time of the whole process: JAX computes in threads of its own, one at a time.

The limit is the best rate of the hidden layers' three products at this width and batch, by the library that the lab
takes for them. What a step has to multiply:
one pass through the layers forward and two backward (a), a teacher's forward besides (b), value and derivative forward
and two backward (c), two forward and four backward (d); gradients of the inputs, which nobody needs, do not count.

`--measures` compares the lab's whole loop, drawing of batches included, with a plain script that does the same work on
the same pool of exact trajectories, and leaves measures out one at a time to show what each is worth.
`--before FOLDER` lets the engine of another checkout of the lab take turns too, and prints its best time of a step ÷
that of this one. Two processes of one program differ by some percent, by where their memory lies: `--starts 6` lets
all start anew so often.
"""

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

SHAPES = ("128/512", "256/2048")
TASKS = {"a": "regression", "b": "with a teacher", "c": "constant derivative", "d": "through derivative"}
VARIANTS = ("plain", "engine32", "engine", "jax", "limit32", "limit")
COLUMNS = (("µs a step", 36), ("pace ÷ JAX's", 16), ("share of the limit", 34), ("seconds to the first step", 26))
HEADS = (
    *(("plain", 9), ("engine32", 10), ("engine", 9), ("jax", 8), ("engine32", 16)),
    *(("engine32", 16), ("engine", 9), ("jax", 9), ("engine", 18), ("jax", 8)),
)
BARS = {
    "a": {"128/512": 0.55, "256/2048": 0.75},
    "c": {"128/512": 0.50, "256/2048": 0.65},
    "d": {"128/512": 0.50, "256/2048": 0.65},
}
JAX_BAR, FIRST_STEP_BAR = 0.9, 0.1
RATES = {"learning_rate": 1e-3, "matrix_learning_rate": 1e-2, "average": 0.998}
SETTINGS = {"space": (1.0, 2.0, 4.0), "time": (1.0, 2.0, 3.0, 4.0, 6.0), **RATES}
STEPS = 20
BEFORE = " before"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="abcd")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--measures", action="store_true", help="the lab's loop against a plain script")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout of the lab to compare with")
    parser.add_argument("--starts", type=int, default=1, help="how often each process starts anew")
    parser.add_argument("--variants", help="only these, with commas between")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    choices = parser.parse_args()
    if choices.variant in VARIANTS:
        serve(choices)
    elif choices.variant:
        print(json.dumps(steps_per_second(choices)))
    elif choices.measures:
        compare_measures(choices)
    else:
        compare_steps(choices)


# ---- one step of this engine, of plain PyTorch and of JAX -----------------------------------------------------------
def compare_steps(choices: argparse.Namespace) -> None:
    rounds = choices.rounds or 12
    variants = [v for v in VARIANTS if v != "jax" or importlib.util.find_spec("jax")]
    if choices.variants:
        variants = [v for v in variants if v in choices.variants.split(",")]
    elif "jax" not in variants:
        print("JAX is not installed, so its numbers are missing; `pip install jax` brings them.\n")
    if choices.before:
        variants += [f"{v}{BEFORE}" for v in ("engine32", "engine") if v in variants]
    print(f"One core, medians of {rounds} rounds; in brackets what was asked for.")
    for shape in choices.shapes:
        print(f"\n{shape:28}" + "".join(f"{title:^{width}}" for title, width in COLUMNS))
        print(f"{'':28}" + "".join(f"{head:>{width}}" for head, width in HEADS))
        for task in choices.tasks:
            times = _measure_cell(variants, shape, task, rounds, choices.before)
            for _ in range(choices.starts - 1):
                for v, more in _measure_cell(variants, shape, task, rounds, choices.before).items():
                    times[v] += more[1:]
            cells = _cells(shape, task, times)
            print(f"{task} {TASKS[task]:26}" + "".join(f"{c:>{w}}" for c, (_, w) in zip(cells, HEADS, strict=True)))
            if choices.before:
                pairs = [(v, v + BEFORE) for v in ("engine32", "engine") if v in times]
                ratios = (f"{v} {min(times[b][1:]) / min(times[v][1:]):.3f}" for v, b in pairs)
                print(f"{'':28}best pace ÷ that before: {', '.join(ratios)}", flush=True)
        if {"limit32", "limit"} <= times.keys():
            print(_limits(shape, task, times))


def _measure_cell(
    variants: list[str], shape: str, task: str, rounds: int, before: Path | None
) -> dict[str, list[float]]:
    """Of each variant first the seconds to the end of its first step, then those of a step in each round."""
    width, batch = shape.split("/")
    cell = ["--tasks", task, "--width", width, "--batch", batch, "--variant"]
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        workers = {}
        for v in variants:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            root = before.resolve() if before and v.endswith(BEFORE) else Path(__file__).resolve().parents[1]
            command = [sys.executable, root / "benchmarks/training_speed.py", *cell, v.removesuffix(BEFORE)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
            workers[v] = stack.enter_context(subprocess.Popen(command, env=environment, **pipes))
            times[v] = [float(workers[v].stdout.readline())]
        for _ in range(rounds):
            for v, worker in workers.items():
                print(file=worker.stdin, flush=True)
                times[v].append(float(worker.stdout.readline()))
    return times


def _cells(shape: str, task: str, times: dict[str, list[float]]) -> list[str]:
    """One line of the table."""

    def ratio(above: str, below: str, asked: float | None = None) -> str:
        if above not in times or below not in times:
            return ""
        return f"{_ratio(times, above, below):.2f}" + (f" (≥{asked:.2f})" if asked else "")

    steps = [f"{1e6 * _typical(times[v]):.0f}" if v in times else "" for v in ("plain", "engine32", "engine", "jax")]
    asked = BARS.get(task, {}).get(shape)
    shares = [
        ratio("limit32", "engine32", asked),
        ratio("limit", "engine"),
        ratio("limit32", "jax") if "jax" in times else "",
    ]
    engine = f"{times['engine'][0]:.2f} (≤{FIRST_STEP_BAR:.2f})" if "engine" in times else ""
    first = [engine, f"{times['jax'][0]:.2f}" if "jax" in times else ""]
    return [*steps, ratio("jax", "engine32", JAX_BAR), *shares, *first]


def _ratio(times: dict[str, list[float]], above: str, below: str) -> float:
    """Median over the rounds."""
    return statistics.median(a / b for a, b in zip(times[above][1:], times[below][1:], strict=True))


def _typical(times: list[float]) -> float:
    """The median over rounds; the first number is the first step's."""
    return statistics.median(times[1:])


def _limits(shape: str, task: str, times: dict[str, list[float]]) -> str:
    width, batch = map(int, shape.split("/"))
    rates = [2e-9 * _multiplications(task, width, batch) / _typical(times[v]) for v in ("limit32", "limit")]
    return f"limit: {rates[0]:.0f} GF/s in float32, {rates[1]:.0f} in the default dtype of products"


def serve(choices: argparse.Namespace) -> None:
    """Take the first step and say how long it took; then, for each line that comes in, say what a step takes now."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    makers = {"plain": _plain, "jax": _jax, "limit32": _limit, "limit": _limit}
    make = makers.get(choices.variant, _engine)(choices)
    start = time.perf_counter()
    run = make()
    run(1)
    print(time.perf_counter() - start, flush=True)
    run(STEPS)
    for _ in sys.stdin:
        start = time.process_time()
        paces = [run(STEPS)]
        while time.process_time() - start < 0.1:
            paces.append(run(STEPS))
        print(min(paces), flush=True)


def _paced(step):
    """A function that takes steps and returns the processor time of one."""
    from itertools import count

    numbers = count()

    def run(steps: int) -> float:
        start = time.process_time()
        for _ in range(steps):
            step(next(numbers))
        return (time.process_time() - start) / steps

    return run


def _data(batch: int):
    """STEPS batches: x, y and dx of two columns, θ and gap of one."""
    import numpy as np

    source = np.random.default_rng(0)
    columns = {"x": 2, "y": 2, "dx": 2, "theta": 1, "gap": 1}
    return {name: source.standard_normal((STEPS, batch, w), dtype=np.float32) for name, w in columns.items()}


def _torch_data(batch: int):
    import torch

    data = {name: torch.from_numpy(values) for name, values in _data(batch).items()}
    return [tuple(values[i] for values in data.values()) for i in range(STEPS)]


def _widths(width: int) -> list[int]:
    inputs = 2 * (1 + 2 * len(SETTINGS["space"])) + 4 * len(SETTINGS["time"])
    return [inputs, width, width, width, 2]


def _multiplications(task: str, width: int, batch: int) -> int:
    """Those of the step's matrix products."""
    layers = [a * b for a, b in pairwise(_widths(width))]
    passes, inputs_unneeded = {"a": (3, 1), "b": (4, 1), "c": (4, 1), "d": (6, 2)}[task]
    return batch * (passes * sum(layers) - inputs_unneeded * layers[0])


def _engine(choices: argparse.Namespace):
    """cmcore's features, perceptron and optimiser."""
    import torch

    from cmcore.config import NetworkConfig, TrainingConfig
    from cmcore.model import FlowMap
    from cmcore.optimizer import FlatOptimizer
    from cmcore.runtime import choose_products, matmul_dtype, reuse_memory, view_as_slices
    from cmcore.schedule import moment
    from cmcore.streams import stream

    network = NetworkConfig(
        width=choices.width, depth=3, space_frequencies=SETTINGS["space"], time_frequencies=SETTINGS["time"]
    )
    config = TrainingConfig(network=network, optimizer="adam", steps=10**7, warmup=0, **RATES)
    batches = _torch_data(choices.batch)

    def make():
        reuse_memory()
        flow_map, teacher = (FlowMap(2, network, generator=stream(0, "weights")) for _ in range(2))
        features, perceptron = flow_map.features, flow_map.network
        choice = "float32" if choices.variant == "engine32" else "auto"
        flow_map.matmul_dtype = dtype = matmul_dtype(choose_products(choice, torch.device("cpu")))
        optimizer = FlatOptimizer(flow_map, config)
        of_teacher = dict(teacher.named_parameters())
        view_as_slices([of_teacher[name] for name in optimizer.names], optimizer.average)

        @torch.no_grad()
        def step(number: int) -> None:
            x, y, dx, theta, gap = batches[number % STEPS]
            if choices.tasks in "ab":
                wanted = y
                if choices.tasks == "b":
                    wanted = teacher.network.for_weights(features(y, theta, gap), dtype)
                value, _, pull_back = perceptron.pulled(features(x, theta, gap), None, dtype)
                pull_back(_mean_square(value - wanted)[1])
            elif choices.tasks == "c":
                inputs = features.with_tangent(x, theta, gap, dx, 1.0, 1.0)
                value, tangent, pull_back = perceptron.pulled(*inputs, dtype)
                pull_back(_mean_square(value - torch.addcmul(dx, gap, tangent, value=-1))[1])
            else:
                inputs = features.with_tangent(x, theta, gap, None, 0.0, -1.0)
                value, tangent, pull_back = perceptron.pulled(*inputs, dtype, through_tangent=True)
                _, slopes = _mean_square(torch.addcmul(value, gap, tangent, value=-1) - dx)
                pull_back(slopes, -gap * slopes)
            optimizer.step(moment(config, number, config.steps).factor, number)

        return _paced(step)

    return make


def _mean_square(error):
    """The mean square of the error, and its slopes."""
    return error.square().mean(), error * (2 / error.numel())


def _plain(choices: argparse.Namespace):
    """What one writes first: torch's modules and defaults, an average parameter by parameter."""
    import torch
    from torch import nn
    from torch.func import jvp

    batches = _torch_data(choices.batch)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs, *hidden, outputs = _widths(choices.width)
            layers = []
            for width in hidden:
                layers += [nn.Linear(inputs, width), nn.SiLU()]
                inputs = width
            self.layers = nn.Sequential(*layers, nn.Linear(inputs, outputs))
            self.register_buffer("space", torch.tensor(SETTINGS["space"]))
            self.register_buffer("time", torch.tensor(SETTINGS["time"]))

        def forward(self, x: torch.Tensor, theta: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
            space = (x[:, :, None] * self.space).flatten(1)
            times = torch.cat([theta * self.time, gap * self.time], dim=1)
            return self.layers(torch.cat([x, space.sin(), space.cos(), times.sin(), times.cos()], dim=1))

    def make():
        net, teacher = Net(), Net()
        teacher.load_state_dict(net.state_dict())
        optimizer = torch.optim.Adam(net.parameters(), lr=SETTINGS["learning_rate"], betas=(0.9, 0.99))

        def prediction_and_wanted(x, y, dx, theta, gap):
            if choices.tasks in "ab":
                wanted = y
                if choices.tasks == "b":
                    with torch.no_grad():
                        wanted = teacher(y, theta, gap)
                return net(x, theta, gap), wanted
            one = torch.ones_like(gap)
            if choices.tasks == "c":
                value, tangent = jvp(net, (x, theta, gap), (dx, one, one))
                return value, (dx - gap * tangent).detach()
            value, tangent = jvp(net, (x, theta, gap), (torch.zeros_like(dx), torch.zeros_like(one), -one))
            return value - gap * tangent, dx

        def step(number: int) -> None:
            loss = nn.functional.mse_loss(*prediction_and_wanted(*batches[number % STEPS]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for kept, p in zip(teacher.parameters(), net.parameters(), strict=True):
                    kept.lerp_(p, 1 - SETTINGS["average"])

        return _paced(step)

    return make


def _jax(choices: argparse.Namespace):
    """The same steps in JAX; the first takes all of its first scan."""
    from training_speed_jax import make_steps

    data = _data(choices.batch)
    return lambda: _scanned(make_steps(choices.tasks, _widths(choices.width), data, SETTINGS))


def _scanned(steps):
    def run(_: int) -> float:
        start = time.process_time()
        steps()
        return (time.process_time() - start) / STEPS

    return run


def _limit(choices: argparse.Namespace):
    """The time that nothing but what has to be multiplied would take, at the best rate of the hidden layers."""
    import torch

    from cmcore.runtime import choose_products, linear, matmul_dtype

    choice = "float32" if choices.variant == "limit32" else "auto"
    dtype = matmul_dtype(choose_products(choice, torch.device("cpu")))
    h, gradient = torch.randn(2, choices.batch, choices.width).to(dtype)
    weight = torch.randn(choices.width, choices.width).to(dtype)
    products = _multiplications(choices.tasks, choices.width, choices.batch) / (choices.batch * choices.width**2)
    calls = (lambda: linear(h, weight), lambda: linear(gradient, weight.T), lambda: linear(gradient.T, h.T))

    def run(_: int) -> float:
        best = math.inf
        for call in calls:
            pace = _paced(lambda _, call=call: call())
            best = min(best, *(pace(5) for _ in range(4)))
        return best * products

    return lambda: run


# ---- the lab's whole loop, measure by measure -----------------------------------------------------------------------
LOOPS = {
    "plain PyTorch script": "plain-loop",
    "the lab's loop": "lab-loop",
    "… with float32 products": "lab-loop-float32",
    "… without showing malloc a large block": "lab-loop-forgetful",
}


def compare_measures(choices: argparse.Namespace) -> None:
    rounds = choices.rounds or 5
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(rounds):
        for name, variant in LOOPS.items():
            rates[name].append(_in_its_own_process(choices, variant))
    _report_measures(rates, choices, rounds)


def _in_its_own_process(choices: argparse.Namespace, variant: str) -> float:
    command = [sys.executable, __file__, "--variant", variant]
    for option in ("width", "batch", "steps"):
        command += [f"--{option}", str(getattr(choices, option))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _report_measures(rates: dict[str, list[float]], choices: argparse.Namespace, rounds: int) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    plain, lab = (medians[name] for name in list(LOOPS)[:2])
    print(f"width {choices.width}, batch {choices.batch}, one thread, median of {rounds} rounds\n")
    print(f"{'':52} steps/s  ÷ plain   ÷ lab")
    for name, rate in medians.items():
        print(f"{name:52} {rate:7.0f} {rate / plain:8.2f} {rate / lab:7.2f}")
    print(f"\nasked: at least 1.50 times the plain script; measured: {lab / plain:.2f}")


def steps_per_second(choices: argparse.Namespace) -> float:
    """The best pace of one variant in this process, over windows of 50 steps, per second of its one thread.

    Processor time, and the least disturbed window of it: other work on the machine then blurs the comparison least.
    """
    import torch

    from cmcore.config import NetworkConfig, TrainingConfig
    from cmcore.objectives import BatchSource, make_objective
    from cmcore.runtime import reuse_memory
    from cmcore.streams import stream
    from cmcore.targets import make_target

    torch.set_num_threads(1)
    if choices.variant != "lab-loop-forgetful":
        reuse_memory()
    config = TrainingConfig(
        network=NetworkConfig(width=choices.width, depth=3),
        batch=choices.batch,
        optimizer="adam",
        steps=choices.steps,
        matmul_dtype="float32" if choices.variant == "lab-loop-float32" else "auto",
        **RATES,
    )
    objective = make_objective("trajectory_regression", trajectories=8000)
    source = BatchSource(make_target("eight_gaussians"), 3.0, 0.0, torch.device("cpu"), stream(0, "objective"))
    pool = objective.prepare(source)
    step = (_plain_loop if choices.variant == "plain-loop" else _lab_loop)(config, objective, pool)
    paces = []
    for _ in range(choices.steps // 50):
        start = time.thread_time()
        for _ in range(50):
            step()
        paces.append(50 / (time.thread_time() - start))
    return max(paces)


def _lab_loop(config, objective, pool):
    """The lab's own parts, put together as in cmcore.training."""
    from itertools import count

    import torch

    from cmcore.model import FlowMap
    from cmcore.objectives import LossContext
    from cmcore.optimizer import FlatOptimizer
    from cmcore.runtime import choose_products, matmul_dtype
    from cmcore.schedule import moment
    from cmcore.streams import stream

    flow_map = FlowMap(2, config.network, generator=stream(0, "weights"))
    flow_map.matmul_dtype = matmul_dtype(choose_products(config.matmul_dtype, torch.device("cpu")))
    context = LossContext(flow_map, flow_map, {})
    optimizer = FlatOptimizer(flow_map, config)
    blocks = (objective.batches(pool, 64, config.batch, generator=stream(0, f"batches {b}")) for b in count())
    batches = (batch for block in blocks for batch in block)
    numbers = count()

    def step() -> None:
        objective.backward(context, next(batches))
        number = next(numbers)
        optimizer.step(moment(config, number, config.steps).factor, number)

    return step


def _plain_loop(config, objective, pool):
    """What one writes first: torch's own modules and defaults, a batch a step, an average parameter by parameter."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width, depth = config.network.width, config.network.depth
            layers = [nn.Linear(18, width), nn.SiLU()]
            for _ in range(depth - 1):
                layers += [nn.Linear(width, width), nn.SiLU()]
            self.layers = nn.Sequential(*layers, nn.Linear(width, 2))
            self.register_buffer("multiples", torch.tensor([1.0, 2.0, 4.0]))

        def forward(self, x: torch.Tensor, theta: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
            times = torch.cat([theta * self.multiples, gap * self.multiples], dim=1)
            parts = [x, torch.sin(2 * x), torch.cos(2 * x), torch.sin(times), torch.cos(times)]
            return self.layers(torch.cat(parts, dim=1))

    net, average = Net(), Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    levels, trajectories, dim = pool.states.shape
    scale = objective.threshold * dim**0.5

    def step() -> None:
        which = torch.randint(trajectories, (config.batch,))
        i, j = torch.randint(levels, (config.batch,)), torch.randint(levels - 1, (config.batch,))
        j = j + (j >= i)
        early, late = torch.minimum(i, j), torch.maximum(i, j)
        x, y = pool.states[early, which], pool.states[late, which]
        theta = pool.angles[early][:, None]
        gap = theta - pool.angles[late][:, None]
        wanted = (torch.cos(gap) * x - y) / torch.sin(gap)
        loss = (((net(x, theta, gap) - wanted) ** 2).sum(1) + scale**2).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            for kept, p in zip(average.parameters(), net.parameters(), strict=True):
                kept.lerp_(p, 1 - config.average)

    return step


if __name__ == "__main__":
    main()
