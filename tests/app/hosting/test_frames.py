"""Raw frames of a websocket: however they come, little of them waits in memory, and messages keep their order."""

import asyncio
from types import SimpleNamespace

import pytest
import uvicorn
from streamlit.web.server.starlette import starlette_server
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from app.hosting.frames import MOST_PARTS, PIECE, BoundedFrames, receive_small_messages
from app.hosting.messages import MOST_BYTES


class Wire:
    """The end of a connection at the server."""

    def __init__(self):
        self.paused = self.closing = False
        self.written = b""

    def write(self, data):
        self.written += data

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    def get_extra_info(self, name, default=None):
        return default


async def opened():
    """A connection that has shaken hands, and its wire."""
    config = uvicorn.Config(lambda scope: None, ws=BoundedFrames, ws_max_size=MOST_BYTES)
    protocol, wire = BoundedFrames(config, ServerState(), {}), Wire()
    protocol.connection_made(wire)
    protocol.handshake_complete = True
    protocol.conn = ServerProtocol(state=State.OPEN, max_size=MOST_BYTES)
    return protocol, wire


def sent(opcode, data, *, fin=True):
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def test_of_many_tiny_messages_in_one_read_few_wait_and_all_come_in_order():
    async def play():
        protocol, wire = await opened()
        count = 20_000
        protocol.data_received(b"".join(sent(Opcode.BINARY, i.to_bytes(3, "big")) for i in range(count)))
        assert wire.paused
        most, came = 0, []
        for _ in range(count):
            most = max(most, protocol.queue.qsize())
            came.append(int.from_bytes((await protocol.receive())["bytes"], "big"))
        assert came == list(range(count))
        assert most <= PIECE // 6
        assert not wire.paused, "what comes next is read"

    asyncio.run(play())


def test_a_message_of_endless_empty_parts_ends_the_connection():
    async def play():
        protocol, wire = await opened()
        protocol.data_received(sent(Opcode.BINARY, b"", fin=False))
        part = sent(Opcode.CONT, b"", fin=False)
        for _ in range(MOST_PARTS // 64 + 2):
            protocol.data_received(part * 64)
        assert wire.closing
        assert len(protocol.frames) <= MOST_PARTS
        assert (await protocol.receive())["type"] == "websocket.disconnect"

    asyncio.run(play())


@pytest.mark.parametrize("parts", [2, 64, MOST_PARTS - 1])
def test_a_message_in_parts_is_whole(parts):
    async def play():
        protocol, wire = await opened()
        protocol.data_received(sent(Opcode.BINARY, b"x", fin=False))
        for i in range(parts):
            protocol.data_received(sent(Opcode.CONT, b"y", fin=i == parts - 1))
        assert (await protocol.receive())["bytes"] == b"x" + b"y" * parts
        assert not wire.closing

    asyncio.run(play())


def test_pings_are_answered_while_somebody_reads_and_pile_up_no_answers_otherwise():
    async def play():
        protocol, wire = await opened()
        ping = sent(Opcode.PING, b"z" * 125)
        protocol.data_received(ping)
        answered = len(wire.written)
        assert answered > 125
        protocol.pause_writing()
        protocol.data_received(ping * 1_000)
        assert len(wire.written) == answered
        protocol.resume_writing()
        protocol.data_received(ping)
        assert len(wire.written) == 2 * answered

    asyncio.run(play())


def test_a_shared_server_takes_small_messages_as_they_are(monkeypatch):
    monkeypatch.setattr(starlette_server, "_get_uvicorn_config_kwargs", lambda: {"ws": "auto", "access_log": False})
    receive_small_messages()
    told = SimpleNamespace(**starlette_server._get_uvicorn_config_kwargs())
    assert (told.ws, told.ws_max_size, told.ws_per_message_deflate) == (BoundedFrames, MOST_BYTES, False)
    assert told.http == "h11"
    assert not told.access_log
