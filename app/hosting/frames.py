"""The frames of a shared server's websockets: how much of what a page sent, or does not read, may wait in memory.

A message comes in frames. One read of a socket may hold tens of thousands of them, a message may come in any number of
empty ones, and each ping asks for an answer that somebody has to read. What uvicorn keeps of these is bounded here.
"""

from streamlit.web.server.starlette import starlette_server
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from app.hosting.messages import MOST_BYTES

PIECE = 4 << 10
"""Bytes that are parsed at once; of the messages in them all wait."""
MOST_PARTS = 4_096
"""Frames of one message."""


def receive_small_messages() -> None:
    """Let the server that is about to start gather no more of what is sent to it than a page of the lab sends.

    Streamlit has one setting for what it sends and for what it receives, and what it sends is large: as it is, every
    page could leave 20 MB of a message half sent. Compressed messages are not taken, since a kilobyte may unfold to 256
    of them. The parser of HTTP is the one that bounds what comes before a body, whichever others are installed.
    """
    usual = starlette_server._get_uvicorn_config_kwargs
    small = {"ws": BoundedFrames, "ws_max_size": MOST_BYTES, "ws_per_message_deflate": False, "http": "h11"}
    starlette_server._get_uvicorn_config_kwargs = lambda: {**usual(), **small}


class BoundedFrames(WebSocketsSansIOProtocol):
    """Parses what came piece by piece, each when the messages of the one before have been taken."""

    _coming = b""

    def data_received(self, data: bytes) -> None:
        """Add to what came; nothing more is read from the socket while a message waits."""
        self._coming += data
        self._parse()

    async def receive(self):
        """The next message; those behind it are parsed once none waits."""
        message = await super().receive()
        self._parse()
        return message

    def _parse(self) -> None:
        while self._coming and not (self.read_paused or self.transport.is_closing()):
            piece, self._coming = self._coming[:PIECE], self._coming[PIECE:]
            super().data_received(piece)

    def handle_cont(self, event: Frame) -> None:
        """Add a part of a message; one of too many parts ends the connection."""
        super().handle_cont(event)
        if len(self.frames) > MOST_PARTS and not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"A message has up to {MOST_PARTS:,} parts.")
            self.frames = []
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer, unless the answers before wait to be read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the answer, which is all that this frame made
