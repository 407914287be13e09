r"""Preconditioning: how the map is made from the raw network, f = skip · x − out · F.

At gap 0 every one has skip = 1 and out = 0, so that f(x, t, t) = x by construction. All times are angles
θ = arccos e^{-t}; gap = θ_t − θ_s.

=========  =======================================  ===================================  ==============================
name       skip                                     out                                  known as
=========  =======================================  ===================================  ==============================
trig       cos gap                                  sin gap                              TrigFlow with a second time
linear     (cos θ_s + sin θ_s)/(cos θ_t + sin θ_t)  sin gap/(cos θ_t + sin θ_t)          average velocity, Euler-FM
=========  =======================================  ===================================  ==============================

"trig" is also, with unit data scale, CTM's Euler ∘ EDM form (Kim et al. 2023, arXiv:2310.02279), IMM's Simple-EDM
(Zhou et al. 2025, arXiv:2503.07565), and a DDIM step with the denoiser cos θ x − sin θ F: they are one map in
different coordinates. "linear" is x̄ − (τ_t − τ_s) F on the linear path x̄ = (1 − τ) x₀ + τ z of MeanFlow and shortcut
models, seen from the Ornstein–Uhlenbeck path: τ = sin θ/(cos θ + sin θ) and x̄ = x/(cos θ + sin θ).
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from cmcore.registry import Registry


class Coefficients(NamedTuple):
    """skip and out, or their derivatives; each shaped as the angles they came from."""

    skip: Tensor
    out: Tensor


def linear_time(theta: Tensor) -> Tensor:
    """τ = tan θ/(1 + tan θ), the time of the linear path at the same signal-to-noise ratio."""
    return theta.sin() / (theta.cos() + theta.sin())


def angle_at(tau: Tensor) -> Tensor:
    """θ at the linear path's time τ."""
    return torch.atan2(tau, 1 - tau)


class Preconditioning(ABC):
    """The two coefficients and their derivatives with respect to either angle, the other held fixed."""

    @abstractmethod
    def __call__(self, theta: Tensor, gap: Tensor) -> Coefficients:
        """skip and out."""

    @abstractmethod
    def by_start(self, theta: Tensor, gap: Tensor) -> Coefficients:
        """∂/∂θ_t of skip and out, θ_s fixed."""

    @abstractmethod
    def by_end(self, theta: Tensor, gap: Tensor) -> Coefficients:
        """∂/∂θ_s of skip and out, θ_t fixed."""

    def velocity(self, x: Tensor, theta: Tensor, direction: Tensor) -> Tensor:
        """dx/dθ from the network's answer on the diagonal, F(x, t, t)."""
        skip, out = self.by_start(theta, torch.zeros_like(theta))
        return out * direction - skip * x

    def direction(self, x: Tensor, theta: Tensor, velocity: Tensor) -> Tensor:
        """What the network must answer on the diagonal where the velocity is dx/dθ."""
        skip, out = self.by_start(theta, torch.zeros_like(theta))
        return (velocity + skip * x) / out


class Trig(Preconditioning):
    """f = cos gap · x − sin gap · F; on the diagonal F is dx/dθ itself."""

    def __call__(self, theta: Tensor, gap: Tensor) -> Coefficients:
        del theta
        return Coefficients(gap.cos(), gap.sin())

    def by_start(self, theta: Tensor, gap: Tensor) -> Coefficients:
        del theta
        return Coefficients(-gap.sin(), gap.cos())

    def by_end(self, theta: Tensor, gap: Tensor) -> Coefficients:
        del theta
        return Coefficients(gap.sin(), -gap.cos())

    def velocity(self, x: Tensor, theta: Tensor, direction: Tensor) -> Tensor:
        del x, theta
        return direction

    def direction(self, x: Tensor, theta: Tensor, velocity: Tensor) -> Tensor:
        del x, theta
        return velocity


class Linear(Preconditioning):
    """The average velocity of the linear path; on the diagonal F is dx̄/dτ."""

    def __call__(self, theta: Tensor, gap: Tensor) -> Coefficients:
        end, size = theta - gap, theta.cos() + theta.sin()
        return Coefficients((end.cos() + end.sin()) / size, gap.sin() / size)

    def by_start(self, theta: Tensor, gap: Tensor) -> Coefficients:
        end, size, slope = theta - gap, theta.cos() + theta.sin(), theta.cos() - theta.sin()
        at_end = end.cos() + end.sin()
        return Coefficients(-at_end * slope / size**2, at_end / size**2)

    def by_end(self, theta: Tensor, gap: Tensor) -> Coefficients:
        end, size = theta - gap, theta.cos() + theta.sin()
        return Coefficients((end.cos() - end.sin()) / size, -gap.cos() / size)


PRECONDITIONINGS: Registry[Preconditioning] = Registry("preconditioning")
PRECONDITIONINGS.register("trig")(Trig())
PRECONDITIONINGS.register("linear")(Linear())
