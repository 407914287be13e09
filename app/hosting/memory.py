"""Memory that comes back when visitors have left.

Streamlit forgets a session when the next one is lost, so that the last ones would stay for as long as nobody comes.
A session is many objects that refer to each other, which Python frees when its collector looks at all objects; and
what is free goes back to the system when the allocator is told to.
"""

import asyncio
import ctypes
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streamlit import runtime

SECONDS = 20.0
"""Between two looks at what can go."""
ARENAS = 2
M_ARENA_MAX = -8

RELEASES: list[Callable[[], object]] = []
"""What lets go of what nobody looks at any more; whoever keeps such things adds to it."""

_log = logging.getLogger(__name__)


def share_arenas() -> None:
    """Let all threads share two arenas, since each keeps what it once took. MALLOC_ARENA_MAX has its say."""
    if "MALLOC_ARENA_MAX" not in os.environ and sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, ARENAS)
        except (OSError, AttributeError):  # another C library has no arenas
            return


@asynccontextmanager
async def tidying(app: object) -> AsyncIterator[None]:
    """Tidy now and then for as long as the server runs."""
    task = asyncio.create_task(_tidy_again_and_again())
    yield
    task.cancel()


async def _tidy_again_and_again() -> None:
    while True:
        await asyncio.sleep(SECONDS)
        try:
            gone = forget_lost_sessions()
            await asyncio.to_thread(hand_back, collect=gone)
        except Exception:  # noqa: BLE001  the next time may go well
            _log.exception("memory was not tidied")


def forget_lost_sessions() -> bool:
    """Forget the sessions whose time is over; whether there were any. Called where Streamlit serves its sessions."""
    storage = runtime.get_instance()._session_mgr._session_storage  # pyright: ignore[reportAttributeAccessIssue]
    lost = [info.session for _, info in storage._cache.expire()]
    for session in lost:
        session.shutdown()
    return bool(lost)


def hand_back(*, collect: bool) -> None:
    """Hand free memory to the system; a full collection before it holds everybody up for a fifth of a second."""
    from cmcore.runtime import give_memory_back

    for let_go in RELEASES:
        let_go()
    if collect:
        gc.collect()
    give_memory_back()
