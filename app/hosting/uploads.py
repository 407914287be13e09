"""Files that visitors send to a shared server: how many, how large, how many at once, and how long one may take."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime

from app.hosting.limits import limits
from app.hosting.refusal import refuse

PUT = re.compile(r"/_stcore/upload_file/([0-9a-fA-F-]{36})/([0-9a-fA-F-]{36})")
FRAME = 64 << 10
"""Bytes around a file in the body of a request: its name and kind."""
AT_ONCE, AT_ONCE_IN_ALL = 2, 16
SECONDS = 60.0
"""For which the body of one file may be on its way."""
REFUSAL_SECONDS = 5.0
"""For which the rest of a refused one is read."""

Files = Mapping[str, Mapping[str, Any]]


def stored_files() -> Files:
    """The files that Streamlit has in memory, by session and name; each has its bytes in `data`."""
    return runtime.get_instance().uploaded_file_mgr.file_storage  # pyright: ignore[reportAttributeAccessIssue]


class TooSlow(Exception):
    """The body of a file did not arrive in time."""


class Uploads:
    """Refuses a file that is too large, one too many, or too slow, before its bytes are read or as they come.

    Args:
        app: the application behind it.
        stored: the files that are there already, by session.
        seconds: for which the body of one file may be on its way.
    """

    def __init__(self, app: ASGIApp, *, stored: Callable[[], Files] = stored_files, seconds: float = SECONDS) -> None:
        self._app, self._stored, self._seconds = app, stored, seconds
        self._arriving: list[tuple[str, int]] = []
        self._refused = 0  # of which the rest is being read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        asked = PUT.search(scope["path"])
        length = Headers(scope=scope).get("content-length", "")
        session, size = asked[1] if asked else "", int(length) if re.fullmatch(r"[0-9]{1,12}", length) else -1
        if not session:
            await refuse(scope, receive, send, 404, "There is nothing here.")
        elif problem := self._problem(session, size):
            await self._read_off(receive)
            await refuse(scope, receive, send, *problem)
        else:
            with self._arrival(session, size):
                await self._take(scope, receive, send)

    def _problem(self, session: str, size: int) -> tuple[int, str] | None:
        """The status and the sentence of a file that is not taken."""
        now = limits()
        if size < 0:
            return 411, "A file is sent with its length."
        if size > (now.upload << 20) + FRAME:
            return 413, f"A file has up to {now.upload} MB."
        of_session = [other for owner, other in self._arriving if owner == session]
        if len(of_session) >= AT_ONCE or len(self._arriving) >= AT_ONCE_IN_ALL:
            return 429, "Too many files are on their way. Try again in a minute."
        files = {owner: [len(file.data) for file in [*own.values()]] for owner, own in [*self._stored().items()]}
        own = [*files.get(session, ()), *of_session]
        if len(own) >= now.files or sum(own) + size > now.files_of_one << 20:
            return 413, f"A page has up to {now.files} files of {now.files_of_one} MB together. Remove one, or reload."
        if sum(map(sum, files.values())) + sum(other for _, other in self._arriving) + size > now.files_of_all << 20:
            return 503, "The lab holds as many files as it can. Try again in a minute."
        return None

    async def _read_off(self, receive: Receive) -> None:
        """Read what is refused, for a while: a browser that is cut off while it sends hears no reason.

        Only for a few at once: reading what floods of refused files bring would hold everybody up.
        """
        if self._refused >= AT_ONCE_IN_ALL:
            return
        self._refused += 1
        try:
            async with asyncio.timeout(min(self._seconds, REFUSAL_SECONDS)):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        finally:
            self._refused -= 1

    @contextmanager
    def _arrival(self, session: str, size: int):
        """Count a file from its first byte until it is stored."""
        arrival = (session, size)
        self._arriving.append(arrival)
        try:
            yield
        finally:
            self._arriving.remove(arrival)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the body on, for as long as it may take."""
        end = asyncio.get_running_loop().time() + self._seconds
        more = True
        answered = False

        async def receive_in_time() -> Message:
            nonlocal more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise TooSlow from None
            more = message.get("more_body", False)
            return message

        async def send_on(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive_in_time, send_on)
        except TooSlow:
            if not answered:
                await refuse(scope, receive, send, 408, f"A file arrives within {self._seconds:.0f} seconds.")
