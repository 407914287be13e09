"""A table as a target: a law smoothed from its rows.

A table is a finite sample, so its law is unknown. Here it becomes a target by smoothing: a kernel density on its rows,
or a Gaussian mixture fitted to them. That smoothed law is exact at every noise level, and it, not the population, is
the truth that models are measured against. Rows kept out of the fit say how far the two are apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time
from cmcore.targets.base import Target
from cmcore.targets.empirical import Empirical
from cmcore.targets.gaussian_mixture import GaussianMixture

__all__ = ["Density", "Memorisation", "TableTarget", "fit_table"]

Density = Literal["kernel_density", "gaussian_mixture"]

FEWEST_ROWS = 20
MOST_CENTRES = 500
"""Kernels kept by a kernel density; every score of the law costs one term for each."""
SMALLEST_SD = 0.05
"""Floor on kernels and components, in sd of the columns: rounded data would otherwise collapse to atoms."""


@dataclass(frozen=True)
class Memorisation:
    """How near samples lie to the training rows, against how near rows do that were never trained on.

    Attributes:
        ratio: mean distance from a sample to its nearest training row, divided by the same mean over held-out rows.
            Samples of the population itself have ratio 1; copies of training rows have ratio 0.
        low, high: a 95 % interval for it, from the spread of both means.
        expected: the value without memorisation, 1.
        of_the_truth: the ratio of samples of the smoothed law, which a perfect model would have.
    """

    ratio: float
    low: float
    high: float
    of_the_truth: float
    expected: float = 1.0


_PARTS = ("train", "held_out", "centre", "directions", "projection")


class TableTarget(Target):
    """A smoothed table: the law fitted to its rows, in standardised coordinates, with the way back to the columns.

    Attributes:
        law: the fitted :class:`~cmcore.targets.Empirical` or :class:`~cmcore.targets.GaussianMixture`.
        columns: names of the table's columns.
        train, held_out: rows used for the fit and rows kept out of it, standardised, [n, d].
        centre, directions: table row = centre + point @ directions; [columns] and [d, columns].
        projection: point = (table row − centre) @ projection; [columns, d].
        truth: one sentence that says what the truth is.
        notes: what was done on the way in: rows sampled, columns left out.
    """

    def __init__(
        self,
        law: GaussianMixture,
        *,
        name: str,
        columns: Sequence[str],
        train: Float[Tensor, "n d"],
        held_out: Float[Tensor, "m d"],
        centre: Float[Tensor, " c"],
        directions: Float[Tensor, "d c"],
        projection: Float[Tensor, "c d"],
        notes: Sequence[str] = (),
    ) -> None:
        self._law = law
        self.name = name
        self.dim, self.smooth, self.has_density = law.dim, law.smooth, law.has_density
        self.columns, self.notes = tuple(columns), tuple(notes)
        self.train, self.held_out = train, held_out
        self.centre, self.directions, self.projection = centre, directions, projection

    @property
    def law(self) -> GaussianMixture:
        return self._law

    @property
    def truth(self) -> str:
        """One sentence that says what the truth is."""
        if isinstance(self._law, Empirical):
            made = f"a kernel density on {len(self._law.points)} of its rows (bandwidth {self._law.bandwidth:.2g}"
        else:
            made = f"a Gaussian mixture fitted to {len(self.train)} of its rows ({len(self._law.weights)} components"
        return f"The truth here is {made}, in standard deviations), not the population the table was drawn from."

    # ---- to and from the table ----------------------------------------------------------------------------------
    def to_table(self, points: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Points in the table's own units, one column each; undoes the standardisation (and PCA)."""
        return self.centre.to(points) + points @ self.directions.to(points)

    def from_table(self, rows: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """Table rows as points; with PCA, their projections."""
        return (rows - self.centre.to(rows)) @ self.projection.to(rows)

    # ---- how good the truth is ----------------------------------------------------------------------------------
    def held_out_log_likelihood(self) -> float:
        """Mean log p₀ of the held-out rows, in nats per row, standardised coordinates."""
        return float(self._law.log_prob(self.held_out).mean())

    def memorisation(self, points: Float[Tensor, "n d"], *, seed: int) -> Memorisation:
        """How much nearer `points` lie to the training rows than held-out rows do."""
        points = torch.as_tensor(points)
        if points.ndim != 2 or points.shape[1] != self.dim or len(points) < 2:
            raise ValueError(f"The memorisation check needs at least two points of {self.dim} coordinates.")
        centres = self._law.points if isinstance(self._law, Empirical) else self.train
        generator = torch.Generator().manual_seed(seed)
        perfect = self._law.sample_data(4 * len(self.held_out), generator=generator)
        model, unseen, exact = (_to_nearest(p.double().cpu(), centres) for p in (points, self.held_out, perfect))
        scale = max(float(unseen.mean()), 1e-12)
        ratio = float(model.mean()) / scale
        spread = sum(float(d.var()) / len(d) / max(float(d.mean()), 1e-12) ** 2 for d in (model, unseen))
        half = 1.96 * ratio * math.sqrt(spread)
        return Memorisation(ratio, max(0.0, ratio - half), ratio + half, float(exact.mean()) / scale)

    # ---- on disk ------------------------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which :meth:`from_state` makes this target again."""
        tensors = {f"law.{name}": tensor for name, tensor in self._law.state().items()}
        for name in _PARTS:
            tensors[name] = getattr(self, name)
        bandwidth = self._law.bandwidth if isinstance(self._law, Empirical) else None
        table = {"name": self.name, "columns": self.columns, "notes": self.notes, "bandwidth": bandwidth}
        return tensors, table

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], table: Mapping[str, Any]) -> "TableTarget":
        """The target that :meth:`state` describes. Raises ValueError when the parts do not fit each other."""
        law = {name.removeprefix("law."): tensor for name, tensor in tensors.items() if name.startswith("law.")}
        try:
            parts = {name: tensors[name].double() for name in _PARTS}
            columns, notes = ([str(item) for item in table[key]] for key in ("columns", "notes"))
            name, bandwidth = str(table["name"]), table["bandwidth"]
            made = GaussianMixture.from_state(law) if bandwidth is None else Empirical(law["means"], float(bandwidth))
        except KeyError as error:
            raise ValueError(f"The saved table lacks {error}.") from None
        made.name = name
        d, c = made.dim, len(columns)
        wanted = {"centre": (c,), "directions": (d, c), "projection": (c, d)}
        wanted |= {name: (len(parts[name]), d) for name in ("train", "held_out")}
        if any(parts[name].shape != shape for name, shape in wanted.items()):
            raise ValueError("The parts of the saved table do not fit each other.")
        return cls(made, name=name, columns=columns, notes=notes, **parts)

    # ---- the law ------------------------------------------------------------------------------------------------
    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, " n"]:
        return self._law.log_prob(x, t)

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> Float[Tensor, "n d"]:
        return self._law.score(x, t)

    def log_tails(self, x: Float[Tensor, " n"], t: Time) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        return self._law.log_tails(x, t)

    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        return self._law.sample_data(n, generator=generator)

    @property
    def components(self) -> int:
        return self.law.components

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self._law.mean

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        return self._law.covariance


