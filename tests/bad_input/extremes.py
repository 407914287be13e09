"""Inputs made to cost much: sound but for one field at its extreme, or for several; and a count of what each took."""

import copy
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cmcore.runtime import give_memory_back
from tests.bad_input.mutate import a_sentence

SECONDS, MEGABYTES, LEAST = 0.5, 50, 100
"""What an input may take, of the processor and of memory; and how many every door tries."""

EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 8, 64, 1_024, 4_096, 1 << 20, 10_000_000, 2**31, 2**63 - 1, 2**63, 10**300,
    0.5, 1e-9, 1e9, 1e308, -1e308, 5e-324, float("nan"), float("inf"), "", "moons", "x" * 4_096, "x" * 60_000,
    "\ud800", "=cmd|' /C calc'!A0", "<script>", [], [[]] * 4_000, [[]] * 30_000, [1] * 64,
    [1] * 60_000, [[1, 0.5, 0.5]] * 20_000,
    {}, {"a": [[]] * 20_000}, {str(i): i for i in range(64)}, {str(i): i for i in range(20_000)},
)  # fmt: skip


def nested(depth: int) -> Any:
    """So many lists in one another."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def at_extremes(sound: dict[str, Any], count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """So many copies of it, with an extreme in one of its fields, and in every third copy in several."""
    chance = random.Random(seed)
    for number in range(count):
        value = copy.deepcopy(sound)
        for _ in range(chance.randint(2, 5) if number % 3 == 2 else 1):
            holder, name = chance.choice([*_fields(value), (value, "unknown")])
            holder[name] = nested(chance.choice((7, 31, 900))) if chance.random() < 0.05 else chance.choice(EXTREMES)
        yield value


def _fields(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder and key of a value; of what was put there, nothing."""
    if any(value is extreme for extreme in EXTREMES):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _fields(value[key])


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


class Costs:
    """What the inputs of a door cost, each of which is a sentence or what was asked for.

    Memory is that of the process: its highest mark, above what it held before the input.
    """

    def __init__(self, door: str) -> None:
        self.door, self.tried, self.refused, self.seconds, self.megabytes = door, 0, 0, 0.0, 0.0

    def __call__(self, read: Callable[[], Any], refusals: type[Exception] = ValueError) -> Any:
        """What is read, or None after a sentence."""
        held = _forget_peak()
        gc.disable()  # a collection looks at what all other tests have left, which may take two seconds
        words, value, before = "", None, time.thread_time()
        try:
            value = read()
        except refusals as problem:
            words = str(problem)
        finally:
            gc.enable()
        seconds, megabytes = time.thread_time() - before, _resident("VmHWM") - held
        self.tried, self.refused = self.tried + 1, self.refused + bool(words)
        self.seconds, self.megabytes = max(self.seconds, seconds), max(self.megabytes, megabytes)
        assert not words or a_sentence(words), words[:300]
        assert seconds <= SECONDS, f"{self.door}: {seconds:.2f} s for {words[:200] or value!r:.200}"
        assert megabytes <= MEGABYTES, f"{self.door}: {megabytes:.0f} MB for {words[:200] or value!r:.200}"
        return value

    def check(self) -> None:
        """Enough were tried, some of them sound; and what they cost, for whoever looks at it."""
        told = f"{self.refused} refused; {self.seconds:.3f} s, {self.megabytes:.0f} MB"
        print(f"{self.door}: {self.tried} inputs, {told}")  # noqa: T201  for pytest -s
        assert self.tried >= LEAST
        assert self.tried > self.refused > self.tried / 4, "the inputs are all sound, or none is"


def _forget_peak() -> float:
    """What the process holds now, without what earlier inputs left free; its highest mark begins here."""
    if sys.platform.startswith("linux"):
        give_memory_back()
        Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def _resident(mark: str) -> float:
    """Megabytes of this process: VmRSS, what it holds, or VmHWM, the most since the peak was forgotten."""
    if not sys.platform.startswith("linux"):
        return 0.0  # elsewhere the seconds alone are looked at
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(mark)).split()[1]) / 1024
