"""Many visitors at once, as a hosted lab has them: clients that speak Streamlit's own websocket, and no browser.

    .venv/bin/python -m benchmarks.load --minutes 10              # 6 who train, 6 who explore
    .venv/bin/python -m benchmarks.load --minutes 3 --trainers 0 --explorers 30

A client does what the page in a browser does: it sends the state of its widgets, runs fragments again as often as the
server asks it to, and reads every message. It starts `hosted.py` on this machine, on a free port of the loopback, and
prints errors, what became of every training, how long exploring took, and the memory of the server over time.
"""

import argparse
import asyncio
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from scipy.stats import theilslopes
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
MOST_CLIENTS, MOST_MINUTES = 60, 30
PATIENCE = 60.0
"""Seconds after which an answer that has not come is an error."""
COLD = 240.0
"""The same for the first visitor of a new server, who waits for torch."""
WHOLE = tuple(map(ForwardMsg.ScriptFinishedStatus.Value, ("FINISHED_SUCCESSFULLY", "FINISHED_WITH_COMPILE_ERROR")))
"""A fragment's end is no answer, and neither is the end of a run that begins anew at once."""
THINK = (2.0, 6.0)
"""Seconds that a visitor looks at a picture before the next action."""
WATCHED = 5
"""The last minutes, over which memory should be flat."""
BUDGET = "10 s"
"""What the trainers choose, as the page writes it."""


@dataclass
class Tally:
    """What all clients saw."""

    explored: list[float] = field(default_factory=list)
    errors: Counter = field(default_factory=Counter)
    trainings: list[dict] = field(default_factory=list)
    actions: int = 0


