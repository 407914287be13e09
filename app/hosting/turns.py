"""Turns: a few pages are drawn at once, and the others wait, so that nobody has the processor by asking often.

A page that asks anew while it is drawn is interrupted and drawn anew, as Streamlit does it, but only where nobody
waits: else its drawing goes on to its end, and the page waits behind those that came before it. Pages that ask all the
time never have all the places, and begin while nobody else is drawn: who asks now and then finds the processor free.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

BEGIN_SECONDS, SECONDS = 0.5, 2.0
"""After which a turn is over in any case. A page that is sent nothing is not drawn: the part that it asks for is gone,
of which Streamlit says nothing. One that is drawn for longer waits for something itself."""
BUSY_SECONDS, MEMORY_SECONDS = 1.0, 15.0
"""A page that was drawn for so long lately may be a busy one; what was longer ago than the second counts for little."""
QUIET_SHARE = 0.5
"""Who asks for nothing for this share of the time it is drawn is a person who looks, and not a busy page."""
LARGEST_END = 1 << 10
"""Bytes of a message that says that a page is drawn."""
INTERRUPTED = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_EARLY_FOR_RERUN")


@dataclass
class Turn:
    """A page's turn: since when, what ends it in any case, whether it is drawn already, and whether it is over."""

    since: float
    timer: asyncio.TimerHandle
    drawing: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Use:
    """How long a page was drawn lately, and how long it then asked for nothing, by the clock at its last turn's end."""

    drawn: float = 0.0
    quiet: float = 0.0
    ended: float = 0.0
    asks: bool = False

    def ask(self, now: float) -> None:
        """The page asks to be drawn, for the first time since its last turn or once more."""
        if not self.asks:
            self.quiet, self.asks = self.quiet + now - self.ended, True

    def end(self, seconds: float, now: float) -> None:
        """A turn of so many seconds is over."""
        fade = math.exp((self.ended - now) / MEMORY_SECONDS)
        self.drawn, self.quiet, self.ended, self.asks = self.drawn * fade + seconds, self.quiet * fade, now, False

    def is_busy(self, now: float) -> bool:
        """Whether the page was drawn for long lately and hardly ever asked for nothing."""
        lately = self.drawn * math.exp((self.ended - now) / MEMORY_SECONDS)
        return lately >= BUSY_SECONDS and self.quiet < QUIET_SHARE * self.drawn


class Turns:
    """Which pages are drawn, and which wait: busy ones behind the others, each in the order in which they came.

    Args:
        most: pages that are drawn at once; without it one for each core, and two at least. Busy ones leave one
            place, and begin only while no other page is drawn.
        seconds: after which the turn of a page is over in any case: that of one that is sent nothing, and of another.
        clock: seconds, as they pass.
    """

    def __init__(
        self,
        most: int | None = None,
        seconds: tuple[float, float] = (BEGIN_SECONDS, SECONDS),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most or max(2, os.cpu_count() or 2), seconds, clock
        self._drawn: dict[object, Turn] = {}
        self._waiting: dict[object, asyncio.Event] = {}
        self._use: dict[object, Use] = {}

    def take_now(self, page: object) -> bool:
        """Whether the page may be drawn at once; if so, it has its turn."""
        self._note(page)
        if page in self._drawn:
            return not self._waiting
        if has_room := self._has_room(page):
            self._begin(page)
        return has_room

    async def take(self, page: object) -> None:
        """Wait until the page may be drawn."""
        self._note(page)
        if page in self._drawn:
            if not self._waiting:
                return
            await self._drawn[page].over.wait()
            self._note(page)
        turn = self._waiting[page] = asyncio.Event()
        self._begin_those_with_room()
        try:
            await turn.wait()
        finally:
            self._waiting.pop(page, None)

    def begin_drawing(self, page: object) -> None:
        """The page is being drawn: it was sent something."""
        turn = self._drawn.get(page)
        if turn and not turn.drawing:
            turn.drawing = True
            turn.timer.cancel()
            turn.timer = asyncio.get_running_loop().call_later(self._seconds[1], self.end, page)

    def end(self, page: object) -> None:
        """The page has been drawn."""
        if turn := self._drawn.pop(page, None):
            turn.timer.cancel()
            now = self._clock()
            self._use.setdefault(page, Use(ended=turn.since)).end(now - turn.since, now)
            turn.over.set()
            self._begin_those_with_room()

    def leave(self, page: object) -> None:
        """The page is gone."""
        self.end(page)
        self._use.pop(page, None)

    def _begin_those_with_room(self) -> None:
        for page in sorted(self._waiting, key=self._is_busy):
            if self._has_room(page):
                self._begin(page)
                self._waiting.pop(page).set()

    def _begin(self, page: object) -> None:
        timer = asyncio.get_running_loop().call_later(self._seconds[0], self.end, page)
        self._drawn[page] = Turn(self._clock(), timer)

    def _has_room(self, page: object) -> bool:
        if len(self._drawn) >= self._most:
            return False
        busy = sum(map(self._is_busy, self._drawn))
        return not self._is_busy(page) or (busy == len(self._drawn) and busy < max(1, self._most - 1))

    def _note(self, page: object) -> None:
        if use := self._use.get(page):
            use.ask(self._clock())

    def _is_busy(self, page: object) -> bool:
        use = self._use.get(page)
        return use is not None and use.is_busy(self._clock())


def is_drawn(data: bytes | None) -> bool:
    """Whether a message of the server says that a page, or a part of it, has been drawn."""
    if data is None or len(data) > LARGEST_END:
        return False
    message = ForwardMsg.FromString(data)
    return message.WhichOneof("type") == "script_finished" and message.script_finished != INTERRUPTED
