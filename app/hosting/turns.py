"""Turns: a few pages are drawn at once, and the others wait, so that nobody has the processor by asking often.

A page that asks anew while it is drawn is interrupted and drawn anew, as Streamlit does it, but only where nobody
waits: else its drawing goes on to its end, and the page waits behind those that came before it.
"""

import asyncio
import os

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

SECONDS = 2.0
"""After which a turn is over in any case: a page that is drawn for longer waits for something itself."""
LARGEST_END = 1 << 10
"""Bytes of a message that says that a page is drawn."""
INTERRUPTED = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_EARLY_FOR_RERUN")


class Turns:
    """Which pages are drawn, and which wait, in the order in which they came.

    Args:
        most: pages that are drawn at once; without it one for each core, and two at least.
        seconds: after which a turn is over in any case.
    """

    def __init__(self, most: int | None = None, seconds: float = SECONDS) -> None:
        self._most, self._seconds = most or max(2, os.cpu_count() or 2), seconds
        self._drawn: dict[object, tuple[asyncio.Event, asyncio.TimerHandle]] = {}
        self._waiting: dict[object, asyncio.Event] = {}

    async def take(self, page: object) -> None:
        """Wait until the page may be drawn."""
        if page in self._drawn:
            if not self._waiting:
                return
            await self._drawn[page][0].wait()
        if not self._waiting and len(self._drawn) < self._most:
            self._begin(page)
            return
        turn = self._waiting[page] = asyncio.Event()
        try:
            await turn.wait()
        finally:
            self._waiting.pop(page, None)

    def end(self, page: object) -> None:
        """The page has been drawn, or is gone."""
        if page not in self._drawn:
            return
        over, timer = self._drawn.pop(page)
        timer.cancel()
        over.set()
        while self._waiting and len(self._drawn) < self._most:
            following = next(iter(self._waiting))
            turn = self._waiting.pop(following)
            self._begin(following)
            turn.set()

    def _begin(self, page: object) -> None:
        timer = asyncio.get_running_loop().call_later(self._seconds, self.end, page)
        self._drawn[page] = (asyncio.Event(), timer)


def is_drawn(data: bytes | None) -> bool:
    """Whether a message of the server says that a page, or a part of it, has been drawn."""
    if data is None or len(data) > LARGEST_END:
        return False
    message = ForwardMsg.FromString(data)
    return message.WhichOneof("type") == "script_finished" and message.script_finished != INTERRUPTED
