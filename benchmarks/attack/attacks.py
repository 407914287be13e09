"""The attacks, each a function that plays one against a running server and says what came back."""

import ast
import asyncio
import html.parser
import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from benchmarks.attack import files
from benchmarks.attack.watch import BUDGET, Watch
from benchmarks.visitor import Tally, Visitor

__all__ = ["ATTACKS", "Arena", "Attack", "Outcome"]

MEGABYTES, ENTRIES = 11, 1_600_000
"""Of padding in a zip, and of a history in another: as many as its 16 MB have room for."""
PATIENCE = 60.0
"""Seconds for which an attack waits for an answer."""
TABLE, RUN_FILE = "CSV or Parquet, up to 5 MB", "A run that this lab exported, or a result from elsewhere (zip)"
"""Uploaders, by their labels."""
LONG = "1 min"
"""The longest training that a shared server offers."""
NO_TABLE = "An address never carries one"
"""What a page says of the link by which its uploader was reached."""


@dataclass
class Outcome:
    """What was sent, what came back, and whether the server held.

    Attributes:
        sent: in words.
        count, size: how often, and bytes.
        back: the sentence, or the refusal.
        holds: whether it did what it should.
        numbers: what was counted, by name.
    """

    sent: str
    count: int
    size: int
    back: str
    holds: bool
    numbers: dict[str, float]


@dataclass
class Arena:
    """Where an attack is played.

    Attributes:
        address: of the server, `http://…`.
        watch: of its process.
        short: whether all is to be small.
        trainings: that the server lets run at once.
    """

    address: str
    watch: Watch
    short: bool
    trainings: int

    def size(self, full: int, short: int) -> int:
        return short if self.short else full

    def visitor(self, token: str = "") -> Visitor:
        return Visitor(self.address, Tally(), token=token)


@dataclass(frozen=True)
class Attack:
    """One attack: the finding it plays, its name, and how it is played."""

    finding: str
    name: str
    play: Callable[[Arena], Awaitable[Outcome]]


ATTACKS: list[Attack] = []


def attack(finding: str, name: str) -> Callable:
    def register(play: Callable[[Arena], Awaitable[Outcome]]) -> Callable:
        ATTACKS.append(Attack(finding, name, play))
        return play

    return register


# ---- S1 ---------------------------------------------------------------------------------------------------------
@attack("S1", "clear_cache between Starts")
async def clear_cache(arena: Arena) -> Outcome:
    """Several visitors start a training, and each clears all caches before the next one does."""
    count = arena.size(4, 2)
    clear = BackMsg(clear_cache=True)
    size = 0
    async with AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(arena.visitor()) for _ in range(count)]
        for visitor in visitors:
            await visitor.act(page_name="train", patience=PATIENCE)
            visitor.set("Budget", string_array_value=[LONG])
            await visitor.press("Start training")
            size += await visitor.send(clear) + await visitor.send(clear) + await visitor.send(clear)
        await asyncio.sleep(2)
        for visitor in visitors:
            await visitor.act(patience=PATIENCE)
        most = sum("Pause training" in visitor.widgets for visitor in visitors)
        words = next(
            (_short(found[0]) for other in visitors if (found := re.search(r"Place \d+[^.]*", other.text))), ""
        )
        for visitor in visitors:
            await visitor.press("Stop", "Cancel")
    numbers = {"trainings": most, "threads": arena.watch.threads}
    back = f"{most} at once; the others: {words or 'none waits'}"
    holds = 0 < most <= arena.trainings
    return Outcome(f"{count} Starts, {3 * count} clear_cache", 4 * count, size, back, holds, numbers)


# ---- S2 ---------------------------------------------------------------------------------------------------------
async def _open_link(arena: Arena, page: str, query: str) -> tuple[float, str]:
    """Open a link in a new tab; seconds, and what the page says of it."""
    async with arena.visitor() as visitor:
        if page:
            await visitor.act(patience=PATIENCE)
        seconds = await visitor.open(page, query_string=query, patience=PATIENCE)
        return seconds, _said(visitor)


@attack("S2", "a link to a rotated product of 4,096 dimensions")
async def rotated_product(arena: Arena) -> Outcome:
    query = f"run=x&config={files.rotated_product(4_096)}"
    _, said = await _open_link(arena, "", query)
    return Outcome("1 link", 1, len(query), said, "dimensions" in said, {})


