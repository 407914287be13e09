"""What the open pages of a shared server send: how many pages, how large a message, how often, and of which kinds.

A page speaks Streamlit's protocol over a websocket. Some of its messages are meant for who develops an app: they clear
caches for everybody, install files, or stop the server. They are dropped here, before Streamlit sees them.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from app.hosting.limits import limits
from app.hosting.refusal import refuse
from app.hosting.turns import Turns, is_drawn
from cmcore.json_input import BadJSON, parse_json

OPEN = frozenset({"rerun_script", "app_heartbeat", "stop_script", "file_urls_request", "backend_operation_request"})
"""Kinds of messages that the lab's own pages need; a file that is made when its button is pressed is an operation."""
VALUES = frozenset({
    *("trigger_value", "bool_value", "double_value", "int_value", "string_value", "json_value", "json_trigger_value"),
    *("double_array_value", "int_array_value", "string_array_value", "string_trigger_value"),
    "file_uploader_state_value",
})  # fmt: skip
"""Kinds of values that widgets of the lab have."""
MOST_BYTES = 256 << 10
MOST_WIDGETS, MOST_QUERY, MOST_FILES = 1_000, 64 << 10, 20
MOST_VALUES, DEEPEST = 1 << 16, 16
STALE_SECONDS, MOST_PARTS = 3.0, 20
"""A part of a page that its clock had drawn so lately waits for no turn; of so many parts that is remembered."""
BURST_SECONDS = 6.0
"""A page that was quiet for so long may send all that it did not send at once."""

_log = logging.getLogger(__name__)


class BadMessage(ValueError):
    """A message that no page of the lab sends; its connection ends."""


class Messages:
    """Lets so many pages be open at once, and each send so many messages a second, of the kinds that the lab needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._pages = 0
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        full = self._pages >= limits().pages
        if full and (scope["type"] == "websocket" or _is_document(scope)):
            await refuse(scope, receive, send, 503, "The lab is full: too many pages are open. Try again in a minute.")
        elif scope["type"] == "websocket":
            self._pages += 1
            inbox = Inbox(receive, Pace(limits().messages), self._turns)
            try:
                await self._app(scope, inbox, self._outbox(inbox, send))
                if inbox.problem:
                    await send({"type": "websocket.close", "code": 1008, "reason": inbox.problem})
            finally:
                self._pages -= 1
                self._turns.leave(inbox)
        else:
            await self._app(scope, receive, send)

    def _outbox(self, inbox: "Inbox", send: Send) -> Send:
        """What a page is sent; when it has been drawn, its turn is over."""

        async def send_on(message: Message) -> None:
            if message.get("bytes"):
                self._turns.begin_drawing(inbox)
            if is_drawn(message.get("bytes")):
                self._turns.end(inbox)
            await send(message)

        return send_on


def _is_document(scope: Scope) -> bool:
    """Whether a person opens the page, rather than a page one of its files."""
    return scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", "")


class Inbox:
    """The messages of one page, in order: at most as fast as its pace, without those that are dropped.

    Who sends faster waits, so that nothing of an honest page is lost; what waits stays with the sender. To be drawn, a
    page waits for its turn.
    """

    def __init__(self, receive: Receive, pace: "Pace", turns: Turns) -> None:
        self._receive, self._pace, self._turns = receive, pace, turns
        self._drawn_at: dict[str, float] = {}
        self._clock = time.monotonic
        self.problem = ""

    async def __call__(self) -> Message:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            await asyncio.sleep(self._pace.wait())
            try:
                wish = wanted(message.get("bytes"))
                if wish and (wish.kind != "rerun_script" or await self._has_turn(wish.part)):
                    return message
            except BadMessage as problem:
                self.problem = str(problem)
                _log.warning("a page was closed: %s", problem)
                return {"type": "websocket.disconnect", "code": 1008}

    async def _has_turn(self, fragment: str) -> bool:
        """Wait for a turn. A part that the page's clock has drawn is passed over where it was drawn a moment ago.

        Else what the clock asks for while the page waits would wait behind it, and more would come than is drawn.
        """
        now = self._clock()
        if fragment and now - self._drawn_at.get(fragment, now - STALE_SECONDS) < STALE_SECONDS:
            if not self._turns.take_now(self):
                return False
        else:
            await self._turns.take(self)
        if len(self._drawn_at) >= MOST_PARTS:
            self._drawn_at.clear()
        self._drawn_at[fragment] = self._clock()
        return True


class Pace:
    """So many a second, and a burst after a while of quiet."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._free_at = -math.inf

    def wait(self) -> float:
        """Seconds until the next one may come; it counts as having come then."""
        now = self._clock()
        self._free_at = max(self._free_at, now - BURST_SECONDS) + 1 / self._rate
        return max(0.0, self._free_at - now)


# ---- one message ------------------------------------------------------------------------------------------------
class Wish(NamedTuple):
    """What a page asks for: the kind of its message and, where its clock asks, the part that is to be drawn."""

    kind: str
    part: str = ""


def wanted(data: bytes | None) -> Wish | None:
    """What Streamlit gets to see, or None; BadMessage where no page of the lab sends such a message."""
    if data is None:
        raise BadMessage("A message is bytes, and this one is text.")
    if len(data) > MOST_BYTES:
        raise BadMessage(f"A message has up to {MOST_BYTES >> 10} kB; this one has {len(data) >> 10} kB.")
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise BadMessage("A message could not be read.") from None
    kind = message.WhichOneof("type") or ""
    if kind == "rerun_script":
        asked = message.rerun_script
        _check_state(asked)
        return Wish(kind, asked.fragment_id if asked.is_auto_rerun else "")
    if kind == "backend_operation_request":
        passes = message.backend_operation_request.WhichOneof("payload") in ("deferred_file", "dataframe_chunk")
    else:
        passes = kind in OPEN
    if kind == "file_urls_request" and len(message.file_urls_request.file_names) > MOST_FILES:
        raise BadMessage(f"At most {MOST_FILES} files are chosen at once.")
    return Wish(kind) if passes else None


def _check_state(state: Any) -> None:
    """The size of what a page asks to be drawn, and that its values are such as widgets send."""
    if len(state.query_string) > MOST_QUERY or len(state.widget_states.widgets) > MOST_WIDGETS:
        raise BadMessage(f"A page has up to {MOST_WIDGETS:,} widgets and an address of {MOST_QUERY >> 10} kB.")
    for widget in state.widget_states.widgets:
        _check_value(widget)


def _check_value(widget: WidgetState) -> None:
    kind = widget.WhichOneof("value")
    if kind is not None and kind not in VALUES:
        raise BadMessage(f"No widget here has a value of the kind {kind}.")
    if kind == "double_value":
        _check_finite([widget.double_value])
    elif kind == "double_array_value":
        _check_finite(widget.double_array_value.data)
    elif kind in ("json_value", "json_trigger_value"):
        _check_json(getattr(widget, kind))


def _check_finite(numbers: Iterable[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise BadMessage("A number of a widget is not finite.")


def _check_json(text: str) -> None:
    try:
        value = parse_json(text, largest=MOST_BYTES, most_values=MOST_VALUES, deepest=DEEPEST)
    except BadJSON as problem:
        raise BadMessage(f"The value of a component {problem}.") from None
    _check_finite(_numbers(value))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    elif isinstance(value, float):
        yield value
