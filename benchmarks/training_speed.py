"""Training steps per second: the lab's loop against a plain PyTorch script doing the same work, measure by measure.

    python benchmarks/training_speed.py [--width 128] [--batch 512] [--rounds 5]

Every variant trains the same network (three hidden layers) on the same pool of exact trajectories with Adam and an
exponential average of the weights, one thread, in a process of its own; rounds interleave the variants, and a ratio
compares medians over rounds. Switching one measure off shows what it is worth.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

VARIANTS = {
    "plain PyTorch script": ("plain", ""),
    "the lab's loop": ("lab", "matmul,malloc"),
    "… with float32 products": ("lab-float32", "matmul,malloc"),
    "… without oneDNN for float32 products": ("lab-float32", "malloc"),
    "… without keeping malloc's memory": ("lab", "matmul"),
    "plain PyTorch script with both of these": ("plain", "matmul,malloc"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--variant", choices=("plain", "lab", "lab-float32"), help=argparse.SUPPRESS)
    choices = parser.parse_args()
    if choices.variant:
        print(json.dumps(steps_per_second(choices)))
        return
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(choices.rounds):
        for name, (variant, tuning) in VARIANTS.items():
            rates[name].append(_in_its_own_process(choices, variant, tuning))
    _report(rates, choices)


def _in_its_own_process(choices: argparse.Namespace, variant: str, tuning: str) -> float:
    command = [sys.executable, __file__, "--variant", variant]
    for option in ("width", "batch", "steps"):
        command += [f"--{option}", str(getattr(choices, option))]
    environment = {**os.environ, "CMCORE_TUNING": tuning, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _report(rates: dict[str, list[float]], choices: argparse.Namespace) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    plain, lab = (medians[name] for name in list(VARIANTS)[:2])
    print(f"width {choices.width}, batch {choices.batch}, one thread, median of {choices.rounds} rounds\n")
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
    from cmcore.objectives import Source, make_objective
    from cmcore.runtime import tune
    from cmcore.streams import stream
    from cmcore.targets import make_target

    torch.set_num_threads(1)
    tune()
    config = TrainingConfig(
        network=NetworkConfig(width=choices.width, depth=3),
        batch=choices.batch,
        optimizer="adam",
        steps=choices.steps,
        products="float32" if choices.variant == "lab-float32" else "auto",
    )
    objective = make_objective("trajectory_regression", trajectories=8000)
    source = Source(make_target("eight_gaussians"), 3.0, 0.0, torch.device("cpu"), stream(0, "objective"))
    pool = objective.prepare(source)
    step = (_plain if choices.variant == "plain" else _lab)(config, objective, pool)
    paces = []
    for _ in range(choices.steps // 50):
        start = time.thread_time()
        for _ in range(50):
            step()
        paces.append(50 / (time.thread_time() - start))
    return max(paces)


def _lab(config, objective, pool):
    """The lab's own parts, put together as in cmcore.training."""
    from itertools import count

    import torch

    from cmcore.model import FlowMap
    from cmcore.optimizer import FlatOptimizer
    from cmcore.runtime import products_dtype
    from cmcore.streams import stream

    flow_map = FlowMap(2, config.network, generator=stream(0, "weights"))
    flow_map.products = products_dtype(config.products, torch.device("cpu"))
    optimizer = FlatOptimizer(flow_map, config)
    blocks = (objective.batches(pool, 64, config.batch, generator=stream(0, f"batches {b}")) for b in count())
    batches = (batch for block in blocks for batch in block)
    numbers = count()

    def step() -> None:
        objective.loss(flow_map, next(batches)).backward()
        optimizer.step(next(numbers), config.steps)

    return step


def _plain(config, objective, pool):
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
    levels, trajectories, _ = pool.states.shape

    def step() -> None:
        which = torch.randint(trajectories, (config.batch,))
        i, j = torch.randint(levels, (config.batch,)), torch.randint(levels - 1, (config.batch,))
        j = j + (j >= i)
        early, late = torch.minimum(i, j), torch.maximum(i, j)
        x, y = pool.states[early, which], pool.states[late, which]
        theta = pool.angles[early][:, None]
        gap = theta - pool.angles[late][:, None]
        wanted = (torch.cos(gap) * x - y) / torch.sin(gap)
        loss = (torch.sin(gap) ** objective.weight_power * (net(x, theta, gap) - wanted) ** 2).sum(1).mean()
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
