r"""The learned two-time flow map f(x, t, s)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cmcore.config import NetworkConfig
from cmcore.networks import make_network
from cmcore.process import Time, angle, column

__all__ = ["FlowMap"]


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
    """

    def __init__(self, dim: int, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.dim = dim
        self.config = config
        self.network = make_network(dim, config, generator=generator)

    def forward(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """Jump from time t to the earlier time s; each is one number or one per point."""
        theta_t, theta_s = angle(column(t, x)), angle(column(s, x))
        return self.at_angles(x, theta_t, theta_s)

    def at_angles(self, x: Float[Tensor, "n d"], theta_t: Tensor, theta_s: Tensor) -> Float[Tensor, "n d"]:
        """The same jump with both times given as angles, [n, 1] or [1, 1]."""
        gap = theta_t - theta_s
        return torch.cos(gap) * x - torch.sin(gap) * self.direction(x, theta_t, gap)

    def direction(self, x: Float[Tensor, "n d"], theta: Tensor, gap: Tensor) -> Float[Tensor, "n d"]:
        """The raw network F(x, θ_t, θ_t − θ_s); at gap 0 it is dx/dθ."""
        n = x.shape[0]
        return self.network[1:](self.network[0](x, theta.expand(n, 1), gap.expand(n, 1)))

    def velocity(self, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
        """The model's own PF-ODE velocity dx/dt = cot θ_t · F(x, t, t); needs t > 0."""
        theta = angle(column(t, x))
        return self.direction(x, theta, torch.zeros_like(theta)) / torch.tan(theta)
