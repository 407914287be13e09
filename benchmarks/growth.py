r"""How cost grows: training step, pool, draw and KL against d, n, width, N, members and components.

    python -m benchmarks.growth [--only TEXT] [--against d] [--out assets/growth/table.json]
    python -m benchmarks.growth --show assets/growth/table.json                     # what was measured before

One thread. Seconds are processor time, the least of a few calls; megabytes are how far the resident memory of the
process rises above where it was before the first of them (Linux). A series ends where its next cell would take more
than `--seconds` or `--megabytes`, by how it grew so far. The exponents are slopes of log cost against log size over
the larger half of a series, with the 95 % intervals of :func:`cmcore.theory.fits.fit_line`; memory has one only where
it rises by more than 4 MB. Beside each stands the power that the algorithm should cost at most, and why;
"!" marks an interval that lies above it by more than a tenth. A run that was cut off goes on.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.growth_series import VALUES, WORKS, Growth, Work
from cmcore.runtime import give_memory_back, reuse_memory
from cmcore.theory.fits import LineFit, fit_line

LEAST_MB = 4.0
ENOUGH, MOST_CALLS = 0.6, 5
"""Seconds of calls of one cell, and how many there are at most."""
FEWEST = 3
"""Cells behind an exponent."""
SPARE = 0.1
SERIES_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="work that has this in its name")
    parser.add_argument("--against", nargs="+", choices=list(VALUES), default=list(VALUES))
    parser.add_argument("--seconds", type=float, default=3.0, help="the most that a cell may take")
    parser.add_argument("--megabytes", type=float, default=3_000.0, help="the most that a cell may hold")
    parser.add_argument("--out", type=Path, help="a JSON file for the cells")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    choices = parser.parse_args()
    source = choices.show or choices.out
    series = json.loads(source.read_text())["series"] if source and source.exists() else []
    if not choices.show:
        torch.set_num_threads(1)
        reuse_memory()
        done = {(one["work"], one["against"]) for one in series}
        started = time.process_time()
        for work, against in asked(choices):
            if (work.name, against) not in done:
                series.append(measured(work, against, choices.seconds, choices.megabytes))
                print(row(series[-1]), f"[{time.process_time() - started:.0f} s]", flush=True)
                if choices.out:
                    choices.out.parent.mkdir(parents=True, exist_ok=True)
                    choices.out.write_text(json.dumps({"series": series}, indent=1, ensure_ascii=False) + "\n")
    table(series)


def asked(choices: argparse.Namespace) -> Iterator[tuple[Work, str]]:
    """Each piece of work with each number that it may grow with."""
    for work in WORKS:
        if choices.only in work.name:
            yield from ((work, against) for against in work.growth if against in choices.against)


# ---- one series -----------------------------------------------------------------------------------------------------
def measured(work: Work, against: str, most_seconds: float, most_megabytes: float) -> dict[str, Any]:
    """The cells of one series, smallest first, and why it ends."""
    cells: list[tuple[int, float, float]] = []
    stopped = ""
    work.at(against, VALUES[against][0])()  # libraries are loaded, and tables that are kept are made
    for value in VALUES[against]:
        if stopped := _too_much(cells, value, most_seconds, most_megabytes):
            break
        call = work.at(against, value)
        cells.append((value, *_cost(call)))
    names = ("values", "seconds", "megabytes")
    columns = dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))
    columns["seconds"] = [float(f"{s / work.times:.4g}") for s in columns["seconds"]]
    columns["megabytes"] = [float(f"{m:.4g}") for m in columns["megabytes"]]
    return {"work": work.name, "against": against, **columns, "stopped": stopped}


def _too_much(cells: list[tuple[int, float, float]], value: int, seconds: float, megabytes: float) -> str:
    """Why the next cell is not measured; empty where it is."""
    if not cells:
        return ""
    if sum(cell[1] for cell in cells) > SERIES_SECONDS:
        return f"{value:,} would make the series longer than {SERIES_SECONDS:g} s"
    expected = [_next([(cell[0], cell[i]) for cell in cells], value) for i in (1, 2)]
    if expected[0] > seconds:
        return f"{value:,} would take {expected[0]:.2g} s"
    if expected[1] > megabytes:
        return f"{value:,} would hold {expected[1]:,.0f} MB"
    return ""


def _next(points: list[tuple[int, float]], value: int) -> float:
    """What the next cell costs if it grows as the last did, and by the first power at least."""
    (before, less), (size, cost) = (points * 2)[-2:]
    power = math.log(max(cost, 1e-9) / max(less, 1e-9)) / math.log(size / before) if size > before else 1.0
    return cost * (value / size) ** min(3.0, max(1.0, power))


def _cost(call: Callable[[], object]) -> tuple[float, float]:
    """The least processor time of some calls, and how far the memory of the process rose in the first."""
    held = _forget_peak()
    times, answer = [], None
    while not times or (sum(times) < ENOUGH and len(times) < MOST_CALLS):
        started = time.process_time()
        answer = call()
        times.append(time.process_time() - started)
        if len(times) == 1:
            peak = _resident("VmHWM") - held
    del answer
    return min(times), max(0.0, peak)


def _forget_peak() -> float:
    """What the process holds now; its highest mark begins here."""
    give_memory_back()
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return _resident("VmRSS")


def _resident(mark: str) -> float:
    """Megabytes of this process: VmRSS, what it holds, or VmHWM, the most since the peak was forgotten."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return int(next(line for line in status.read_text().splitlines() if line.startswith(mark)).split()[1]) / 1024


