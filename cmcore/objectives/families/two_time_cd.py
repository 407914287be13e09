r"""Two-time consistency distillation with N sub-steps."""

from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives.base import OBJECTIVES, Paper, Velocity
from cmcore.objectives.identities.consistency import Consistency, Solver


@OBJECTIVES.register("two_time_cd")
@dataclass(frozen=True)
class TwoTimeConsistencyDistillation(Consistency):
    r"""f(x_t, t, s) = sg f(ψ(x_t), r, s) for any s ≤ r < t on a grid of N sub-steps; ψ one DDIM step with the score.

    The map learned from small discretization steps: with the consistency residual ε_cd per sub-step, the score error
    ε_sc and sub-steps of length τ in t, the lab's own bound is ε_map ≤ (h/τ) ε_cd + L h (ε_sc + τ D/2), of first order
    in τ.
    A DDIM step is the exponential integrator with the score frozen over it. Consistency distillation (Song et al. 2023,
    arXiv:2303.01469) with a free end time, as in CTM (Kim et al. 2023, arXiv:2310.02279).
    """

    velocity: Velocity = "exact"
    solver: Solver = "ddim"
    target_average: float = 0.9
    to_data: float = 0.3
    from_noise: float = 0.2

    label: ClassVar[str] = "Two-time consistency distillation"
    paper: ClassVar[Paper] = Paper(2023, "2310.02279")
    known_for: ClassVar[str] = "Consistency distillation for jumps between any two times."
    building_block: ClassVar[bool] = False
    velocities: ClassVar[tuple[Velocity, ...]] = ("learned", "exact")
