"""The attacks that were found against a hosted lab, played against one on this machine, with what each costs.

    .venv/bin/python -m benchmarks.attack                       # all, at most four minutes
    .venv/bin/python -m benchmarks.attack --short               # all, small: what the suite runs
    .venv/bin/python -m benchmarks.attack --only S3             # those whose number or name has this in it
    .venv/bin/python -m benchmarks.attack --before CHECKOUT     # the server of another checkout
    .venv/bin/python -m benchmarks.attack --address 127.0.0.1:8501

The server is started on a free port of the loopback with a temporary folder of kept runs, sessions that are forgotten
soon and bounded memory, and is ended whatever happens. Meanwhile another visitor asks for another N again and again,
and trains. For each attack: what was sent, what came back, seconds of the server's processor, the other visitor's
answers, memory, threads and disk; in the end what remains when everybody has left.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.attack.attacks import ATTACKS, Arena, Attack, Outcome
from benchmarks.attack.watch import Cost, Neighbour, Watch
from benchmarks.server import ROOT, start_server
from benchmarks.visitor import COLD, Tally, Visitor

TTL = 5
"""Seconds after which a session that lost its connection is forgotten."""
TIDY = 25
"""Seconds within which the server gives memory back after that."""
LONGEST = 150.0
"""Seconds of one attack."""
LEAST, LEAST_SHORT = 3.0, 0.5
"""Seconds for which the other visitor is watched at least."""
LOOPBACK = ("127.0.0.1", "localhost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small inputs, and nobody who trains beside")
    parser.add_argument("--only", default="", metavar="TEXT", help="in the number or the name of an attack")
    parser.add_argument("--seconds", type=float, default=240.0, help="after which no attack begins")
    parser.add_argument("--memory", type=float, default=3.0, metavar="GB", help="that the server may have")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--before", type=Path, metavar="CHECKOUT", help="whose server is started")
    where.add_argument("--address", metavar="HOST:PORT", help="of a server of the loopback that runs already")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server ends then too
    chosen = [one for one in ATTACKS if asked.only.lower() in f"{one.finding} {one.name}".lower()]
    if not chosen and asked.only != "S8":
        parser.error(f"No attack is called {asked.only!r}.")
    if asked.address and asked.address.partition(":")[0] not in LOOPBACK:
        parser.error("Only servers of the loopback are attacked.")
    with tempfile.TemporaryDirectory() as folder:
        rows = _on_server(asked, chosen, Path(folder))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    sys.exit(0 if all(row["holds"] for row in rows) else 1)


def _on_server(asked: argparse.Namespace, chosen: list[Attack], folder: Path) -> list[dict]:
    """Attack the server that runs already, or one that lives as long as the attack."""
    log, kept = folder / "server.log", folder / "kept"
    if asked.address:
        return asyncio.run(
            _attack(asked, chosen, f"http://{asked.address}", Watch(_listener(asked.address), kept, log))
        )
    settings = {"CONSISTENCY_LAB_KEPT": str(kept), "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": str(TTL)}
    checkout = asked.before.resolve() if asked.before else ROOT
    process, address = start_server(log, settings, checkout=checkout, memory=int(asked.memory * 2**30))
    try:
        return asyncio.run(_attack(asked, chosen, address, Watch(process.pid, kept, log)))
    finally:
        process.kill()
        process.wait(20)


def _listener(address: str) -> int | None:
    """The process that listens there, if it can be seen."""
    port = int(address.rpartition(":")[2])
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return connection.pid
    return None


# ---- playing ----------------------------------------------------------------------------------------------------
async def _attack(asked: argparse.Namespace, chosen: list[Attack], address: str, watch: Watch) -> list[dict]:
    began = time.monotonic()
    cores = os.cpu_count() or 2
    print(f"{len(chosen)} attacks on {cores} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
    async with Visitor(address, Tally()) as first:
        seconds = await first.act(patience=COLD)
    print(f"first visit {seconds:.1f} s, then {watch.memory:.0f} MB, {watch.threads} threads", flush=True)
    arena = Arena(address, watch, asked.short, max(1, cores - 1))
    neighbour = Neighbour(address, arena.size(1, 4) / 4)
    beside = [asyncio.create_task(watch.look()), asyncio.create_task(neighbour.explore())]
    beside += [] if asked.short else [asyncio.create_task(neighbour.train())]
    rows = [await _watched(watch, neighbour, Attack("–", "nobody attacks", _nothing), arena)]
    first_memory = watch.memory
    for one in chosen:
        if time.monotonic() - began > asked.seconds:
            print(f"{one.finding} {one.name}: left out, the time was over", flush=True)
            continue
        rows.append(await _watched(watch, neighbour, one, arena))
    for task in beside[1:]:
        task.cancel()
    await asyncio.gather(*beside[1:], return_exceptions=True)
    _report_neighbour(neighbour)
    if not asked.short and asked.only in ("", "S8"):
        rows.append(await _remains(watch, first_memory))
    beside[0].cancel()
    print(f"{time.monotonic() - began:.0f} s in all, load {os.getloadavg()[0]:.1f} after")
    return rows


async def _nothing(arena: Arena) -> Outcome:
    await asyncio.sleep(arena.size(12, 2))
    return Outcome("nothing", 0, 0, "", holds=True, numbers={})


async def _watched(watch: Watch, neighbour: Neighbour, one: Attack, arena: Arena) -> dict:
    """Play one attack, and say in a line what it cost."""
    since, cost = len(neighbour.answers()), watch.begin()
    try:
        outcome = await asyncio.wait_for(one.play(arena), LONGEST)
    except Exception as error:  # noqa: BLE001  a server that fell ends an attack in any way
        words = f"{type(error).__name__}: {error}"[:160]
        outcome = Outcome("", 0, 0, f"ended by {words}", holds=False, numbers={})
    least = LEAST_SHORT if arena.short else LEAST
    if (left := least - cost.seconds - time.monotonic()) > 0:
        await asyncio.sleep(left)
    watch.end(cost, neighbour.answers(since))
    return _print(one, outcome, cost)


def _print(one: Attack, outcome: Outcome, cost: Cost) -> dict:
    parts = (
        f"{'holds' if outcome.holds else 'FALLS'}  {one.finding} {one.name}",
        f"sent {outcome.sent}, {_bytes(outcome.size)}",
        f"back: {outcome.back}",
        f"{cost.seconds:.1f} s, {cost.processor:.1f} s of processor",
        f"another visitor's N: median {cost.median:.2f} s, 95 % {cost.slowest:.2f} s ({len(cost.answers)})",
        f"{cost.before:.0f} MB, peak {cost.peak:.0f} MB",
        f"threads {cost.threads[0]} → {cost.threads[1]}",
        f"kept {cost.disk:.1f} MB, log {_bytes(cost.log)}",
    )
    print(" | ".join(parts), flush=True)
    return {
        "finding": one.finding,
        "name": one.name,
        **dataclasses.asdict(outcome),
        **dataclasses.asdict(cost),
        "median": cost.median,
        "slowest": cost.slowest,
    }


def _report_neighbour(neighbour: Neighbour) -> None:
    tally = neighbour.tally
    ends = Counter(training.end or "under way" for training in tally.trainings)
    longest = max((training.seconds for training in tally.trainings), default=0.0)
    print(f"another visitor: {len(tally.explored)} answers, errors {dict(tally.errors)}")
    print(f"  trainings {dict(ends)}, the longest {longest:.0f} s with waiting", flush=True)


async def _remains(watch: Watch, first: float) -> dict:
    """What is left when everybody has gone and sessions have been forgotten."""
    cost = watch.begin()
    await asyncio.sleep(TTL + TIDY)
    watch.end(cost, [])
    remains = watch.memory - first
    back = f"{watch.memory:.0f} MB where {first:.0f} MB were before the attacks: {remains:+.0f} MB"
    outcome = Outcome("nothing", 0, 0, back, holds=remains <= 150, numbers={"remains": remains})
    return _print(Attack("S8", f"{TTL + TIDY} s after everybody left", _nothing), outcome, cost)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


if __name__ == "__main__":
    main()
