"""What an attack costs: the server's processor, memory, threads and disk, and the answers that another visitor gets."""

import asyncio
import itertools
import os
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.visitor import Tally, Visitor

__all__ = ["Cost", "Neighbour", "Watch"]

LOOK = 0.1
"""Seconds between two looks at the memory of the server."""
BUDGET = "5 s"
"""The shortest training that the page offers."""


@dataclass
class Cost:
    """What passed while an attack went on.

    Attributes:
        seconds: it took.
        processor: seconds of the server's processor.
        before, peak: resident memory in MB.
        threads: before it and after it.
        disk: MB of the kept runs after it.
        log: bytes written to the log meanwhile.
        answers: seconds of each answer that another visitor got to a new N.
    """

    seconds: float = 0.0
    processor: float = 0.0
    before: float = 0.0
    peak: float = 0.0
    threads: tuple[int, int] = (0, 0)
    disk: float = 0.0
    log: int = 0
    answers: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.answers) if self.answers else float("nan")

    @property
    def slowest(self) -> float:
        """95 % of the answers are faster."""
        return statistics.quantiles(self.answers, n=20)[-1] if len(self.answers) > 1 else float("nan")


class Watch:
    """Looks at the process of a server, its kept runs and its log.

    Args:
        pid: of the process; None: it runs elsewhere, and only answers are looked at.
        kept: the folder of kept runs.
        log: the file of its log.
    """

    def __init__(self, pid: int | None, kept: Path, log: Path) -> None:
        self._process = psutil.Process(pid) if pid else None
        self._kept, self._log = kept, log
        self._peak = 0.0

    async def look(self) -> None:
        """Follow the memory for as long as this runs."""
        while True:
            self._peak = max(self._peak, self.memory)
            await asyncio.sleep(LOOK)

    @property
    def memory(self) -> float:
        """Resident MB."""
        with suppress(psutil.Error):
            return self._process.memory_info().rss / 2**20 if self._process else 0.0
        return 0.0

    @property
    def threads(self) -> int:
        with suppress(psutil.Error):
            return self._process.num_threads() if self._process else 0
        return 0

    @property
    def processor(self) -> float:
        with suppress(psutil.Error):
            return sum(self._process.cpu_times()[:2]) if self._process else 0.0
        return 0.0

    @property
    def disk(self) -> float:
        """MB of the kept runs, in whole blocks."""
        sizes = 0
        for folder, _, files in os.walk(self._kept):
            for name in files:
                with suppress(OSError):
                    sizes += (Path(folder) / name).stat().st_blocks * 512
        return sizes / 2**20

    @property
    def log(self) -> int:
        return self._log.stat().st_size if self._log.is_file() else 0

    def begin(self) -> Cost:
        """The cost so far, which :meth:`end` completes."""
        self._peak = self.memory
        return Cost(
            seconds=-time.monotonic(),
            processor=-self.processor,
            before=self.memory,
            threads=(self.threads, 0),
            log=-self.log,
        )

    def end(self, cost: Cost, answers: list[float]) -> Cost:
        cost.seconds += time.monotonic()
        cost.processor += self.processor
        cost.peak = max(self._peak, self.memory)
        cost.threads = (cost.threads[0], self.threads)
        cost.disk = self.disk
        cost.log += self.log
        cost.answers = answers
        return cost


class Neighbour:
    """Another visitor, in two tabs: one asks for another N again and again, one trains for a few seconds.

    Args:
        address: of the server.
        pause: seconds for which each answer is looked at.
    """

    def __init__(self, address: str, pause: float) -> None:
        self._address, self._pause = address, pause
        self.tally = Tally()

    def answers(self, since: int = 0) -> list[float]:
        return self.tally.explored[since:]

    async def explore(self) -> None:
        """Ask for another N, look at it for a moment, and so on for as long as this runs."""
        while True:
            async with Visitor(self._address, self.tally) as visitor:
                await visitor.act()
                for i in itertools.count():
                    slider = visitor.widgets.get("Network calls N")
                    if visitor.lost or slider is None:
                        break
                    visitor.set("Network calls N", string_array_value=[slider.options[i % len(slider.options)]])
                    self.tally.explored.append(await visitor.act())
                    await asyncio.sleep(self._pause)
            await asyncio.sleep(1)

    async def train(self) -> None:
        """Train, and train again, for as long as this runs."""
        while True:
            async with Visitor(self._address, self.tally) as visitor:
                await visitor.act()
                await visitor.open("train")
                while not visitor.lost and await visitor.train(BUDGET):
                    await asyncio.sleep(1)
            await asyncio.sleep(1)
