"""Files on their way to a shared server: counted before they are read, and not waited for without end."""

import asyncio
import json
import uuid
from types import SimpleNamespace

import pytest

from app.hosting.limits import CHANGES
from app.hosting.uploads import AT_ONCE, AT_ONCE_IN_ALL, Uploads

SESSION = str(uuid.uuid4())


class Server:
    """Stores what arrives as Streamlit does."""

    def __init__(self):
        self.files = {}
        self.reading = 0

    async def __call__(self, scope, receive, send):
        session, name = scope["path"].split("/")[-2:]
        self.reading += 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.reading -= 1
        self.files.setdefault(session, {})[name] = SimpleNamespace(data=body)
        await send({"type": "http.response.start", "status": 204, "headers": []})


def asked(size, session=SESSION):
    path = f"/_stcore/upload_file/{session}/{uuid.uuid4()}"
    headers = [] if size is None else [(b"content-length", str(size).encode())]
    return {"type": "http", "method": "PUT", "path": path, "headers": headers}


async def put(guard, size, *, sent=None, session=SESSION):
    """The status for a file of which so much is sent."""
    answers, parts = [], [b"x" * (size if sent is None else sent)]

    async def receive():
        if not parts:
            await asyncio.Event().wait()  # the rest never comes
        return {"type": "http.request", "body": parts.pop(), "more_body": sent is not None}

    async def send(message):
        answers.append(message)

    await guard(asked(size, session), receive, send)
    return answers[0]["status"]


@pytest.fixture
def server():
    return Server()


def guard_of(server, seconds=60.0):
    return Uploads(server, stored=lambda: server.files, seconds=seconds)


def test_s6_a_page_holds_so_many_files_and_so_many_bytes(server, monkeypatch):
    monkeypatch.setenv(CHANGES, json.dumps({"files": 3, "files_of_one": 2, "upload": 1}))

    async def play():
        guard = guard_of(server)
        assert [await put(guard, 10) for _ in range(4)] == [204, 204, 204, 413]
        large = str(uuid.uuid4())
        assert [await put(guard, 900_000, session=large) for _ in range(3)] == [204, 204, 413]
        server.files[large].popitem()
        assert await put(guard, 900_000, session=large) == 204, "one that is removed makes room"

    asyncio.run(play())


def test_s6_all_pages_together_hold_so_many_bytes(server, monkeypatch):
    monkeypatch.setenv(CHANGES, json.dumps({"files_of_all": 2, "upload": 1}))

    async def play():
        guard = guard_of(server)
        return [await put(guard, 900_000, session=str(uuid.uuid4())) for _ in range(4)]

    assert asyncio.run(play()) == [204, 204, 503, 503]


def test_s6_a_file_that_is_too_large_or_of_no_length_is_not_read(server):
    async def play():
        guard = guard_of(server, seconds=0.05)
        assert await put(guard, 6 << 20, sent=0) == 413
        answers = []

        async def send(message):
            answers.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        for scope in (asked(None), {**asked(1), "headers": [(b"content-length", b"-1")]}):
            await guard(scope, receive, send)
        assert [answer["status"] for answer in answers if "status" in answer] == [411, 411]

    asyncio.run(play())
    assert server.files == {}


def test_s6_of_a_flood_of_refused_files_few_are_read(server):
    async def play():
        guard, reading = guard_of(server, seconds=0.05), []

        async def receive():
            reading.append(1)
            await asyncio.Event().wait()

        async def send(message):
            pass

        scopes = [asked(6 << 20, str(uuid.uuid4())) for _ in range(100)]
        await asyncio.gather(*(guard(scope, receive, send) for scope in scopes))
        assert len(reading) == AT_ONCE_IN_ALL
        assert await put(guard, 6 << 20, sent=0) == 413, "their places are free"

    asyncio.run(play())


def test_s6_half_sent_files_are_few_and_end(server):
    """150 files of which a byte comes: few are read at once, and after their time none is."""

    async def play():
        guard = guard_of(server, seconds=0.05)
        sessions = [str(uuid.uuid4()) for _ in range(30)]
        files = [asyncio.create_task(put(guard, 1000, sent=1, session=sessions[i % 30])) for i in range(150)]
        await asyncio.sleep(0)
        assert server.reading <= AT_ONCE_IN_ALL
        ends = await asyncio.gather(*files)
        assert sorted(set(ends)) == [408, 429]
        assert ends.count(408) == AT_ONCE_IN_ALL
        one = [asyncio.create_task(put(guard, 1000, sent=1)) for _ in range(10)]
        assert (await asyncio.gather(*one)).count(408) == AT_ONCE
        assert await put(guard, 1000) == 204, "their places are free"

    asyncio.run(play())
    assert len(server.files) == 1
