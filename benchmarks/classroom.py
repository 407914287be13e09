"""A class opens one link: thirty phones at a step of a lesson, all at the same moment, and goes on through its steps.

    .venv/bin/python -m benchmarks.classroom [--phones 30] [--lesson 3] [--log build/classroom.log]

The phones are the clients of `benchmarks/visitor.py`; the server is `hosted.py` of this machine, on a free port of the
loopback. Printed are errors, how many phones show the step, and how long it took them.
"""

import argparse
import asyncio
import os
import statistics
from pathlib import Path

from benchmarks.server import start_server
from benchmarks.visitor import COLD, Tally, Visitor

MOST_PHONES, MOST_STEPS = 60, 20
THINK = (1.0, 8.0)
"""Seconds that a pupil looks at a step."""


async def open_link(visitor: Visitor, link: str) -> float:
    """Open the lesson that a link names, as a browser does that was never here; seconds."""
    visitor.page = ""
    return await visitor.act(page_name="lessons", query_string=link, patience=COLD)  # all phones come at once


async def phone(
    address: str, tally: Tally, number: int, link: str, *, goes_on: bool = True
) -> tuple[float, str, list[float]]:
    """Seconds to the step that the link names, its heading, and seconds for each step on from there."""
    async with Visitor(address, tally, number) as visitor:
        opening, heading, turns = await open_link(visitor, link), heading_of(visitor), []
        while goes_on and "Next" in visitor.widgets and len(turns) < MOST_STEPS:
            await asyncio.sleep(visitor.chance.uniform(*THINK))
            visitor.set("Next", trigger_value=True)
            turns.append(await visitor.act())
        return opening, heading, turns


def heading_of(visitor: Visitor) -> str:
    """The title of the step on show; empty where there is none."""
    headings = [html for html in visitor.shown.values() if "<h1 class='question'>" in html]
    return headings[0].partition("<h1 class='question'>")[2].partition("</h1>")[0] if headings else ""


async def lesson(address: str, phones: int, link: str) -> bool:
    """Whether all went well; everything is printed."""
    tally = Tally()
    async with Visitor(address, tally) as teacher:
        print(f"the teacher, first on a new server: {await teacher.act(patience=COLD):.1f} s", flush=True)
        await open_link(teacher, link)
        wanted = heading_of(teacher)
    seen = await asyncio.gather(*(phone(address, tally, number, link) for number in range(1, phones + 1)))
    opening, turns = [first for first, _, _ in seen], [second for _, _, some in seen for second in some]
    right = sum(heading == wanted != "" for _, heading, _ in seen)
    print(f"{right} of {phones} phones show “{wanted}”; errors {sum(tally.errors.values())}")
    for words, count in tally.errors.most_common(10):
        print(f"  {count} × {words}")
    for words, values in (("the link, all at once", opening), ("a step on", turns)):
        slow = statistics.quantiles(values, n=20)[-1]
        print(f"{words}: {len(values)} times, median {statistics.median(values):.2f} s, 95 % below {slow:.2f} s")
    return not tally.errors and right == phones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", type=int, default=30)
    parser.add_argument("--lesson", default="3")
    parser.add_argument("--log", type=Path, default=Path("build/classroom.log"))
    asked = parser.parse_args()
    if not 2 <= asked.phones <= MOST_PHONES:
        parser.error(f"From 2 to {MOST_PHONES} phones.")
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    process, address = start_server(asked.log, {"MALLOC_ARENA_MAX": "2"})
    try:
        print(f"{asked.phones} phones, lesson {asked.lesson}, {os.cpu_count()} cores")
        sound = asyncio.run(lesson(address, asked.phones, f"lesson={asked.lesson}&step=1"))
    finally:
        process.terminate()
        process.wait(20)
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