@attack("S2", "a link to six random mixtures of 1,990 dimensions")
async def random_mixtures(arena: Arena) -> Outcome:
    query = f"runs={','.join(f'other{i}' for i in range(6))}&config={files.random_mixtures(1_990, 6)}"
    _, said = await _open_link(arena, "kl", query)
    return Outcome("1 link", 1, len(query), said, bool(re.search("dimensions|too large", said)), {})


# ---- S3 ---------------------------------------------------------------------------------------------------------
async def _import(arena: Arena, name: str, content: bytes, visitor: Visitor) -> str:
    """Bring in a zip on the page Runs; what the page says."""
    await visitor.act(page_name="runs", patience=PATIENCE)
    status = await visitor.upload(RUN_FILE, name, content, patience=PATIENCE)
    said = _said(visitor)
    return said or ("It was taken." if status in (200, 204) else f"Status {status}.")


async def _zip_and_back(arena: Arena, sent: str, content: bytes, word: str) -> Outcome:
    """Bring in a zip, and come back with the same cookie."""
    back = arena.size(3, 1)
    async with arena.visitor() as visitor:
        said = await _import(arena, "run.zip", content, visitor)
        token = visitor.token
    for _ in range(back):
        async with arena.visitor(token) as visitor:
            await visitor.act(patience=PATIENCE)
    return Outcome(f"1 zip, {sent}, {back} reopenings", 1 + back, len(content), said, bool(re.search(word, said)), {})


@attack("S3", "a zip padded with empty lists")
async def padded_zip(arena: Arena) -> Outcome:
    content = await asyncio.to_thread(files.padded_zip, MEGABYTES)
    return await _zip_and_back(arena, f"{MEGABYTES} MB of []", content, "values")


@attack("S3", "a zip with a long history")
async def long_history(arena: Arena) -> Outcome:
    content = await asyncio.to_thread(files.long_history_zip, ENTRIES)
    return await _zip_and_back(arena, f"{ENTRIES:,} entries", content, "values|reports")


# ---- S4, S5 -----------------------------------------------------------------------------------------------------
async def _table(arena: Arena, sent: str, name: str, content: bytes, word: str) -> Outcome:
    """Give a table to the page Train; what the page says when it has read it."""
    async with arena.visitor() as visitor:
        await visitor.act(page_name="train", query_string="table=file", patience=PATIENCE)
        status = await visitor.upload(TABLE, name, content, patience=PATIENCE)
        end = time.monotonic() + PATIENCE
        while not _read(visitor) and time.monotonic() < end:
            await asyncio.sleep(0.2)
        said = _said(visitor) or _rows(visitor) or f"Status {status}; nothing was said."
    return Outcome(sent, 1, len(content), said, bool(re.search(word, said)), {})


def _read(visitor: Visitor) -> bool:
    """Whether the page says something of an uploaded table."""
    return bool(visitor.lost or _said(visitor) or _rows(visitor))


def _rows(visitor: Visitor) -> str:
    """What the page says of a table that it took."""
    found = re.search(r"[\d,]+ rows?\.[^.]*\.", visitor.text)
    return found[0] if found else ""


@attack("S4", "Parquet whose footer claims 1,000 rows")
async def patched_footer(arena: Arena) -> Outcome:
    rows = arena.size(24_000_000, 12_000_000)
    content = await asyncio.to_thread(files.patched_footer, rows, 1_000)
    return await _table(arena, f"1 file of {rows:,} rows", "table.parquet", content, "rows|cells|bytes|MB")


@attack("S4", "Parquet with decimals")
async def decimals(arena: Arena) -> Outcome:
    rows = arena.size(8_000_000, 1_000_000)
    content = await asyncio.to_thread(files.decimals, rows)
    return await _table(arena, f"1 file of {rows:,} rows", "table.parquet", content, "rows|cells|bytes|MB|constant")


@attack("S5", "CSV with columns behind a line break in quotes")
async def hidden_columns(arena: Arena) -> Outcome:
    content = files.csv_of_hidden_columns(100_000)
    return await _table(arena, "1 file of 100,000 columns", "table.csv", content, "columns")


