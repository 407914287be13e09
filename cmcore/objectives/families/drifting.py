r"""Drifting."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, BatchSource, LossContext, Need, Objective, Paper
from cmcore.process import angle, round_angle
from cmcore.settings import Share

SHORTEST = 1e-3
"""Length of the shortest jump, in units of the longest: one of no length moves nothing."""


class Particles(NamedTuple):
    """Rows of a batch, groups one after another; rows of a group share their times.

    Attributes:
        x: states at θ_t, [*, n, d].
        y: other draws of the data, at δ, [*, n, d].
        theta, gap: θ_t and θ_t − θ_δ, [*, n, 1].
    """

    x: Tensor
    y: Tensor
    theta: Tensor
    gap: Tensor


def drift(
    x: Float[Tensor, "*g n d"], y: Float[Tensor, "*g n d"], temperature: float
) -> tuple[Float[Tensor, "*g n d"], Float[Tensor, "*g 1 1"]]:
    r"""V(x_i) = Σ_j w⁺_ij y_j − Σ_j w⁻_ij x_j, towards where y is denser than x; and D/√d.

    w⁺ and w⁻ are softmax over j ≠ i of −|x_i − y_j|/(τ D) and of −|x_i − x_j|/(τ D), D the root mean square distance of
    all x and y. Exchanging x_j and y_j for all j ≠ i changes its sign, so that its mean is 0 where both have one law.
    """
    itself = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
    scale = (2 * torch.cat((x, y), -2).var(-2, keepdim=True).mean(-1, keepdim=True)).sqrt()  # of one coordinate
    width = (temperature * x.shape[-1] ** 0.5 * scale).clamp_min(torch.finfo(x.dtype).tiny)
    towards, away = (
        (-(x[..., :, None, :] - z[..., None, :, :]).norm(dim=-1) / width).masked_fill(itself, -torch.inf).softmax(-1)
        @ z
        for z in (y, x)
    )
    return towards - away, scale


@OBJECTIVES.register("drifting")
@dataclass(frozen=True)
class Drifting(Objective[Particles]):
    r"""Drifting: jumps to δ move, step by step of the training, towards the data and away from one another.

    .. math:: E\,\big|\tilde x - \mathrm{sg}(\tilde x + V(\tilde x))\big|^2, \quad
              V = \sum_j w^+_j y_j - \sum_j w^-_j x_j, \quad w^\pm \propto e^{-|x - \cdot\,|/(\tau D)}

    x = f(x_t, t, δ) are the jumps of a group, y data, D their root mean square distance, x̃ = x √d/D, and no particle
    weighs on itself. No ODE is followed: V is 0 on average where both have one law, however its points were paired, so
    that the map is a generator and not the flow map. Deng et al. 2026, arXiv:2602.04770, equations 6 and 8–12, and the
    authors' code, where all jumps start from noise (from_noise = 1), 64 particles (here 128) make a group, and the
    drifts of τ = 0.02, 0.05 and 0.2 are each scaled to size 1 and added (here τ = 0.1 alone, not scaled). Here a
    particle's own index is left out among the data too, which makes the mean of V exactly 0 with any number of them;
    their second normalisation, over the particles, biases it and is left out, as are features and guidance. That groups
    also start at other times, so that one can jump, renoise and jump once more, is ours.
    """

    particles: Annotated[  # each drifts among others
        int,
        Field(
            ge=2,
            le=65_536,
            description="in a group; a smaller batch is one group, and rows that make none are left over",
        ),
    ] = 128
    temperature: Annotated[float, Field(ge=1e-3, le=100, description="τ, in units of D")] = 0.1
    from_noise: Annotated[
        Share, Field(description="share of the groups that start at T; the others start at times uniform in angle")
    ] = 0.5

    label: ClassVar[str] = "Drifting, one step without an ODE"
    paper: ClassVar[Paper] = Paper(2026, "2602.04770")
    known_for: ClassVar[str] = "One step without an ODE: samples drift to the data while the generator is trained."
    settings: ClassVar[Mapping[str, float | int]] = MappingProxyType({"batch": 512})

    @property
    def needs(self) -> Need:
        return "samples"

    @property
    def single_time(self) -> bool:
        return True

    def prepare(self, source: BatchSource) -> BatchSource:
        return source

    def batches(
        self, prepared: BatchSource, count: int, size: int, *, generator: torch.Generator, progress: float = 0.0
    ) -> Iterator[Particles]:
        del progress
        n, target, device = count * size, prepared.target, prepared.device
        data = target.sample(2 * n, generator=generator, dtype=torch.float32).to(device)
        noise = torch.randn(2 * n, target.dim, generator=generator).to(device)
        theta = self._angles(prepared, n, size, generator).to(device)
        first = angle(torch.full_like(theta, prepared.delta))
        angles = round_angle(torch.cat((theta, first)), torch.float32)
        x, y = (angles.cos() * data + angles.sin() * noise).split(n)
        columns = (x, y, angles[:n], (theta - first).float())
        yield from map(Particles._make, zip(*(column.split(size) for column in columns), strict=True))

    def _angles(self, source: BatchSource, n: int, size: int, generator: torch.Generator) -> Tensor:
        """θ_t of each row, one for the rows of a group, [n, 1] in float64."""
        chance = torch.rand(2, n, generator=generator, dtype=torch.float64)
        row = torch.arange(n)
        start, share = chance[
            :, row - row % size % min(size, self.particles)
        ]  # of the row's group, which lies in one batch
        first, last = angle(torch.tensor([source.delta, source.horizon], dtype=torch.float64)).tolist()
        theta = last - (last - first) * start * (1 - SHORTEST)
        return torch.where(share < self.from_noise, last, theta)[:, None]

    def loss(self, context: LossContext, batch: Particles) -> Float[Tensor, "*s"]:
        group = min(batch.x.shape[-2], self.particles)
        n = batch.x.shape[-2] // group * group
        x, y, theta, gap = (column[..., :n, :] for column in batch)
        f = context.flow_map
        landing = f.landing(x, theta, gap, f.direction(x, theta, gap, for_weights=True))
        in_groups = (*x.shape[:-2], n // group, group, x.shape[-1])
        particles, data = landing.reshape(in_groups), y.reshape(in_groups)
        with torch.no_grad():
            field, scale = drift(particles, data, self.temperature)
            wanted = particles + field
        return ((particles - wanted) / scale).square().sum(-1).mean((-2, -1))
