r"""Flow matching: learn the velocity alone, from samples; the learned teacher of the other objectives."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from cmcore.objectives.base import OBJECTIVES, LossContext, Paper, Velocity
from cmcore.objectives.composition import Points
from cmcore.objectives.identities.regressed import Regressed


@OBJECTIVES.register("flow_matching")
@dataclass(frozen=True)
class FlowMatching(Regressed):
    r"""L = E |F(x_t, t, t) − F_v|², F_v the answer for the velocity v = cos θ z − sin θ x₀ of the pair.

    Its minimiser is E[v | x_t], the velocity of the probability flow (Lipman et al. 2022, arXiv:2210.02747; Albergo &
    Vanden-Eijnden 2022, arXiv:2209.15571), and the same as denoising score matching (Vincent 2011) up to a weight:
    v = (cos θ x − x₀)/sin θ turns it into a denoiser, and −(x + cot θ v) is the score. The network sees one time,
    so its map f is a DDIM step. With velocity = "averaged" or "exact" the same velocity is learned with less of the
    pairs' noise, or without it.
    """

    diagonal_share: float = 1.0

    label: ClassVar[str] = "Flow matching (velocity alone)"
    paper: ClassVar[Paper] = Paper(2022, "2210.02747")
    known_for: ClassVar[str] = "The velocity alone, for many small steps: what jumps are compared with."
    velocity_only: ClassVar[bool] = True
    velocities: ClassVar[tuple[Velocity, ...]] = ("conditional", "averaged", "exact")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diagonal_share != 1:
            raise ValueError("Flow matching has no rows off the diagonal: leave diagonal_share at 1.")

    def wanted(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        raise AssertionError(f"{self.label} has no rows off the diagonal, got {len(points.x)} for {context.progress}")