# ---- S6 ---------------------------------------------------------------------------------------------------------
@attack("S6", "self-chosen cookies that keep runs")
async def cookies(arena: Arena) -> Outcome:
    """Each cookie brings in more runs than one visitor may have."""
    count, runs = arena.size(3, 2), arena.size(9, 1)
    content = files.run_zip()
    disk, said = arena.watch.disk, ""
    for i in range(count):
        async with arena.visitor(f"{i:043d}") as visitor:
            await visitor.act(page_name="runs", patience=PATIENCE)
            for j in range(runs):
                await visitor.upload(RUN_FILE, f"run {j}.zip", content, patience=PATIENCE)
                said = _said(visitor) or said
    kept = arena.watch.disk - disk
    holds = kept <= count * 64
    return Outcome(
        f"{count} cookies, {runs} zips each",
        count * runs,
        count * runs * len(content),
        f"{kept:.1f} MB on the disk; {said or 'the oldest made room'}",
        holds,
        {"disk": kept},
    )


@attack("S6", "many uploads of one page")
async def uploads(arena: Arena) -> Outcome:
    count, size = 40, arena.size(4, 1) << 20
    content = bytes(size)
    async with arena.visitor() as visitor:
        await visitor.act(patience=PATIENCE)
        before = arena.watch.memory
        path = f"/_stcore/upload_file/{visitor.session}"
        statuses = Counter(
            [await asyncio.to_thread(visitor.put, f"{path}/{uuid.uuid4()}", "a.csv", content) for _ in range(count)]
        )
        held = arena.watch.memory - before
    taken = statuses[200] + statuses[204]
    back = f"{taken} taken, {_counts(statuses)}; {held:+.0f} MB"
    return Outcome(f"{count} files of {size >> 20} MB", count, count * size, back, taken <= 12, {"taken": taken})


@attack("S6", "half-sent uploads")
async def half_sent(arena: Arena) -> Outcome:
    """Each says that it has 4 MB, sends half of that, and then nothing."""
    count, part = arena.size(150, 40), arena.size(2 << 20, 1 << 18)
    statuses: Counter = Counter()
    sent = 0
    async with arena.visitor() as visitor, AsyncExitStack() as stack:
        await visitor.act(patience=PATIENCE)
        headers = await asyncio.to_thread(visitor.upload_headers, files.BOUNDARY)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        host = arena.address.removeprefix("http://")
        waiting = []
        for _ in range(count):
            path = f"/_stcore/upload_file/{visitor.session}/{uuid.uuid4()}"
            head = [f"PUT {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {4 << 20}", *lines, "", ""]
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(*host.split(":"))
                stack.callback(writer.close)
                writer.write("\r\n".join([*head, files.PART]).encode() + bytes(part))
                with suppress(TimeoutError):
                    await asyncio.wait_for(writer.drain(), 0.5)
                sent += part
                waiting.append(reader)
        end = time.monotonic() + arena.size(10, 6)
        for reader in waiting:
            try:
                line = await asyncio.wait_for(reader.readline(), max(0.01, end - time.monotonic()))
                statuses[line.split(b" ")[1].decode() if line else "closed"] += 1
            except TimeoutError:
                statuses["held"] += 1
            except (OSError, IndexError):
                statuses["closed"] += 1
    holds = 0 < statuses["held"] <= 16
    return Outcome(f"{count} halves", count, sent, _counts(statuses), holds, {"held": statuses["held"]})


# ---- S7 ---------------------------------------------------------------------------------------------------------
@attack("S7", "hostile names into exports")
async def names(arena: Arena) -> Outcome:
    """Runs called by hostile names, and all that the page offers of them, fetched and looked at."""
    size, problems, fetched, sent = 0, [], 0, 0
    async with arena.visitor() as visitor:
        if not arena.short:
            content = files.table_of_formulas()
            await visitor.act(page_name="train", query_string="table=file", patience=PATIENCE)
            await visitor.upload(TABLE, f"{files.HOSTILE}.csv", content, patience=PATIENCE)
            for _ in range(50):
                await asyncio.sleep(0.3)
                await visitor.act(patience=PATIENCE)
                if "Start training" in visitor.widgets and not visitor.widgets["Start training"].disabled:
                    break
            training = await visitor.train(BUDGET)
            problems += [] if training and training.end == "Finished" else ["the table was not trained"]
            size, sent = size + len(content), sent + 1
        for name in files.HOSTILE_NAMES[: arena.size(4, 1)]:
            content = files.run_zip()
            await _import(arena, f"{name}.zip", content, visitor)
            size, sent = size + len(content), sent + 1
        for button in [*visitor.downloads.values()]:
            if button.label in ("Script", "Notebook", "Page that works offline (HTML)", "CSV"):
                made = await visitor.download(button)
                fetched += 1
                problems += [f"{button.label}: {problem}" for problem in _code_in(button.label, made)]
    back = f"{fetched} files fetched; {'; '.join(problems[:3]) or 'no name is code'}"
    return Outcome(f"{sent} hostile names", sent, size, back, fetched > 0 and not problems, {"fetched": fetched})


