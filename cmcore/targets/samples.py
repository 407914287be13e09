"""A law of which only samples are known: no density, no score."""

from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.process import Time
from cmcore.targets.base import NoDensity, Target


class Samples(Target):
    """Rows of data, drawn again with replacement; no density and no score at any time.

    Maps are learned from it by the objectives that need samples only, or through a learned teacher. Nothing exact can
    be said of it, so no KL either; a :class:`~cmcore.targets.TableTarget` is the same rows with a law fitted to them.

    Args:
        points: the rows, [n, d], finite.
        name: what people call it.
    """

    smooth = False
    has_density = False
    has_score = False

    def __init__(self, points: Float[Tensor, "n d"], *, name: str = "samples") -> None:
        points = torch.as_tensor(points, dtype=torch.float64)
        if points.ndim != 2 or points.shape[0] < 2 or points.shape[1] < 1:
            raise ValueError(f"Samples are rows of coordinates, [n, d] with n ≥ 2; got shape {tuple(points.shape)}.")
        if not bool(torch.isfinite(points).all()):
            raise ValueError("Samples must be finite: remove rows with missing or infinite values.")
        self.points, self.name, self.dim = points, name, points.shape[1]

    def sample_data(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "{n} d"]:
        rows = torch.randint(len(self.points), (n,), generator=generator, device=generator.device)
        return self.points.to(generator.device)[rows]

    def log_prob(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> NoReturn:
        raise NoDensity(f"{self.name} is known by its samples alone: it has no density to ask for.")

    def score(self, x: Float[Tensor, "n d"], t: Time = 0.0) -> NoReturn:
        raise NoDensity(f"{self.name} is known by its samples alone: it has no score to ask for.")

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.points.mean(0)

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        return torch.cov(self.points.T, correction=0).reshape(self.dim, self.dim)
