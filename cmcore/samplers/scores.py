r"""Where a solver's score comes from: the target, which knows it exactly, or a model's own velocity.

The PF-ODE velocity is :math:`b(x, t) = -x - \nabla\log p_t(x)`, so a model that has learned it has learned a score,
:math:`-x - b`. No solver here evaluates a score at time 0: what would be asked there enters with the factor
tan θ or σ, which is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.chain import JumpMap
from cmcore.process import Time, all_at_zero, alpha, angle, column, sigma
from cmcore.targets.base import Target

Score = Literal["exact", "model"]
"""Whose score: the target's, exact, or the model's own."""

ScoreFunction = Callable[[Tensor, Time], Tensor]
"""(x, t) → ∇ log p_t(x), t > 0."""


@dataclass(frozen=True)
class TargetScore:
    """∇ log p_t of a target, exact."""

    target: Target

    @property
    def dim(self) -> int:
        """d."""
        return self.target.dim

    def __call__(self, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
        """The score at time t."""
        return self.target.score(x, t)


class ModelScore(nn.Module):
    """−x − b(x, t), with b the diagonal of a two-time map; a model trained by flow matching is a learned score.

    Of a map that learned jumps to δ alone the diagonal was not taught, and this is no score.

    Args:
        flow_map: a learned map that tells its velocity.
    """

    def __init__(self, flow_map: nn.Module) -> None:
        super().__init__()
        if not callable(getattr(flow_map, "velocity", None)):
            raise ValueError(f"A {type(flow_map).__name__} tells no velocity, so it has no score of its own.")
        self.flow_map = flow_map

    @property
    def dim(self) -> int:
        """d."""
        return self.flow_map.dim  # pyright: ignore[reportReturnType]

    def forward(self, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
        """The score at time t > 0."""
        velocity: Callable[[Tensor, Time], Tensor] = self.flow_map.velocity  # pyright: ignore[reportAssignmentType]
        return -x - velocity(x, t)


def score_of(model: Any, score: Score | None = None) -> tuple[ScoreFunction, Score]:
    """The score that a baseline follows, and whether it is the target's or the model's.

    Args:
        model: a trained model, which may carry the target it was trained on; a target; or a score itself, taken as
            exact.
        score: "exact" is the target's, "model" the model's own; by default exact where the target knows it.
    """
    if score not in (None, "exact", "model"):
        raise ValueError(f"A score is 'exact' (the target's) or 'model' (its own); got {score!r}.")
    exact, learned = _exact_score(model), _learned_map(model)
    if score == "model" or (score is None and exact is None and learned is not None):
        if learned is None:
            raise ValueError(f"Only a learned map has a score of its own; got a {type(model).__name__}.")
        return ModelScore(learned), "model"
    if exact is None:
        raise ValueError(
            "No exact score is known here: give a target that knows its density, or a learned map and score='model'."
        )
    return exact, "exact"


def _learned_map(model: Any) -> nn.Module | None:
    """The network inside a trained model, or the network itself."""
    flow_map = getattr(model, "flow_map", model)
    return flow_map if isinstance(flow_map, nn.Module) else None


def _exact_score(model: Any) -> ScoreFunction | None:
    """The score of a target, or of the target a model carries, or a bare function; None where there is none."""
    target: Any = model if isinstance(model, Target) else getattr(model, "target", None)
    if isinstance(target, Target):
        return TargetScore(target) if target.has_score else None
    bare = callable(model) and _learned_map(model) is None
    return cast("ScoreFunction", model) if bare else None


class _Following(nn.Module):
    """A map that follows a network: its weights say in which dtype and on which device it is evaluated."""

    def __init__(self, score: nn.Module, step: Callable[[Any], JumpMap]) -> None:
        super().__init__()
        self.score = score
        self.step = step

    def forward(self, x: Tensor, t: Time, s: Time) -> Tensor:
        return self.step(self.score)(x, t, s)


def following(score: Any, step: Callable[[Any], JumpMap]) -> JumpMap:
    """The map step(score), as a module where the score is a network's."""
    return _Following(score, step) if isinstance(score, nn.Module) else step(score)


def posterior_mean(score: ScoreFunction, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
    """E[X₀ | X_t = x] = (x + σ_t² ∇log p_t(x)) / α_t (Tweedie's formula)."""
    now = column(t, x)
    return (x + sigma(now) ** 2 * score(x, t)) / alpha(now)


def slope_in_angle(score: ScoreFunction) -> Callable[[Tensor, Time], Tensor]:
    """The PF-ODE's dx/dθ = −tan θ (x + ∇log p_t(x)) at time t; 0 at time 0, where a finite score is not asked for."""

    def slope(x: Tensor, t: Time) -> Tensor:
        if all_at_zero(t):
            return torch.zeros_like(x)
        theta = angle(column(t, x))
        slope = -torch.tan(theta) * (x + score(x, t))
        return torch.where(theta > 0, slope, 0.0) if isinstance(t, Tensor) else slope

    return slope