def _code_in(kind: str, made: bytes) -> list[str]:
    """What of a name became code, an element or a formula, in a file that was fetched."""
    text = made.decode()
    if kind == "Script":
        return _calls_in(text)
    if kind == "Notebook":
        cells = json.loads(text)["cells"]
        return [
            problem for cell in cells if cell["cell_type"] == "code" for problem in _calls_in("".join(cell["source"]))
        ]
    if kind == "CSV":
        return ["a formula"] if re.search(r'^"?[=@]|,"?[=@]', text, re.MULTILINE) else []
    scripts = Scripts()
    scripts.feed(text)
    return ["an element"] if any(files.CANARY in script and "{" not in script for script in scripts.texts) else []


def _calls_in(source: str) -> list[str]:
    """The canary, where the program would run it, or why the program cannot be read."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [f"does not parse: {error.msg}"]
    return ["a name is code"] * any(isinstance(node, ast.Name) and node.id == files.CANARY for node in ast.walk(tree))


class Scripts(html.parser.HTMLParser):
    """The texts of all scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._inside = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


# ---- S9 ---------------------------------------------------------------------------------------------------------
@attack("S9", "a link in a warning")
async def warning_link(arena: Arena) -> Outcome:
    query = "run=https://evil.example/login"
    async with arena.visitor() as visitor:
        await visitor.open("", query_string=query, patience=PATIENCE)
        warning = re.sub(r"\\([^\w\s])", r"\1", " ".join(visitor.alerts.values()))  # links are looked for after that
        holds = "evil.example" in warning and "https://evil" not in warning
        return Outcome("1 link", 1, len(query), _said(visitor), holds, {})


@attack("S9", "foreign Host and Origin, and closed paths")
async def doors(arena: Arena) -> Outcome:
    host = arena.address.removeprefix("http://")
    statuses = {
        "Host": await asyncio.to_thread(_status, f"{arena.address}/", Host="evil.example"),
        "metrics": await asyncio.to_thread(_status, f"{arena.address}/_stcore/metrics"),
        "script-health": await asyncio.to_thread(_status, f"{arena.address}/_stcore/script-health-check"),
    }
    for name, origin in {"site": "https://evil.example", "port": "http://localhost:1"}.items():
        statuses[f"Origin of another {name}"] = await _websocket_status(f"ws://{host}/_stcore/stream", origin)
    holds = all(status in (400, 403, 404) for status in statuses.values())
    return Outcome(f"{len(statuses)} requests", len(statuses), 0, _counts(statuses), holds, {})


def _status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


async def _websocket_status(address: str, origin: str) -> int:
    try:
        async with connect(address, subprotocols=["streamlit"], origin=origin):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@attack("S9", "70,000 names of runs")
async def many_names(arena: Arena) -> Outcome:
    """Once in an address that is too long for any, and once in the longest there is."""
    said, size = [], 0
    for most in (10**6, 60_000):
        query = ("runs=" + ",".join(f"{i}" for i in range(70_000)))[:most]
        size += len(query)
        async with arena.visitor() as visitor:
            await visitor.act(patience=PATIENCE)
            with suppress(WebSocketException):
                await visitor.open("kl", query_string=query, patience=PATIENCE)
            said.append(visitor.lost or _said(visitor))
    return Outcome("2 links", 2, size, " | ".join(map(_short, said)), "too big" in said[0] and bool(said[1]), {})


