"""A law fitted to the rows of a table: kernels on them, or a Gaussian mixture."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from reprlib import repr as shortened
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cmcore.config import checked_seed
from cmcore.targets.empirical import Empirical
from cmcore.targets.gaussian_mixture import GaussianMixture
from cmcore.targets.table_target import TableTarget

Density = Literal["kernel_density", "gaussian_mixture"]

FEWEST_ROWS = 20
MOST_KERNELS = 2_000
"""Kernels of a kernel density unless more are asked for. A score costs 1 to 3 ns of one core for each, so that 4,000
exact trajectories to learn from take some 7 s; below 500 kernels less is gained than the rest of a training costs."""
BANDWIDTHS = (0.01, 3.0)
"""What may be chosen for a bandwidth, in sd of the columns."""
SMALLEST_SD = 0.05
"""Floor on kernels and components, in sd of the columns: rounded data would otherwise collapse to atoms."""


def fit_table(
    values: np.ndarray,
    *,
    name: str,
    columns: Sequence[str],
    notes: Sequence[str],
    density: Density | str = "kernel_density",
    dim: int | None = None,
    held_out: float = 0.2,
    max_rows: int = 20_000,
    max_components: int = 12,
    seed: int = 0,
    bandwidth: float | None = None,
    max_kernels: int | None = None,
    one_unit: bool = False,
) -> TableTarget:
    """Rows [n, c] as a target: split, standardise, project, fit; arguments as in :func:`cmcore.targets.read_table`.

    With `one_unit` all columns share a unit (pixels, say), and are left unscaled before the projection.
    """
    _check_choices(density, bandwidth, seed)
    _check_counts(dim, held_out, max_rows=max_rows, max_components=max_components, max_kernels=max_kernels)
    most = MOST_KERNELS if max_kernels is None else max_kernels
    notes = list(notes)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(checked_seed(seed))).numpy()
    if len(values) > max_rows:
        notes.append(f"{max_rows:,} of {len(values):,} rows were sampled.")
    rows = values[order[:max_rows]]
    kept_out = min(max(1, round(held_out * len(rows))), len(rows) - 2)
    train, unseen = rows[kept_out:], rows[:kept_out]
    centre, directions, projection = _coordinates(train, columns, dim, one_unit=one_unit)
    points, others = (torch.from_numpy((part - centre) @ projection) for part in (train, unseen))
    if density == "kernel_density":
        if len(points) > most:
            notes.append(f"The kernel density stands on {most:,} of the {len(points):,} training rows.")
        kernels = points[:most]
        law = Empirical(kernels, _bandwidth(kernels) if bandwidth is None else float(bandwidth), name=name)
    else:
        law = _gaussian_mixture(points, max_components, seed, name)
    return TableTarget(
        law,
        name=name,
        columns=columns,
        train=points,
        held_out=others,
        centre=torch.from_numpy(centre),
        directions=torch.from_numpy(directions),
        projection=torch.from_numpy(projection),
        notes=notes,
    )


def _coordinates(
    train: np.ndarray, columns: Sequence[str], dim: int | None, *, one_unit: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre [c], directions [d, c] and projection [c, d] of coordinates with unit variance."""
    centre, scale = train.mean(axis=0), train.std(axis=0)
    if dim is None:
        _refuse_constants(columns, scale, centre)
        return centre, np.diag(scale), np.diag(1 / scale)
    if one_unit:
        scale = np.ones_like(scale)
    else:
        _refuse_constants(columns, scale, centre)
    if not 1 <= dim <= min(train.shape):
        raise ValueError(
            f"A table of {train.shape[1]} columns has 1 to {min(train.shape)} principal components, not {dim}."
        )
    _, singular, axes = np.linalg.svd((train - centre) / scale, full_matrices=False)
    spread = singular[:dim] / math.sqrt(len(train))
    if spread[-1] <= 1e-10 * spread[0]:
        raise ValueError(f"The columns depend on each other: fewer than {dim} principal components vary. Lower dim.")
    return centre, spread[:, None] * axes[:dim] * scale, axes[:dim].T / scale[:, None] / spread


