"""Turns: a few pages are drawn at once, and the others wait, so that nobody has the processor by asking often.

A page that asks anew while it is drawn is interrupted and drawn anew, as Streamlit does it, but only where nobody
waits: else its drawing goes on to its end, and the page waits behind those that came before it. Pages that were drawn
for long lately never have all the places: who asks seldom finds one free.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

SECONDS = 2.0
"""After which a turn is over in any case: a page that is drawn for longer waits for something itself."""
BUSY_SECONDS, MEMORY_SECONDS = 1.0, 6.0
"""A page that was drawn for so long lately is a busy one; what was longer ago than the second counts for little."""
LARGEST_END = 1 << 10
"""Bytes of a message that says that a page is drawn."""
INTERRUPTED = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_EARLY_FOR_RERUN")


@dataclass
class Turn:
    """A page being drawn: since when, what ends it in any case, and whether it is over."""

    since: float
    timer: asyncio.TimerHandle
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """Which pages are drawn, and which wait: busy ones behind the others, each in the order in which they came.

    Args:
        most: pages that are drawn at once; without it one for each core, and two at least. Busy ones leave one place.
        seconds: after which a turn is over in any case.
        clock: seconds, as they pass.
    """

    def __init__(
        self, most: int | None = None, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most or max(2, os.cpu_count() or 2), seconds, clock
        self._drawn: dict[object, Turn] = {}
        self._waiting: dict[object, asyncio.Event] = {}
        self._use: dict[object, tuple[float, float]] = {}

    async def take(self, page: object) -> None:
        """Wait until the page may be drawn."""
        if page in self._drawn:
            if not self._waiting:
                return
            await self._drawn[page].over.wait()
        turn = self._waiting[page] = asyncio.Event()
        self._begin_those_with_room()
        try:
            await turn.wait()
        finally:
            self._waiting.pop(page, None)

    def end(self, page: object) -> None:
        """The page has been drawn."""
        if turn := self._drawn.pop(page, None):
            turn.timer.cancel()
            now = self._clock()
            self._use[page] = (self._recent_seconds(page) + now - turn.since, now)
            turn.over.set()
            self._begin_those_with_room()

    def leave(self, page: object) -> None:
        """The page is gone."""
        self.end(page)
        self._use.pop(page, None)

    def _begin_those_with_room(self) -> None:
        for page in sorted(self._waiting, key=self._is_busy):
            if len(self._drawn) < self._most and not (self._is_busy(page) and self._busy_have_theirs()):
                turn = self._waiting.pop(page)
                timer = asyncio.get_running_loop().call_later(self._seconds, self.end, page)
                self._drawn[page] = Turn(self._clock(), timer)
                turn.set()

    def _busy_have_theirs(self) -> bool:
        return sum(map(self._is_busy, self._drawn)) >= max(1, self._most - 1)

    def _is_busy(self, page: object) -> bool:
        return self._recent_seconds(page) >= BUSY_SECONDS

    def _recent_seconds(self, page: object) -> float:
        seconds, then = self._use.get(page, (0.0, 0.0))
        return seconds * math.exp((then - self._clock()) / MEMORY_SECONDS)


def is_drawn(data: bytes | None) -> bool:
    """Whether a message of the server says that a page, or a part of it, has been drawn."""
    if data is None or len(data) > LARGEST_END:
        return False
    message = ForwardMsg.FromString(data)
    return message.WhichOneof("type") == "script_finished" and message.script_finished != INTERRUPTED