# ---- from numbers to a law --------------------------------------------------------------------------------------
def fit_table(
    values: np.ndarray,
    *,
    name: str,
    columns: Sequence[str],
    notes: Sequence[str],
    density: Density | str,
    dim: int | None,
    held_out: float,
    max_rows: int,
    max_components: int,
    seed: int,
    one_unit: bool = False,
) -> TableTarget:
    """Rows [n, c] as a target: split, standardise, project, fit; arguments as in :func:`cmcore.targets.read_table`.

    With `one_unit` all columns share a unit (pixels, say), and are left unscaled before the projection.
    """
    if density not in ("kernel_density", "gaussian_mixture"):
        raise ValueError(f'density must be "kernel_density" or "gaussian_mixture"; got {density!r}.')
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is a share of the rows between 0 and 1; got {held_out!r}.")
    if max_rows < FEWEST_ROWS or max_components < 1:
        raise ValueError(f"max_rows must be at least {FEWEST_ROWS} and max_components at least 1.")
    notes = list(notes)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)).numpy()
    if len(values) > max_rows:
        notes.append(f"{max_rows} of {len(values)} rows were sampled.")
    rows = values[order[:max_rows]]
    kept_out = min(max(1, round(held_out * len(rows))), len(rows) - 2)
    train, unseen = rows[kept_out:], rows[:kept_out]
    centre, directions, projection = _coordinates(train, columns, dim, one_unit=one_unit)
    points, held = (torch.from_numpy((part - centre) @ projection) for part in (train, unseen))
    if density == "kernel_density":
        if len(points) > MOST_CENTRES:
            notes.append(f"The kernel density stands on {MOST_CENTRES} of the {len(points)} training rows.")
        law = _kernel_density(points[:MOST_CENTRES], name)
    else:
        law = _gaussian_mixture(points, max_components, seed, name)
    return TableTarget(
        law,
        name=name,
        columns=columns,
        train=points,
        held_out=held,
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


def _kernel_density(points: Tensor, name: str) -> Empirical:
    """The bandwidth of largest leave-one-out likelihood: the best of 60 from 0.05 to 1.5, then a finer search."""
    d = points.shape[1]
    squares = torch.cdist(points, points).square().fill_diagonal_(math.inf)

    def log_likelihood(h: float) -> float:
        return float((-squares / (2 * h**2)).logsumexp(1).mean() - d * math.log(h))

    coarse = max(np.geomspace(SMALLEST_SD, 1.5, 60), key=log_likelihood)
    fine = max(np.linspace(0.95 * coarse, 1.05 * coarse, 41), key=log_likelihood)
    return Empirical(points, max(SMALLEST_SD, float(fine)), name=name)


def _gaussian_mixture(points: Tensor, most: int, seed: int, name: str) -> GaussianMixture:
    """Full covariances by EM (scikit-learn); as many components, up to `most`, as BIC asks for."""
    from sklearn.mixture import GaussianMixture as Fit

    rows = points.numpy()
    enough = max(1, len(rows) // (2 * (rows.shape[1] + 1)))
    fits = [
        Fit(k, reg_covar=SMALLEST_SD**2, random_state=seed % 2**32, max_iter=200).fit(rows)
        for k in range(1, min(most, enough) + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(rows))
    covariances = np.asarray(best.covariances_)
    return GaussianMixture(best.weights_, best.means_, (covariances + covariances.transpose(0, 2, 1)) / 2, name=name)


def _to_nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Distance from each point to the nearest centre."""
    return torch.cat([torch.cdist(piece, centres).amin(1) for piece in points.split(2048)])


def _refuse_constants(columns: Sequence[str], scale: np.ndarray, centre: np.ndarray) -> None:
    for column, spread, level in zip(columns, scale, centre, strict=True):
        if not np.isfinite(spread) or spread <= 1e-12 * max(1e-300, abs(level)):
            raise ValueError(f"Column {column!r} is constant (or beyond what can be scaled); leave it out.")