# ---- the table ------------------------------------------------------------------------------------------------------
def exponent(values: list[int], costs: list[float]) -> LineFit | None:
    """The slope of log cost against log size over the larger half; None for too few cells."""
    half = max(FEWEST, math.ceil(len(values) / 2))
    if len(values) < FEWEST or min(costs[-half:]) <= 0:
        return None
    return fit_line([math.log(v) for v in values[-half:]], [math.log(c) for c in costs[-half:]])


def table(series: list[dict[str, Any]]) -> None:
    """A row for each series."""
    order = [(work.name, against) for work in WORKS for against in work.growth]
    series = sorted(series, key=lambda one: order.index((one["work"], one["against"])))
    print(
        "\n| work | against | seconds | ∝ size to the power | megabytes | to the power | should be at most, and why |"
    )
    print("|---|---|---|---|---|---|---|")
    for one in series:
        print(row(one))
    print()
    for one in series:
        if one["stopped"]:
            print(f"{one['work']} against {one['against']}: ends since {one['stopped']}.")


def row(one: dict[str, Any]) -> str:
    growth = next(work for work in WORKS if work.name == one["work"]).growth[one["against"]]
    values = one["values"]
    span = f"{one['against']} = {values[0]:,} … {values[-1]:,}"
    seconds, megabytes = (_ends(one[name]) for name in ("seconds", "megabytes"))
    rose = one["megabytes"][-1] > LEAST_MB
    powers = (
        _power(exponent(values, one["seconds"]), growth.seconds),
        (_power(exponent(values, one["megabytes"]), growth.megabytes) if rose else "–"),
    )
    return (
        f"| {one['work']} | {span} | {seconds} | {powers[0]} | {megabytes} | {powers[1]} | "
        f"{_bounds(growth)}: {growth.reason} |"
    )


def _bounds(growth: Growth) -> str:
    return f"{growth.seconds:g}, {growth.megabytes:g}"


def _power(fit: LineFit | None, most: float) -> str:
    if fit is None:
        return "–"
    mark = " !" if fit.slope_low > most + SPARE else ""
    return f"{fit.slope:.2f} [{fit.slope_low:.2f}, {fit.slope_high:.2f}]{mark}"


def _ends(costs: list[float]) -> str:
    return f"{_number(costs[0])} … {_number(costs[-1])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


if __name__ == "__main__":
    main()
