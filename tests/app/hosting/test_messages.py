"""What open pages send: the lab's own messages pass, the others are dropped or end the page, and nobody is too fast."""

import asyncio
import json
from functools import partial

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from app.hosting.limits import CHANGES
from app.hosting.messages import (
    BURST_SECONDS,
    MOST_BYTES,
    OPEN,
    BadMessage,
    Inbox,
    Messages,
    Pace,
    wanted,
)
from app.hosting.turns import Turns


def rerun(**value) -> bytes:
    """A page that asks to be drawn, with one widget of this value."""
    message = BackMsg()
    message.rerun_script.query_string = "run=moons&steps=4"
    widget = WidgetState(id="one")
    for kind, content in value.items():
        if isinstance(content, list):
            getattr(widget, kind).data.extend(content)
        else:
            setattr(widget, kind, content)
    message.rerun_script.widget_states.widgets.append(widget)
    return message.SerializeToString()


def of_kind(kind: str) -> bytes:
    message = BackMsg()
    field = message.DESCRIPTOR.fields_by_name[kind]
    if field.message_type:
        getattr(message, kind).SetInParent()
    else:
        setattr(message, kind, True)
    return message.SerializeToString()


def test_s1_no_message_clears_a_cache_and_only_what_pages_need_reaches_streamlit():
    kinds = [field.name for field in BackMsg.DESCRIPTOR.fields]
    passed = {kind for kind in kinds if wanted(of_kind(kind))}
    assert passed == OPEN - {"backend_operation_request"}
    assert not wanted(b""), "a message of no kind"
    operation = BackMsg()
    for payload, passes in {"deferred_file": True, "install_skills": False, "dismiss_skills_nudge": False}.items():
        getattr(operation.backend_operation_request, payload).SetInParent()
        assert bool(wanted(operation.SerializeToString())) == passes, payload


HONEST = {
    "trigger_value": True, "double_value": 0.5, "int_value": 3, "string_value": "moons", "string_array_value": ["4"],
    "double_array_value": [0.1, 2.0], "json_value": '{"strokes": [[[0.5, 1]]], "é": null}',
}  # fmt: skip


@pytest.mark.parametrize("kind", HONEST)
def test_values_that_widgets_have_pass(kind):
    assert wanted(rerun(**{kind: HONEST[kind]}))


def deep(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "value",
    [
        *(
            {"json_value": text}
            for text in ("", "{", "nul", "NaN", "[Infinity]", "[1e999]", '"\\ud800"', deep(17), deep(100_000))
        ),
        {"json_trigger_value": '{"a": }'},
        {"double_value": float("nan")},
        {"double_array_value": [0.0, float("inf")]},
        {"bytes_value": b"PK"},
        {"string_value": "x" * MOST_BYTES},
    ],
    ids=lambda value: f"{next(iter(value))} {str(next(iter(value.values())))[:12]}",
)
def test_s9_malformed_values_end_the_page_with_a_sentence(value):
    with pytest.raises(BadMessage, match=r"\.$"):
        wanted(rerun(**value))


def test_s9_what_is_no_message_ends_the_page():
    many = BackMsg()
    many.file_urls_request.file_names.extend(["x"] * 1000)
    query = BackMsg()
    query.rerun_script.query_string = "run=x," * 20_000
    for data in (None, b"\xff" * 40, many.SerializeToString(), query.SerializeToString()):
        with pytest.raises(BadMessage):
            wanted(data)


# ---- a whole connection -----------------------------------------------------------------------------------------
def connection(messages, seen):
    """An application that reads all messages, and the answers of a server to it."""

    async def application(scope, receive, send):
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["bytes"])

    async def play(guard=Messages):
        rest, sent = iter(messages), []

        async def receive():
            return next(rest, {"type": "websocket.disconnect", "code": 1001})

        async def send(message):
            sent.append(message)

        await guard(application)({"type": "websocket", "path": "/_stcore/stream", "headers": []}, receive, send)
        return sent

    return play


def received(*data):
    return [{"type": "websocket.receive", "bytes": each} for each in data]


def test_s1_dropped_messages_leave_the_others_in_order():
    first, second = rerun(int_value=1), rerun(int_value=2)
    seen = []
    sent = asyncio.run(connection(received(first, of_kind("clear_cache"), second), seen)())
    assert seen == [first, second]
    assert sent == []


def test_s9_a_bad_message_closes_its_page_and_streamlit_never_sees_it():
    seen = []
    first = rerun(int_value=1)
    (closed,) = asyncio.run(connection(received(first, b"\xff", first), seen)())
    assert seen == [first]
    assert closed["code"] == 1008
    assert len(closed["reason"].encode()) <= 123, "a close frame holds no more"


def test_who_sends_too_fast_waits_and_loses_nothing():
    now = 0.0
    pace = Pace(10.0, clock=lambda: now)
    waits = [pace.wait() for _ in range(200)]
    assert waits[: int(BURST_SECONDS * 10)] == [0.0] * int(BURST_SECONDS * 10)
    assert waits[-1] == pytest.approx(200 / 10 - BURST_SECONDS, abs=0.2)
    now += 60.0
    assert pace.wait() == 0.0


def test_only_so_many_pages_are_open(monkeypatch):
    monkeypatch.setenv(CHANGES, json.dumps({"pages": 2}))
    sent = []

    async def play():
        leave = asyncio.Event()

        async def application(scope, receive, send):
            await (
                leave.wait() if scope["type"] == "websocket" else send({"type": "http.response.start", "status": 200})
            )

        async def send(message):
            sent.append(message)

        guard = Messages(application)
        socket = {"type": "websocket", "path": "/_stcore/stream", "headers": []}
        page = {"type": "http", "method": "GET", "path": "/", "headers": [(b"accept", b"text/html,*/*")]}
        file = {**page, "path": "/static/x.js", "headers": [(b"accept", b"*/*")]}
        pages = [asyncio.create_task(guard(socket, None, send)) for _ in range(2)]
        await asyncio.sleep(0)
        for scope in (socket, page, file):
            await guard(scope, None, send)
        leave.set()
        await asyncio.gather(*pages)
        await guard(page, None, send)

    asyncio.run(play())
    assert [message["status"] for message in sent if "status" in message] == [503, 503, 200, 200]


def test_a_clock_waits_for_no_turn_where_its_part_was_drawn_a_moment_ago():
    """Else more would be asked for while it waits than is drawn; every part of the page is drawn in its time."""

    def tick(part):
        message = BackMsg()
        message.rerun_script.is_auto_rerun, message.rerun_script.fragment_id = True, part
        return {"type": "websocket.receive", "bytes": message.SerializeToString()}

    async def play():
        turns, seconds = Turns(1, (60, 60)), iter(range(1, 9))
        ticks = [tick(part) for part in "ababa"]

        async def receive():
            inbox._clock = partial(float, next(seconds))
            return ticks.pop(0)

        inbox = Inbox(receive, Pace(1e6), turns)
        assert await inbox() == tick("a")
        assert await inbox() == tick("b"), "nobody waits"
        other = asyncio.create_task(turns.take("somebody"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(inbox())
        for _ in range(9):
            await asyncio.sleep(0)
        assert not ticks, "one of each part was passed over"
        assert not waiting.done()
        turns.end(inbox)
        await other
        turns.end("somebody")
        assert await asyncio.wait_for(waiting, 5) == tick("a")

    asyncio.run(play())