def _bandwidth(points: Tensor) -> float:
    """The bandwidth of largest leave-one-out likelihood: the best of 16 from 0.05 to 1.5, then between its neighbours.

    The sums are float32: they decide three digits of a bandwidth, and nothing exact.
    """
    from scipy.optimize import minimize_scalar

    d = points.shape[1]
    squares = torch.cat([torch.cdist(part, points).square().float() for part in points.split(256)])
    nearest = squares.fill_diagonal_(math.inf).amin(1, keepdim=True)
    beyond, nearest = squares.sub_(nearest), nearest.double()

    def loss(log_h: float) -> float:
        precision = math.exp(-2 * log_h)
        sums = (beyond * (-precision / 2)).exp_().sum(1).double().log()
        return float((nearest[:, 0] * precision / 2 - sums).mean()) + d * log_h

    grid = np.linspace(math.log(SMALLEST_SD), math.log(1.5), 16)
    best = min(range(16), key=lambda i: loss(grid[i]))
    ends = grid[max(0, best - 1)], grid[min(15, best + 1)]
    fine = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-3})
    return max(SMALLEST_SD, math.exp(float(fine.x)))


def _check_choices(density: str, bandwidth: float | None, seed: int) -> None:
    if density not in ("kernel_density", "gaussian_mixture"):
        raise ValueError(f'density must be "kernel_density" or "gaussian_mixture"; got {shortened(density)}.')
    if bandwidth is not None:
        low, high = BANDWIDTHS
        if density != "kernel_density":
            raise ValueError('A bandwidth belongs to density "kernel_density"; leave it out for a Gaussian mixture.')
        if not _is_between(bandwidth, low, high):
            raise ValueError(f"bandwidth is {low} to {high:g} standard deviations; got {shortened(bandwidth)}.")
    if not (_is_whole(seed) and 0 <= seed < 2**63):
        raise ValueError(f"A seed is a whole number from 0 to 2^63 − 1; got {shortened(seed)}.")


def _check_counts(dim: int | None, held_out: float, **counts: int | None) -> None:
    if not _is_between(held_out, 0.0, 1.0) or held_out in (0, 1):
        raise ValueError(f"held_out is a share of the rows between 0 and 1; got {shortened(held_out)}.")
    if dim is not None and not _is_whole(dim):
        raise ValueError(f"dim is a whole number of principal components; got {shortened(dim)}.")
    for name, value in counts.items():
        least = 1 if name == "max_components" else FEWEST_ROWS
        if value is None and name == "max_kernels":
            continue
        if value is None or not (_is_whole(value) and value >= least):
            raise ValueError(f"{name} is a whole number of at least {least}; got {shortened(value)}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_between(value: object, low: float, high: float) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high


def _gaussian_mixture(points: Tensor, most: int, seed: int, name: str) -> GaussianMixture:
    """Full covariances by EM (scikit-learn); as many components, up to `most`, as BIC asks for."""
    from sklearn.mixture import GaussianMixture as Fit

    rows = points.numpy()
    enough = max(1, len(rows) // (2 * (rows.shape[1] + 1)))
    fits = [  # points.numpy() is a call of torch, at each of which a job of the page can be ended
        Fit(k, reg_covar=SMALLEST_SD**2, random_state=seed % 2**32, max_iter=200).fit(points.numpy())
        for k in range(1, min(most, enough) + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(rows))
    covariances = np.asarray(best.covariances_)
    return GaussianMixture(best.weights_, best.means_, (covariances + covariances.transpose(0, 2, 1)) / 2, name=name)


def _refuse_constants(columns: Sequence[str], scale: np.ndarray, centre: np.ndarray) -> None:
    for column, spread, level in zip(columns, scale, centre, strict=True):
        if not np.isfinite(spread) or spread <= 1e-12 * max(1e-300, abs(level)):
            raise ValueError(f"Column {column!r} is constant (or beyond what can be scaled); leave it out.")
