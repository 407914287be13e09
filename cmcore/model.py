r"""The learned two-time flow map f(x, t, s)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.networks import Features, Perceptron
from cmcore.process import Time, angle, column
from cmcore.targets import Target

__all__ = ["Ending", "FlowMap", "Status", "TrainedModel"]


class FlowMap(nn.Module):
    r"""f(x, t, s) ≈ Φ_{t→s}(x), the exact flow map of the probability-flow ODE, for all 0 ≤ s ≤ t.

    .. math:: f(x,t,s) = \cos(\theta_t - \theta_s)\, x - \sin(\theta_t - \theta_s)\, F(x, \theta_t, \theta_s)

    so that f(x, t, t) = x by construction and the diagonal of the network is the velocity in angle,
    F(x, t, t) = dx/dθ. The trigonometric parametrisation is TrigFlow's (Lu & Song 2024, arXiv:2410.11081) with a
    second time; s = 0 is the classic consistency function.

    Args:
        dim: d.
        config: width, depth and features of the network F.
        generator: source of the initial weights.

    Attributes:
        products: the dtype in which a training step multiplies matrices; everything else follows the weights.
    """

    def __init__(self, dim: int, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.dim = dim
        self.config = config
        self.products = torch.get_default_dtype()
        self.features = Features(dim, config)
        self.network = Perceptron([self.features.width, *[config.width] * config.depth, dim], generator=generator)

    def forward(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """Jump from time t to the earlier time s; each is one number or one per point."""
        theta_t, theta_s = angle(column(t, x)), angle(column(s, x))
        return self.at_angles(x, theta_t, theta_s)

    def at_angles(self, x: Float[Tensor, "n d"], theta_t: Tensor, theta_s: Tensor) -> Float[Tensor, "n d"]:
        """The same jump with both times given as angles, [n, 1] or [1, 1]."""
        gap = theta_t - theta_s
        return torch.cos(gap) * x - torch.sin(gap) * self.direction(x, theta_t, gap)

    def direction(
        self, x: Float[Tensor, "n d"], theta: Tensor, gap: Tensor, *, for_weights: bool = False
    ) -> Float[Tensor, "n d"]:
        """The raw network F(x, θ_t, θ_t − θ_s); at gap 0 it is dx/dθ.

        With `for_weights` only the weights get gradients, and only first ones: the fast path of a training step, which
        multiplies matrices in `self.products`.
        """
        n = x.shape[0]
        features = self.features(x, theta.expand(n, 1), gap.expand(n, 1))
        return self.network.for_weights(features, self.products) if for_weights else self.network(features)

    def velocity(self, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
        """The model's own PF-ODE velocity dx/dt = cot θ_t · F(x, t, t); needs t > 0."""
        theta = angle(column(t, x))
        return self.direction(x, theta, torch.zeros_like(theta)) / torch.tan(theta)


Ending = Literal["finished", "stopped", "diverged"]
Status = Literal["preparing", "training"] | Ending


@dataclass(frozen=True)
class TrainedModel:
    """A flow map with its provenance: what it learned, how, and how far it got.

    Attributes:
        flow_map: f, with the exponential average of the weights; on the CPU.
        target: the law it learned; None when a loaded run did not carry it.
        config: how it was trained, with what the run decided filled in: δ, threads, the dtype of products, the size of
            what was prepared, and, unless it was stopped before a budget in seconds became steps, their number.
        steps: optimiser steps done; fewer than `config.steps` when stopped or diverged.
        seconds: wall time of the training, pool included.
        status: how it ended.
        device: where it was trained, in words.
        history: (step, loss, quality) of each report; quality is the root mean square error of one jump T → δ.
        resume_state: what continuing the training needs beside the config; empty when it was left out.
    """

    flow_map: FlowMap
    target: Target | None
    config: TrainingConfig
    steps: int
    seconds: float
    status: Ending
    device: str
    history: tuple[tuple[int, float, float], ...] = ()
    resume_state: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        """d."""
        return self.flow_map.dim

    @property
    def horizon(self) -> float:
        """T."""
        return self.config.horizon

    @property
    def delta(self) -> float:
        """δ, the earliest time the map was trained for."""
        return self.config.delta or 0.0
