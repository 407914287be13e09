"""What Diagnostics measured, as CSV, table rows and values for its figures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.figures.heat import Field
from app.figures.mode_mass import ModeRow
from app.figures.over_time import MeanAtTime
from app.pages.inside.compute import Masses, OverTimes, PathBends, PlaneMaps, TimeMaps, angles_of
from app.quoting import escape
from app.ui.cards import number
from cmcore.spreadsheet import as_csv
from cmcore.theory import Interval


def field_of(maps: PlaneMaps | TimeMaps, quantity: str, *, s: float) -> Field:
    """The lattice of one quantity, coloured where p_t has its mass."""
    return _field(maps, np.where(maps.inside, maps.values[quantity], np.nan), s)


def determinant_fields(maps: PlaneMaps | TimeMaps, *, s: float) -> tuple[Field, Field]:
    """log |det| of the map and of the exact flow."""
    sizes = (maps.log_size, maps.exact_log_size)
    learned, exact = (_field(maps, np.where(maps.inside, size, np.nan), s) for size in sizes)
    return learned, exact


def _field(maps: PlaneMaps | TimeMaps, values: np.ndarray, s: float) -> Field:
    if isinstance(maps, TimeMaps):
        return Field(np.array(angles_of(maps.times)), maps.axis, values, times=maps.times, end=s)
    return Field(maps.axis, maps.axis, values, density=maps.density, levels=maps.levels[:-1])


def means_of(times: OverTimes, quantity: str) -> list[MeanAtTime]:
    quantities = zip(times.times, times.values[quantity], strict=True)
    return [MeanAtTime(t, rms.value, rms.low, rms.high, median, most) for t, (rms, median, most) in quantities]


def mode_rows(masses: Masses) -> list[ModeRow]:
    """One row a mode, named by where it is."""
    if masses.modes is None:
        return []
    modes = zip(masses.modes.centres.tolist(), masses.modes.masses, masses.model.masses, strict=True)
    return [ModeRow(_place(at), exact, m.value, m.low, m.high) for at, exact, m in modes]


def leak(masses: Masses) -> Interval:
    """The share of samples on no mode."""
    return masses.model.leakage


def _place(centre: Sequence[float]) -> str:
    words = ", ".join(f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−") for value in centre)
    return f"({words})" if len(centre) > 1 else words


def share_words(share: Interval) -> str:
    """A share in per cent with its interval."""
    return f"{_percent(share.value)} ({_percent(share.low)} … {_percent(share.high)} %)".replace(" (", " % (", 1)


def _percent(value: float) -> str:
    return "0" if value < 5e-6 else number(100 * value, 2)


def masses_rows(by_steps: Mapping[int, Masses]) -> str:
    """Rows of the table: every mode, then the leakage, over N."""
    some = next(iter(by_steps.values()))
    lines = [
        _row(row.label, f"{row.exact:.4f}", [mode_rows(masses)[i] for masses in by_steps.values()])
        for i, row in enumerate(mode_rows(some))
    ]
    leaks = [leak(masses) for masses in by_steps.values()]
    return "".join(lines) + _row("outside all", f"{some.floor:.2g}", leaks)


def _row(label: str, exact: str, cells: Iterable[ModeRow | Interval]) -> str:
    intervals = "".join(f"<td>{cell.value:.4f} <small>{cell.low:.4f} … {cell.high:.4f}</small></td>" for cell in cells)
    return f"<tr><th scope='row'>{escape(label)}</th><td>{exact}</td>{intervals}</tr>"


# ---- CSV --------------------------------------------------------------------------------------------------------
def map_csv(maps: PlaneMaps | TimeMaps, *, t: float, s: float) -> str:
    """Every point of the lattice with every quantity, both determinants and p_t."""
    across = isinstance(maps, TimeMaps)
    names = list(maps.values)
    header = [*(["x", "t"] if across else ["x1", "x2", "t"]), "s", *names, "det", "exact det", "density"]
    rows = []
    for i, j in np.ndindex(maps.density.shape):
        at = [maps.axis[i], maps.times[j]] if isinstance(maps, TimeMaps) else [maps.axis[j], maps.axis[i], t]
        dets = maps.sign[i, j] * _exp(float(maps.log_size[i, j])), _exp(float(maps.exact_log_size[i, j]))
        rows.append([*at, s, *(maps.values[name][i, j] for name in names), *dets, maps.density[i, j]])
    return _csv(header, rows)


def times_csv(times: OverTimes, *, s: float) -> str:
    """Every mean with its interval, and the share turned over."""
    rows = [
        [name, mean.t, s, mean.value, mean.low, mean.high, mean.median, mean.most]
        for name in times.values
        for mean in means_of(times, name)
    ]
    folds = zip(times.times, times.folds, strict=True)
    rows += [["fold share", t, s, share.value, share.low, share.high, "", ""] for t, share in folds]
    return _csv(["quantity", "t", "s", "value", "low", "high", "median", "95 % below"], rows)


def bends_csv(bends: PathBends) -> str:
    """Every path: where it starts, S and R of the exact path and of the model's."""
    starts = [f"x{i + 1}" for i in range(bends.starts.shape[1])]
    bent = [*bends.exact, *(bends.model or ())]
    rows = [[*start, *map(float, values)] for start, *values in zip(bends.starts.tolist(), *bent, strict=True)]
    header = [f"{whose} {what}" for whose in ("exact", "model")[: len(bent) // 2] for what in ("S", "R")]
    return _csv([*starts, *header], rows)


def masses_csv(by_steps: Mapping[int, Masses]) -> str:
    """Every mode at every N, and what is on none."""
    rows = []
    for steps, masses in by_steps.items():
        rows += [[steps, row.label, row.exact, row.value, row.low, row.high] for row in mode_rows(masses)]
        out = leak(masses)
        rows.append([steps, "outside all", masses.floor, out.value, out.low, out.high])
    return _csv(["N", "mode", "exact", "value", "low", "high"], rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return as_csv(
        header,
        ([f"{float(cell):.6g}" if isinstance(cell, float | np.floating) else cell for cell in row] for row in rows),
    )


def _exp(value: float) -> float:
    return math.exp(min(700.0, value))
