r"""The learned two-time flow map f(x, t, s)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.experts import Experts
from cmcore.film import Film
from cmcore.networks import Features, Perceptron, PullBack
from cmcore.preconditioning import PRECONDITIONINGS
from cmcore.process import Time, angle, column
from cmcore.targets import Target


class FlowMap(nn.Module):
    r"""f(x, t, s) ≈ Φ_{t→s}(x), the exact flow map of the probability-flow ODE, for all 0 ≤ s ≤ t.

    .. math:: f(x,t,s) = \mathrm{skip}\, x - \mathrm{out}\, F(x, \theta_t, \theta_t - \theta_s)

    with the coefficients of :mod:`cmcore.preconditioning`; unless told cos(θ_t − θ_s) and sin(θ_t − θ_s), TrigFlow's
    (Lu & Song 2024, arXiv:2410.11081) with a second time. f(x, t, t) = x by construction, the diagonal of the network
    is a velocity, and s = 0 is the classic consistency function.

    S maps of one shape can be held and evaluated at once: then points are [S, n, d], and so is every answer.

    Args:
        dim: d.
        config: width, depth and features of the network F.
        generator: source of the initial weights; a sequence of S makes S members.

    Attributes:
        members: S, or None for a single map.
        matmul_dtype: the dtype in which a training step multiplies matrices; everything else follows the weights.
    """

    def __init__(
        self, dim: int, config: NetworkConfig, *, generator: torch.Generator | Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.dim = dim
        self.config = config
        self.matmul_dtype = torch.get_default_dtype()
        self.preconditioning = PRECONDITIONINGS[config.preconditioning or "trig"]
        self.features = Features(dim, config)
        self.experts = Experts.of(config, dim)
        widths = [self.features.width, *[config.width] * config.depth, self.experts.outputs]
        self.network = Perceptron(widths, generator=generator)
        self.experts.spread(list(self.network.parameters())[-1], generator)

    @property
    def members(self) -> int | None:
        return self.network.members

    def forward(self, x: Float[Tensor, "*s n d"], t: Time, s: Time) -> Float[Tensor, "*s n d"]:
        """Jump from time t to the earlier time s; each is one number or one per point."""
        return self.at_angles(x, *_times(x, t, s))

    def at_angles(self, x: Float[Tensor, "*s n d"], theta_t: Tensor, theta_s: Tensor) -> Float[Tensor, "*s n d"]:
        """The same jump with both times given as angles, [n, 1] or [1, 1]."""
        gap = theta_t - theta_s
        return self.landing(x, theta_t, gap, self.direction(x, theta_t, gap))

    def landing(self, x: Tensor, theta: Tensor, gap: Tensor, direction: Tensor) -> Tensor:
        """skip · x − out · direction: where a jump by `gap` lands when the network answers `direction`."""
        skip, out = self.preconditioning(theta, gap)
        return skip * x - out * direction

    @torch.no_grad()
    def with_jacobian(
        self, x: Float[Tensor, "n d"], t: float, s: float
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d d"]]:
        """f(x, t, s) and ∂f/∂x of a single map: the d unit tangents go forward beside the values, without a tape."""
        theta, theta_s = _times(x, t, s)
        gap = theta - theta_s
        units = torch.eye(self.dim, dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        features = self.features.with_tangent(x, *self._angles(x, theta, gap), units, 0.0, 0.0)
        raw = self.network.dual(*features, x.dtype, through_tangent=False)
        direction, along = self.experts.mixed_with_tangent(*raw)
        skip, out = self.preconditioning(theta, gap)
        return self.landing(x, theta, gap, direction), (skip * units - out * along).permute(1, 2, 0)

    def direction(
        self, x: Float[Tensor, "*s n d"], theta: Tensor, gap: Tensor, *, for_weights: bool = False
    ) -> Float[Tensor, "*s n d"]:
        """The raw network F(x, θ_t, θ_t − θ_s).

        With `for_weights` only the weights get gradients, and only first ones: the fast path of a training step, which
        multiplies matrices in `self.matmul_dtype`.
        """
        features = self.features(x, *self._angles(x, theta, gap))
        raw = self.network.for_weights(features, self.matmul_dtype) if for_weights else self.network(features)
        return self.experts.mixed(raw)

    def direction_and_tangent(
        self,
        x: Float[Tensor, "*s n d"],
        theta: Tensor,
        gap: Tensor,
        along: tuple[Tensor | None, float, float],
        *,
        through_tangent: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """F and its derivative along (dx, dθ, dgap), for the gradients of the weights alone; dx None is no motion.

        The derivative gets a gradient with `through_tangent` only.
        """
        dx, dtheta, dgap = along
        if not self.config.second_time:
            dgap = 0.0
        features = self.features.with_tangent(x, *self._angles(x, theta, gap), dx, dtheta, dgap)
        raw, tangent = self.network.dual(*features, self.matmul_dtype, through_tangent=through_tangent)
        answer, along_it = self.experts.mixed_with_tangent(raw, tangent)
        return answer, along_it if through_tangent else along_it.detach()

    def pulled_direction(
        self, x: Float[Tensor, "*s n d"], theta: Tensor, gap: Tensor
    ) -> tuple[Float[Tensor, "*s n d"], PullBack]:
        """F as `for_weights` has it, and what takes a gradient of it to the weights, without a tape."""
        features = self.features(x, *self._angles(x, theta, gap))
        raw, _, pull_back = self.network.pulled(features, None, self.matmul_dtype)
        answer, back = self.experts.pulled(raw)
        return answer, lambda gradient: pull_back(back(gradient))

    def pulled_direction_and_tangent(
        self,
        x: Float[Tensor, "*s n d"],
        theta: Tensor,
        gap: Tensor,
        along: tuple[Tensor | None, float, float],
        *,
        through_tangent: bool = False,
    ) -> tuple[Tensor, Tensor, PullBack]:
        """The same of :meth:`direction_and_tangent`; with `through_tangent` the pull-back takes two gradients."""
        dx, dtheta, dgap = along
        if not self.config.second_time:
            dgap = 0.0
        features = self.features.with_tangent(x, *self._angles(x, theta, gap), dx, dtheta, dgap)
        raw, tangent, pull_back = self.network.pulled(*features, self.matmul_dtype, through_tangent=through_tangent)
        assert tangent is not None
        if self.experts.count == 1:
            return raw, tangent, pull_back
        return self._mixed_and_pulled(raw, tangent, pull_back, through_tangent=through_tangent)

    def _mixed_and_pulled(
        self, raw: Tensor, tangent: Tensor, pull_back: PullBack, *, through_tangent: bool
    ) -> tuple[Tensor, Tensor, PullBack]:
        """The experts' answer and its derivative, through a tape of the mixture alone."""
        if not through_tangent:
            _, back = self.experts.pulled(raw)
            return *self.experts.mixed_with_tangent(raw, tangent), lambda gradient: pull_back(back(gradient))
        inputs = raw.detach().requires_grad_(), tangent.detach().requires_grad_()
        with torch.enable_grad():
            outputs = self.experts.mixed_with_tangent(*inputs)
        answer, along_it = (part.detach() for part in outputs)
        return answer, along_it, lambda *gradients: pull_back(*torch.autograd.grad(outputs, inputs, gradients))

    def _angles(self, x: Tensor, theta: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        shape = (*x.shape[:-1], 1)
        return theta.expand(shape), (gap if self.config.second_time else torch.zeros_like(gap)).expand(shape)

    def velocity_in_angle(self, x: Float[Tensor, "*s n d"], theta: Tensor, *, for_weights: bool = False) -> Tensor:
        """The model's own velocity dx/dθ, from the diagonal of the network."""
        diagonal = self.direction(x, theta, torch.zeros_like(theta), for_weights=for_weights)
        return self.preconditioning.velocity(x, theta, diagonal)

    def velocity(self, x: Float[Tensor, "*s n d"], t: Time) -> Float[Tensor, "*s n d"]:
        """The model's own PF-ODE velocity dx/dt = cot θ_t · dx/dθ; needs t > 0."""
        theta = angle(column(t, x))
        return self.velocity_in_angle(x, theta) / torch.tan(theta)

    def member(self, i: int) -> "FlowMap":
        """The i-th member as a map of its own (weights copied)."""
        alone = FlowMap(self.dim, self.config, generator=torch.Generator())
        weights = {name: w[i] if self.members else w for name, w in self.state_dict().items()}
        alone.load_state_dict(weights)
        alone.matmul_dtype = self.matmul_dtype
        return alone.to(next(self.parameters()).device)


def _times(x: Tensor, t: Time, s: Time) -> tuple[Tensor, Tensor]:
    """θ_t and θ_s of a jump. ValueError where it does not go back in time."""
    if _forward_in_time(t, s, x.dtype):
        raise ValueError("A jump goes back in time: s must not exceed t. Exchange the two times.")
    return angle(column(t, x)), angle(column(s, x))


def _forward_in_time(t: Time, s: Time, dtype: torch.dtype) -> bool:
    """Whether some s lies after its t, by the angles of that dtype; unseen where a GPU would have to be stopped."""
    if any(isinstance(u, Tensor) and u.device.type != "cpu" for u in (t, s)):
        return False
    late, early = (torch.as_tensor(u, dtype=dtype) for u in (t, s))
    return bool((early > late).any()) and bool((angle(early) > angle(late)).any())


def count_weights(dim: int, config: NetworkConfig) -> int:
    """How many numbers the weights of a map of this form are, told without making one."""
    inputs = dim + 2 * (dim * len(config.space_frequencies) + 2 * len(config.time_frequencies))
    widths = [inputs, *[config.width] * config.depth, Experts.of(config, dim).outputs]
    return sum((a + 1) * b for a, b in pairwise(widths))


Ending = Literal["finished", "stopped", "diverged"]
Status = Literal["preparing", "training"] | Ending


@dataclass(frozen=True)
class TrainedModel:
    """A flow map with its provenance: what it learned, how, and how far it got.

    Attributes:
        flow_map: f, with the exponential average of the weights; on the CPU.
        target: the law it learned; None when a loaded run did not carry it.
        config: how it was trained, with what the run decided filled in: δ, threads, the dtype of matmuls, the size of
            what was prepared, and, unless it was stopped before a budget in seconds became steps, their number.
        steps: optimiser steps done; fewer than `config.steps` when stopped or diverged.
        seconds: wall time of the training, from its first step on.
        status: how it ended.
        device: where it was trained, in words.
        history: (step, loss, quality) of each report; quality is the root mean square error of one jump T → δ.
        resume_state: what continuing the training needs beside the config; empty when it was left out.
        preparation: seconds spent before the first step, on pools and the like; a learned teacher is training.
        spikes: steps at which a gradient many times too large was met, and scaled down.
        film: samples from the same noise at some of the steps.
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
    preparation: float = 0.0
    spikes: tuple[int, ...] = ()
    film: Film = field(default_factory=Film, repr=False)

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
