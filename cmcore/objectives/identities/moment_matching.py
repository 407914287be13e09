r"""Moment matching: jumps from two neighbouring times push to one law, compared over groups of particles."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, LossContext, Velocity
from cmcore.objectives.clocks import Clock
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.consistency import Consistency, Step
from cmcore.settings import OnlyWith

Kernel = Literal["laplace", "negative_square"]


def matching(
    y: Float[Tensor, "*g m d"], z: Float[Tensor, "*g m d"], kernel: Kernel, width: Float[Tensor, "*g 1 1"]
) -> Float[Tensor, "*g"]:
    r"""Σ_{ij} [k(y_i, y_j) + k(z_i, z_j) − k(y_i, z_j) − k(z_i, y_j)]/m², the squared MMD of two groups of m.

    k is exp(−|x − y|/width), or −|x − y|², with which one particle a group gives 2 |y − z|².
    """

    def k(a: Tensor, b: Tensor) -> Tensor:
        squared = (a[..., :, None, :] - b[..., None, :, :]).square().sum(-1)
        return -squared if kernel == "negative_square" else (-squared.clamp_min(1e-12).sqrt() / width).exp()

    return (k(y, y) + k(z, z) - k(y, z) - k(z, y)).mean((-2, -1))


@OBJECTIVES.register("moment_matching")
@dataclass(frozen=True)
class MomentMatching(Consistency):
    r"""The law of f(x_t, t, s) equals that of sg f(x_r, r, s), within groups of M rows that share (t, r, s).

    .. math:: L = E\,\mathrm{MMD}^2_k\big(\{f(x_t^i,t,s)\}_i, \{\mathrm{sg} f(x_r^i,r,s)\}_i\big)/\mathrm{out}^2

    With M = 1 and k = −|x − y|² it is twice consistency training with errors of F. A negative-square kernel with M > 1
    compares means alone. Zhou et al. 2025, arXiv:2503.07565.
    """

    step: Step = "level"
    intervals: int = 512
    particles: Annotated[
        int, Field(ge=1, le=65_536, description="M, rows in a group; rows that fill no group are left over")
    ] = 4
    kernel: Annotated[Kernel, Field(description="exp(−|x − y|/(out · kernel_width)), or −|x − y|²")] = "laplace"
    kernel_width: Annotated[  # narrower, no particle sees another
        float, Field(ge=0.01, le=1e4, description="in units of `out`"), OnlyWith("kernel", "laplace")
    ] = 1.0

    label: ClassVar[str] = "Moment matching"
    known_for: ClassVar[str] = "Behind IMM."
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "learned", "exact")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diagonal_share:
            raise ValueError("Moment matching compares groups, and the diagonal has none: leave diagonal_share at 0.")

    def check_batch(self, size: int) -> None:
        super().check_batch(size)
        if size < self.particles:
            raise ValueError(f"A batch of {size} has no group of {self.particles}: choose a larger batch.")

    def _angles(self, clock: Clock, chance: Tensor, size: int, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        row = torch.arange(chance.shape[1], device=chance.device)
        first = row - row % size % self.particles  # of the row's group, which lies in one batch
        return super()._angles(clock, chance[:, first], size, progress)

    @property
    def has_manual_gradient(self) -> bool:
        return False  # its kernel compares rows with one another

    def loss(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        n = batch.x.shape[-2] // self.particles * self.particles
        rows = batch.rows(slice(n))
        f, (x, theta, gap) = context.flow_map, rows[:3]
        landing = f.landing(x, theta, gap, f.direction(x, theta, gap, for_weights=True))
        wanted = self.target_landing(context, rows)
        _, out = f.preconditioning(theta, gap)
        in_groups = (*x.shape[:-2], n // self.particles, self.particles)
        y, z, scale = (a.reshape(*in_groups, a.shape[-1]) for a in (landing, wanted, out))
        first = scale[..., :1, :]
        # Distances in units of `out`: what the network's own answers are apart.
        mmd = matching(y / first, z / first, self.kernel, torch.full_like(first, self.kernel_width))
        return mmd.mean(-1)
