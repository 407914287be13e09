"""What Inside shows of a run, computed: maps over the plane, curves over time, bends of paths, masses of modes.

Everything is measured against the exact flow by :mod:`cmcore.diagnostics`; here it is laid out for pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import cmcore as cm
from app.runs.library import Run
from app.stage.scene import extent_of
from cmcore.diagnostics import (
    QUANTITIES,
    Bends,
    ModeMass,
    Modes,
    OverLaw,
    Quantity,
    determinant,
    exact_bends,
    exact_determinant,
    exact_pairs,
    map_bends,
    mode_mass,
    modes_of,
    path_times,
)
from cmcore.divergences.tools.off_mode import density_level, off_mode_mass
from cmcore.process import angle, time_from_angle
from cmcore.samplers import starting_noise
from cmcore.sampling_defaults import SamplingDefaults, sampling_defaults
from cmcore.theory import Interval, share

SEED = 4
SIDE = 64
"""Points along each side of a map over the plane; an even number, so that none is the centre, where symmetric flows
divide and no solver knows which way."""
ACROSS, LEVELS = 141, 61
"""Points of x and times of a map over the line and time."""
PATHS = 2_048
"""Exact paths behind a curve over time."""
STARTS = 600
"""Paths whose bends are measured, of as many starts of noise."""
BEND_LEVELS = 40
DRAWS = 16_384
"""Samples behind the masses of modes."""
TIMES = 16
ENDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
DRAWN = 1e-5
"""Local error of exact landings on maps: a tenth of the smallest error that has a colour."""
SHOWN = 1 - np.exp(-8)
"""The share of p_t whose highest-density region is coloured; beyond it a map is hardly ever asked."""
CONTOURS = (0.5, 0.95)
"""Shares of p_t inside the contour lines."""


@dataclass(frozen=True)
class PlaneMaps:
    """Every quantity on an even lattice of the plane, for one jump.

    Attributes:
        axis: the lattice's coordinates, the same both ways, [side].
        values: by quantity, rows along the second coordinate, [side, side].
        sign, log_size: of the map's Jacobian determinant.
        exact_log_size: of the exact flow's, which is positive.
        density: p_t, as a share of its largest value.
        levels: of `density`, around the shares CONTOURS of p_t and around what is coloured.
    """

    axis: np.ndarray
    values: Mapping[str, np.ndarray]
    sign: np.ndarray
    log_size: np.ndarray
    exact_log_size: np.ndarray
    density: np.ndarray
    levels: tuple[float, ...]

    @property
    def inside(self) -> np.ndarray:
        """Where p_t has all but e^{-8} of its mass."""
        return self.density >= self.levels[-1]


@dataclass(frozen=True)
class TimeMaps:
    """The same on the line, for every t: rows along x, columns along time from T down to just above s."""

    axis: np.ndarray
    times: tuple[float, ...]
    values: Mapping[str, np.ndarray]
    sign: np.ndarray
    log_size: np.ndarray
    exact_log_size: np.ndarray
    density: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class OverTimes:
    """What each quantity is over p_t, and the share that is turned over, at increasing times t > s."""

    times: tuple[float, ...]
    values: Mapping[str, tuple[OverLaw, ...]]
    folds: tuple[Interval, ...]


@dataclass(frozen=True)
class PathBends:
    """Bends of paths from the same starts; `model` is None where the map has no path of its own."""

    starts: np.ndarray
    exact: Bends
    model: Bends | None


@dataclass(frozen=True)
class Masses:
    """Where samples in N jumps lie; `modes` and `model.masses` are empty where modes are not told apart.

    Attributes:
        floor: the exact share outside every mode.
        model: shares of the samples.
        sampler: how they were drawn.
    """

    modes: Modes | None
    floor: float
    model: ModeMass
    sampler: str


# ---- what can be asked ------------------------------------------------------------------------------------------
def offered(run: Run, s: float) -> dict[str, Quantity]:
    """The quantities that make sense for this run and end."""
    own = _own(run)
    return {
        name: quantity
        for name, quantity in QUANTITIES.items()
        if not own.single_time or (s == run.model.delta and not quantity.between and not quantity.along_end)
    }


def start_times(run: Run, s: float) -> list[float]:
    """The t offered, from T down to just above s: even in θ, to three digits."""
    horizon, delta = run.model.horizon, run.model.delta
    late, early = angles_of((horizon, delta))
    angles = early + (late - early) * torch.arange(TIMES - 1, 0, -1, dtype=torch.float64) / TIMES
    times = [horizon, *(float(f"{t:.3g}") for t in time_from_angle(angles).tolist())]
    return [t for t in times if t > s]


def end_times(run: Run) -> list[float]:
    """The s offered: δ and later times; δ alone for a run that learned jumps to it alone."""
    delta = run.model.delta
    return [delta] if _own(run).single_time else [delta, *(s for s in ENDS if s > delta)]


def angles_of(times: Sequence[float]) -> tuple[float, ...]:
    """θ of each time."""
    return tuple(angle(torch.tensor(times, dtype=torch.float64)).tolist())


def own_draw(run: Run) -> dict[str, Any]:
    """How samples are drawn, for `cm.sample`: without noise after the last jump, since shares of modes need none."""
    own = _own(run)
    return {"sampler": own.sampler, "renoise": own.renoise, "noiseless_end": True} if own.sampler == "renoise" else {}


def has_paths(run: Run) -> bool:
    """Whether the map's landings, as s moves, draw a path of its own."""
    return not _own(run).single_time