@attack("S9", "malformed values of components")
async def components(arena: Arena) -> Outcome:
    """Every component of two pages gets values of a wrong shape, many times."""
    values = [
        "null",
        "[]",
        '{"at": "x"}',
        '{"strokes": [[[[[1]]]]]}',
        '{"at": [1e308, "a"]}',
        '{"steps": -1, "times": {}}',
    ]
    count, size, log, errors = 0, 0, arena.watch.log, Counter()
    for page in ("", "train")[: arena.size(2, 1)]:
        async with arena.visitor() as visitor:
            await visitor.act(patience=PATIENCE)
            if page:
                await visitor.open(page, query_string="drawing=x", patience=PATIENCE)
            for _ in range(arena.size(3, 1)):
                for value in values:
                    for component in [*visitor.components]:
                        visitor.states[component] = WidgetState(id=component, json_value=value)
                    size += sum(len(state.SerializeToString()) for state in visitor.states.values())
                    count += len(visitor.states)
                    await visitor.act(patience=PATIENCE)
            errors += visitor.tally.errors
    bad = await _closed_values(arena)
    grown = arena.watch.log - log
    back = f"{_short(_counts(errors)) or 'no error on the page'}; {grown / 1000:.1f} kB of log; {bad}"
    return Outcome(
        f"{count} values", count, size, back, not errors and "open" not in bad and grown < 60_000, {"log": grown}
    )


async def _closed_values(arena: Arena) -> str:
    """What becomes of a page that sends NaN, JSON 5,000 deep or bytes that are no message."""
    ends = Counter()
    for value in (
        {"double_value": float("nan")},
        {"json_value": "[" * 5_000 + "]" * 5_000},
        {"bytes_value": b"x"},
        None,
    ):
        async with arena.visitor() as visitor:
            await visitor.act(patience=PATIENCE)
            with suppress(WebSocketException):
                if value is None:
                    await visitor.socket.send(b"\xff" * 100)
                else:
                    visitor.states["x"] = WidgetState(id="x", **value)
                    await visitor.rerun()
                end = time.monotonic() + 1
                while not visitor.lost and time.monotonic() < end:
                    await asyncio.sleep(0.02)
            ends["closed" if visitor.lost else "open"] += 1
    return f"of {sum(ends.values())} bad messages {_counts(ends)}"


@attack("S9", "zips with deep JSON and half characters")
async def odd_zips(arena: Arena) -> Outcome:
    said, size = [], 0
    for content in (files.deep_zip(900), files.surrogate_zip()):
        async with arena.visitor() as visitor:
            said.append(await _import(arena, "run.zip", content, visitor))
            await visitor.open("", patience=PATIENCE)
            said.extend(visitor.tally.errors)
        size += len(content)
    holds = len(said) == 2 and not any(words == "It was taken." or "disk" in words for words in said)
    return Outcome("2 zips", 2, size, " | ".join(map(_short, said)), holds, {})


@attack("S9", "a storm of reruns")
async def storm(arena: Arena) -> Outcome:
    """More than the server takes of each page at once, so that the last are held back."""
    pages, count = arena.size(6, 2), arena.size(300, 75)
    size = 0
    async with AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(arena.visitor()) for _ in range(pages)]
        for visitor in visitors:
            await visitor.act(patience=PATIENCE)
        for _ in range(count):
            for visitor in visitors:
                with suppress(WebSocketException, TimeoutError):
                    size += await asyncio.wait_for(visitor.rerun(), 1)
        await asyncio.sleep(arena.size(10, 2))
        lost = sum(bool(visitor.lost) for visitor in visitors)
    back = f"{pages - lost} pages are open, {lost} were closed"
    return Outcome(f"{pages * count:,} reruns of {pages} pages", pages * count, size, back, True, {"lost": lost})


# ---- words ------------------------------------------------------------------------------------------------------
def _said(visitor: Visitor) -> str:
    """The warnings of a page, and its errors."""
    warnings = [words for words in visitor.alerts.values() if NO_TABLE not in words]
    return _short(" ".join([*warnings, *visitor.tally.errors, visitor.lost]).strip())


def _short(text: str, most: int = 160) -> str:
    text = " ".join(re.sub(r"\\([^\w\s])", r"\1", text.replace("\u2060", "")).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _counts(counts: Counter | dict) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