class Visitor:
    """One tab: its websocket, its widgets, its fragments, and what it shows."""

    def __init__(self, address: str, tally: Tally, seed: int) -> None:
        self.address, self.tally, self.chance = address, tally, random.Random(seed)
        self.pages: dict[str, str] = {}
        self.page = ""
        self.states: dict[str, WidgetState] = {}
        self.widgets: dict[str, object] = {}
        self.shown: dict[tuple, str] = {}
        self.timers: dict[str, asyncio.Task] = {}
        self.finished = asyncio.Event()

    async def __aenter__(self) -> "Visitor":
        self.socket = await connect(
            self.address.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], max_size=64 << 20
        )
        self.reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timers()
        self.reader.cancel()
        await self.socket.close()

    # ---- what comes ---------------------------------------------------------------------------------------------
    async def _read(self) -> None:
        try:
            async for data in self.socket:
                message = ForwardMsg.FromString(data)
                self._take(message, message.WhichOneof("type"))
        except Exception as error:  # noqa: BLE001  a lost connection is counted like any other failure
            self.tally.errors[f"connection: {type(error).__name__}: {error}"[:160]] += 1
        self.finished.set()

    def _take(self, message: ForwardMsg, kind: str | None) -> None:
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            self._stop_timers()
            self.widgets.clear()
            self.shown.clear()
        elif kind == "navigation":
            self.pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            self.page = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            told = message.auto_rerun
            if told.fragment_id not in self.timers:
                self.timers[told.fragment_id] = asyncio.create_task(self._again(told.fragment_id, told.interval))
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                if timer := self.timers.pop(fragment, None):
                    timer.cancel()
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(tuple(message.metadata.delta_path), message.delta.new_element)
        elif kind == "script_finished" and message.script_finished in WHOLE:
            self.finished.set()
        elif kind == "session_event" and message.session_event.WhichOneof("type") == "script_compilation_exception":
            self.tally.errors["the script does not compile"] += 1

    def _element(self, path: tuple, element: object) -> None:
        kind = element.WhichOneof("type")
        content = getattr(element, kind) if kind else None
        if kind == "exception":
            self.tally.errors[f"{content.type}: {content.message[:120]}"] += 1
        elif kind in ("html", "markdown", "alert", "progress"):
            self.shown[path] = getattr(content, "body", "") or getattr(content, "text", "")
        if (label := getattr(content, "label", "")) and getattr(content, "id", ""):
            self.widgets[label] = content

    def _stop_timers(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()

    async def _again(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            await self._send(fragment_id=fragment, is_auto_rerun=True)

    # ---- what is done -------------------------------------------------------------------------------------------
    async def _send(self, **how: object) -> None:
        message = BackMsg()
        message.rerun_script.page_script_hash = self.page
        for name, value in how.items():
            setattr(message.rerun_script, name, value)
        message.rerun_script.widget_states.widgets.extend(self.states.values())
        await self.socket.send(message.SerializeToString())

    async def act(self, *, patience: float = PATIENCE, **how: object) -> float:
        """Ask for a run of the page and wait for its end; seconds."""
        self.finished.clear()
        self.tally.actions += 1
        start = time.monotonic()
        await self._send(**how)
        try:
            await asyncio.wait_for(self.finished.wait(), patience)
        except TimeoutError:
            self.tally.errors[f"no answer within {patience:.0f} s"] += 1
        for name in [name for name, state in self.states.items() if state.HasField("trigger_value")]:
            del self.states[name]
        return time.monotonic() - start

    async def open(self, page: str) -> float:
        """Go to a page by its path; "" is the first."""
        if page and page not in self.pages:
            self.tally.errors[f"there is no page {page}"] += 1
            return 0.0
        self.page = self.pages.get(page, "")
        return await self.act()

    def set(self, label: str, **value: object) -> bool:
        """Give a widget a value; False where the page does not show it."""
        widget = self.widgets.get(label)
        if widget is None:
            return False
        state = WidgetState(id=widget.id)
        for name, content in value.items():
            if isinstance(content, list):
                getattr(state, name).data.extend(content)
            else:
                setattr(state, name, content)
        self.states[widget.id] = state
        return True

    @property
    def text(self) -> str:
        """All words on the page."""
        return re.sub(r"<[^>]+>", " ", " ".join(self.shown.values()))


# ---- two kinds of visitors --------------------------------------------------------------------------------------
async def explore(visitor: Visitor, until: float) -> None:
    """Change N, the sampler, the run, and the page, and look at each picture for a while."""
    await visitor.act()
    while time.monotonic() < until:
        await asyncio.sleep(visitor.chance.uniform(*THINK))
        choice = visitor.chance.random()
        if choice < 0.6 and (slider := visitor.widgets.get("Network calls N")):
            visitor.set("Network calls N", string_array_value=[visitor.chance.choice(slider.options)])
            seconds = await visitor.act()
        elif choice < 0.8 and (runs := visitor.widgets.get("Run")):
            options = list(getattr(runs, "options", []))
            chosen = visitor.chance.choice(options)
            visitor.set("Run", string_array_value=[getattr(chosen, "content", "")])
            seconds = await visitor.act()
        else:
            seconds = await visitor.open(visitor.chance.choice(["", "", "kl", "scaling"]))
        visitor.tally.explored.append(seconds)


async def train(visitor: Visitor, until: float) -> None:
    """Train again and again, and watch until each run has ended."""
    await visitor.act()
    await visitor.open("train")
    while time.monotonic() < until - 20:
        await asyncio.sleep(visitor.chance.uniform(*THINK))
        visitor.set("Budget", string_array_value=[BUDGET])
        await visitor.act()
        if not any(visitor.set(label, trigger_value=True) for label in ("Start training", "Train again")):
            visitor.tally.errors["no button to start a training"] += 1
            await visitor.open("train")
            continue
        began, told = time.monotonic(), {"places": set(), "end": "", "wait": 0.0, "seconds": 0.0}
        visitor.tally.trainings.append(told)
        await visitor.act()
        await _watch(visitor, told, began)


async def _watch(visitor: Visitor, told: dict, began: float) -> None:
    while time.monotonic() - began < 600:
        await asyncio.sleep(0.3)
        words = visitor.text
        if place := re.search(r"Place (\d+)", words):
            told["places"].add(int(place[1]))
            told["wait"] = time.monotonic() - began
        if "queue is full" in words:
            told["end"] = "refused"
        for end in ("Finished", "Stopped", "Diverged", "could not go on"):
            if re.search(rf"\b{end}\b", words) and time.monotonic() - began > 1:
                told["end"] = end
        if told["end"]:
            break
    told["end"] = told["end"] or "never ended"
    told["seconds"] = time.monotonic() - began


# ---- the server -------------------------------------------------------------------------------------------------
def start_server(log: Path) -> tuple[subprocess.Popen, str]:
    """The hosted lab on a free port of the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "hosted.py", f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONPATH": str(ROOT)}
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=environment)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return process, address
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise SystemExit(f"The server did not start; see {log}.")


async def watch_memory(process: psutil.Process, seen: list[tuple[float, float]]) -> None:
    """(seconds, MB) twice a second: an estimate takes some hundred MB for not much longer."""
    start = time.monotonic()
    while True:
        seen.append((time.monotonic() - start, process.memory_info().rss / 2**20))
        await asyncio.sleep(0.5)


async def run(address: str, pid: int, trainers: int, explorers: int, minutes: float) -> tuple[Tally, list]:
    tally, memory = Tally(), []
    async with Visitor(address, tally, 0) as first:
        print(f"the first visit to a new server: {await first.act(patience=COLD):.1f} s", flush=True)
    watcher = asyncio.create_task(watch_memory(psutil.Process(pid), memory))
    until = time.monotonic() + 60 * minutes

    async def visit(kind: object, seed: int) -> None:
        await asyncio.sleep(0.5 * seed)  # nobody comes at the same instant
        async with Visitor(address, tally, seed) as visitor:
            await kind(visitor, until)

    kinds = [train] * trainers + [explore] * explorers
    ended = await asyncio.gather(*(visit(kind, i) for i, kind in enumerate(kinds)), return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException):
            tally.errors[f"visitor: {type(error).__name__}: {error}"[:160]] += 1
    watcher.cancel()
    return tally, memory


# ---- what is printed --------------------------------------------------------------------------------------------
def report(tally: Tally, memory: list[tuple[float, float]]) -> bool:
    print(f"actions {tally.actions}, errors {sum(tally.errors.values())}")
    for words, count in tally.errors.most_common(10):
        print(f"  {count} × {words}")
    ends = Counter(told["end"] for told in tally.trainings)
    waited = [told for told in tally.trainings if told["places"]]
    print(f"trainings {len(tally.trainings)}: " + ", ".join(f"{count} {end}" for end, count in ends.items()))
    if tally.trainings:
        longest = max(told["seconds"] - told["wait"] for told in tally.trainings)
        places = max((max(told["places"]) for told in waited), default=0)
        wait = max((told["wait"] for told in waited), default=0.0)
        print(f"  {len(waited)} waited, in place {places} at most and for {wait:.0f} s at most")
        print(f"  from the start to the end of a run {longest:.0f} s at most")
    median = statistics.median(tally.explored) if tally.explored else 0.0
    if len(tally.explored) > 1:
        slow = statistics.quantiles(tally.explored, n=20)[-1]
        print(f"exploring: {len(tally.explored)} actions, median {median:.2f} s, 95 % below {slow:.2f} s")
    most = max(m for _, m in memory)
    print(f"memory of the server: {most:.0f} MB at most")
    print(f"  {_trend(memory)}")
    unended = sum(count for end, count in ends.items() if end == "never ended")
    return not tally.errors and not unended and median <= 1.0 and most <= 1536


def _trend(memory: list[tuple[float, float]]) -> str:
    """Where memory goes in the last minutes.

    An estimate takes up to some hundred MB for some seconds. A line through the least squares follows such a peak, as a
    median does not, so both are told; without an interval, since what is seen twice a second is not independent.
    """
    seconds, taken = np.array(memory).T
    ago = (seconds[-1] - seconds) / 60
    late = ago < WATCHED
    medians = [np.median(taken[ago.astype(int) == minute]) for minute in range(int(ago[late].max()), -1, -1)]
    slope = theilslopes(taken[late], -ago[late]).slope
    line = np.polyfit(-ago[late], taken[late], 1)[0]
    return (
        f"medians of the last minutes: {', '.join(f'{m:.0f}' for m in medians)}; {slope:+.1f} MB a minute "
        f"by the median of slopes (Theil–Sen), {line:+.1f} by least squares"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--trainers", type=int, default=6)
    parser.add_argument("--explorers", type=int, default=6)
    parser.add_argument("--log", type=Path, default=Path("build/load.log"))
    asked = parser.parse_args()
    if asked.trainers + asked.explorers > MOST_CLIENTS or not 0 < asked.minutes <= MOST_MINUTES:
        parser.error(f"At most {MOST_CLIENTS} clients for {MOST_MINUTES} minutes.")
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    process, address = start_server(asked.log)
    try:
        print(f"{asked.trainers} train, {asked.explorers} explore; {asked.minutes:g} minutes, {os.cpu_count()} cores")
        told, memory = asyncio.run(run(address, process.pid, asked.trainers, asked.explorers, asked.minutes))
    finally:
        process.terminate()
        process.wait(20)
    sound = report(told, memory)
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