def _own(run: Run) -> SamplingDefaults:
    return sampling_defaults(run.model.config)


# ---- maps -------------------------------------------------------------------------------------------------------
def plane_maps(run: Run, t: float, s: float) -> PlaneMaps:
    """All maps of the jump from t to s over the square that the stage shows, d = 2."""
    extent = extent_of(run.target)
    axis = torch.linspace(-extent, extent, SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    jump = _jump(run, torch.stack([x, y], dim=-1).reshape(-1, 2), t, s)
    square = (SIDE, SIDE)
    density = jump.density.reshape(square)
    return PlaneMaps(
        axis.numpy(),
        {name: values.reshape(square) for name, values in jump.values.items()},
        jump.sign.reshape(square),
        jump.log_size.reshape(square),
        jump.exact_log_size.reshape(square),
        density / density.max(),
        _levels(density),
    )


def time_maps(run: Run, s: float) -> TimeMaps:
    """All maps of the jumps to s over x and t, d = 1."""
    extent = extent_of(run.target)
    axis = torch.linspace(-extent, extent, ACROSS, dtype=torch.float64)
    late, early = angles_of((run.model.horizon, s))
    angles = late + (early - late) * torch.arange(LEVELS, dtype=torch.float64) / LEVELS
    times = (run.model.horizon, *time_from_angle(angles[1:]).tolist())
    jumps = [_jump(run, axis[:, None], t, s) for t in times]
    inside = [jump.density >= jump.density.max() * _levels(jump.density)[-1] for jump in jumps]
    return TimeMaps(
        axis.numpy(),
        times,
        {name: np.stack([jump.values[name] for jump in jumps], axis=1) for name in jumps[0].values},
        np.stack([jump.sign for jump in jumps], axis=1),
        np.stack([jump.log_size for jump in jumps], axis=1),
        np.stack([jump.exact_log_size for jump in jumps], axis=1),
        np.stack([jump.density for jump in jumps], axis=1),
        np.stack(inside, axis=1),
    )


class _Jump(NamedTuple):
    """Every quantity offered, both determinants and p_t at some points, float32."""

    values: dict[str, np.ndarray]
    sign: np.ndarray
    log_size: np.ndarray
    exact_log_size: np.ndarray
    density: np.ndarray


def _jump(run: Run, x: Tensor, t: float, s: float) -> _Jump:
    f, target = run.model.flow_map, run.target
    truth = cm.ExactFlow(target, tolerance=DRAWN)(x, t, s)
    values = {name: q.at(f, target, x, t, s, truth=truth) for name, q in offered(run, s).items()}
    learned = determinant(f, x, t, s)
    exact = exact_determinant(target, x, t, s, truth=truth)
    columns = learned.sign, learned.log_size, exact.log_size, target.log_prob(x, t).exp()
    return _Jump({name: _small(column) for name, column in values.items()}, *map(_small, columns))


def _small(column: Tensor) -> np.ndarray:
    return column.numpy().astype(np.float32)


def _levels(density: np.ndarray) -> tuple[float, ...]:
    """Levels of p/max p around the smallest regions of an even lattice that hold the shares CONTOURS and SHOWN."""
    falling = np.sort(density.astype(np.float64), axis=None)[::-1]
    within = np.cumsum(falling) / falling.sum()
    at = [min(int(np.searchsorted(within, part)), falling.size - 1) for part in (*CONTOURS, SHOWN)]
    return tuple(float(falling[i] / falling[0]) for i in at)


# ---- over time, along paths, by mode ----------------------------------------------------------------------------
def over_times(run: Run, s: float) -> OverTimes:
    """Root mean squares over p_t and fold shares at every time offered."""
    f, target = run.model.flow_map, run.target
    times = sorted(start_times(run, s))
    pairs = exact_pairs(target, times, s, seed=SEED, n=PATHS, tolerance=1e-6)
    values = {name: tuple(q.over_times(f, target, pairs)) for name, q in offered(run, s).items()}
    turned = [determinant(f, x, t, s).sign < 0 for x, t in zip(pairs.states, times, strict=True)]
    return OverTimes(tuple(times), values, tuple(share(int(where.sum()), PATHS) for where in turned))


def bends_of(run: Run) -> PathBends:
    """How much the exact paths from T to δ bend, and the curves of the map's landing points from the same noise."""
    noise = starting_noise(STARTS, run.target.dim, seed=SEED).double()
    times = path_times(run.model.horizon, run.model.delta, BEND_LEVELS)
    exact = exact_bends(run.target, noise, times, tolerance=1e-5)
    own = map_bends(run.model.flow_map, noise, times) if has_paths(run) else None
    return PathBends(noise[:, :2].numpy(), exact, own)


def masses_of(run: Run, steps: int) -> Masses:
    """The share of samples, drawn as the run is best drawn, on each mode of p_δ and on none."""
    own, target, delta = _own(run), run.target, run.model.delta
    points = cm.sample(run.model, DRAWS, steps, seed=SEED, **own_draw(run)).points.double()
    if target.dim <= 2:
        modes = modes_of(target, delta)
        return Masses(modes, modes.outside, mode_mass(modes, points), own.sampler)
    off = off_mode_mass(target, target.log_prob(points, delta), delta=delta)
    leaked = share(round(off * DRAWS), DRAWS)
    return Masses(None, density_level(target, delta)[1], ModeMass((), leaked, DRAWS), own.sampler)
