"""Many visitors at once, as a hosted lab has them: clients that speak Streamlit's own websocket, and no browser.

    .venv/bin/python -m benchmarks.load --minutes 10              # 6 who train, 6 who explore
    .venv/bin/python -m benchmarks.load --minutes 3 --trainers 0 --explorers 30

The clients are those of `benchmarks/visitor.py`. It starts `hosted.py` on this machine, on a free port of the loopback,
and prints errors, what became of every training, how long exploring took, what a visitor costs the server's processors,
and its memory over time. More pages than the server lets in are let in here.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from scipy.stats import theilslopes

from benchmarks.server import start_server
from benchmarks.visitor import COLD, Tally, Visitor

MOST_CLIENTS, MOST_MINUTES = 300, 30
THINK = (2.0, 6.0)
"""Seconds that a visitor looks at a picture before the next action."""
WATCHED = 5
"""The last minutes, over which memory should be flat."""
BUDGET = "10 s"
"""What the trainers choose, as the page writes it."""


# ---- two kinds of visitors --------------------------------------------------------------------------------------
async def explore(visitor: Visitor, until: float) -> None:
    """Change N, the sampler, the run, and the page, and look at each picture for a while."""
    await visitor.act()
    while time.monotonic() < until:
        await asyncio.sleep(visitor.chance.uniform(*THINK))
        choice = visitor.chance.random()
        if choice < 0.6 and (slider := visitor.widgets.get("Network calls N")):
            visitor.set("Network calls N", string_array_value=[visitor.chance.choice(slider.options)])
            seconds = await visitor.act()
        elif choice < 0.8 and (runs := visitor.widgets.get("Run")):
            options = list(getattr(runs, "options", []))
            chosen = visitor.chance.choice(options)
            visitor.set("Run", string_array_value=[getattr(chosen, "content", "")])
            seconds = await visitor.act()
        else:
            seconds = await visitor.open(visitor.chance.choice(["", "", "kl", "scaling"]))
        visitor.tally.explored.append(seconds)


async def train(visitor: Visitor, until: float) -> None:
    """Train again and again, and watch until each run has ended."""
    await visitor.act()
    await visitor.open("train")
    while time.monotonic() < until - 20:
        await asyncio.sleep(visitor.chance.uniform(*THINK))
        if await visitor.train(BUDGET) is None:
            visitor.tally.errors["no button to start a training"] += 1
            await visitor.open("train")


# ---- the server -------------------------------------------------------------------------------------------------
async def watch_memory(process: psutil.Process, seen: list[tuple[float, float]]) -> None:
    """(seconds, MB) twice a second: an estimate takes some hundred MB for not much longer."""
    start = time.monotonic()
    while True:
        seen.append((time.monotonic() - start, process.memory_info().rss / 2**20))
        await asyncio.sleep(0.5)


async def run(address: str, pid: int, trainers: int, explorers: int, minutes: float) -> tuple[Tally, list]:
    tally, memory = Tally(), []
    async with Visitor(address, tally, 0) as first:
        print(f"the first visit to a new server: {await first.act(patience=COLD):.1f} s", flush=True)
    server = psutil.Process(pid)
    watcher = asyncio.create_task(watch_memory(server, memory))
    until, used = time.monotonic() + 60 * minutes, processor_seconds(server)
    stays: list[float] = []

    async def visit(kind: object, seed: int) -> None:
        await asyncio.sleep(0.5 * seed)  # nobody comes at the same instant
        async with Visitor(address, tally, seed) as visitor:
            began = time.monotonic()
            await kind(visitor, until)
            stays.append(time.monotonic() - began)

    kinds = [train] * trainers + [explore] * explorers
    ended = await asyncio.gather(*(visit(kind, i) for i, kind in enumerate(kinds)), return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException):
            tally.errors[f"visitor: {type(error).__name__}: {error}"[:160]] += 1
    watcher.cancel()
    cost = processor_seconds(server) - used
    print(f"processors of the server: {cost:.0f} s, {60 * cost / max(1.0, sum(stays)):.2f} s for a visitor's minute")
    return tally, memory


def processor_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


# ---- what is printed --------------------------------------------------------------------------------------------
def report(tally: Tally, memory: list[tuple[float, float]]) -> bool:
    print(f"actions {tally.actions}, errors {sum(tally.errors.values())}")
    for words, count in tally.errors.most_common(10):
        print(f"  {count} × {words}")
    ends = Counter(training.end for training in tally.trainings)
    waited = [training for training in tally.trainings if training.places]
    print(f"trainings {len(tally.trainings)}: " + ", ".join(f"{count} {end}" for end, count in ends.items()))
    if tally.trainings:
        longest = max(training.seconds - training.wait for training in tally.trainings)
        places = max((max(training.places) for training in waited), default=0)
        wait = max((training.wait for training in waited), default=0.0)
        print(f"  {len(waited)} waited, in place {places} at most and for {wait:.0f} s at most")
        print(f"  from the start to the end of a run {longest:.0f} s at most")
    median = statistics.median(tally.explored) if tally.explored else 0.0
    if len(tally.explored) > 1:
        slow = statistics.quantiles(tally.explored, n=20)[-1]
        print(f"exploring: {len(tally.explored)} actions, median {median:.2f} s, 95 % below {slow:.2f} s")
    most = max(m for _, m in memory)
    print(f"memory of the server: {most:.0f} MB at most")
    print(f"  {_trend(memory)}")
    unended = sum(count for end, count in ends.items() if end == "never ended")
    return not tally.errors and not unended and median <= 1.0 and most <= 1536


def _trend(memory: list[tuple[float, float]]) -> str:
    """Where memory goes in the last minutes.

    An estimate takes up to some hundred MB for some seconds. A line through the least squares follows such a peak, as a
    median does not, so both are told; without an interval, since what is seen twice a second is not independent.
    """
    seconds, taken = np.array(memory).T
    ago = (seconds[-1] - seconds) / 60
    late = ago < WATCHED
    medians = [np.median(taken[ago.astype(int) == minute]) for minute in range(int(ago[late].max()), -1, -1)]
    slope = theilslopes(taken[late], -ago[late]).slope
    line = np.polyfit(-ago[late], taken[late], 1)[0]
    return (
        f"medians of the last minutes: {', '.join(f'{m:.0f}' for m in medians)}; {slope:+.1f} MB a minute "
        f"by the median of slopes (Theil–Sen), {line:+.1f} by least squares"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--trainers", type=int, default=6)
    parser.add_argument("--explorers", type=int, default=6)
    parser.add_argument("--log", type=Path, default=Path("build/load.log"))
    asked = parser.parse_args()
    if asked.trainers + asked.explorers > MOST_CLIENTS or not 0 < asked.minutes <= MOST_MINUTES:
        parser.error(f"At most {MOST_CLIENTS} clients for {MOST_MINUTES} minutes.")
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    pages = json.dumps({"pages": max(200, asked.trainers + asked.explorers + 10)})
    process, address = start_server(asked.log, {"MALLOC_ARENA_MAX": "2", "CONSISTENCY_LAB_LIMITS": pages})
    try:
        print(f"{asked.trainers} train, {asked.explorers} explore; {asked.minutes:g} minutes, {os.cpu_count()} cores")
        told, memory = asyncio.run(run(address, process.pid, asked.trainers, asked.explorers, asked.minutes))
    finally:
        process.terminate()
        process.wait(20)
    sound = report(told, memory)
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
