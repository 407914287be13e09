"""A table as a target: a law smoothed from its rows.

A table is a finite sample, so its law is unknown. Here it becomes a target by smoothing: a kernel density on its rows,
or a Gaussian mixture fitted to them. That smoothed law is exact at every noise level, and it, not the population, is
the truth that models are measured against. Rows kept out of the fit say how far the two are apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.config import checked_seed
from cmcore.process import Time
from cmcore.targets.base import Target
from cmcore.targets.empirical import Empirical
from cmcore.targets.gaussian_mixture import GaussianMixture


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
            made = f"a kernel density on {len(self._law.points):,} of its rows (bandwidth {self._law.bandwidth:.2g}"
        else:
            made = f"a Gaussian mixture fitted to {len(self.train):,} of its rows ({len(self._law.weights)} components"
        return f"Reference: {made}, in standard deviations), not the population the table was drawn from."

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
        generator = torch.Generator().manual_seed(checked_seed(seed))
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


def _to_nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Distance from each point to the nearest centre."""
    return torch.cat([torch.cdist(piece, centres).amin(1) for piece in points.split(2048)])
