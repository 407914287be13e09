r"""The exact flow map Φ of a target's probability-flow ODE, and pools of exact trajectories.

The PF-ODE is :math:`dx/dt = b(x, t) = -x - \nabla\log p_t(x)`; its solution from t to s is the flow map
:math:`\Phi_{t\to s}`, the exact consistency function, which pushes p_t to p_s. In the angle θ = arccos e^{-t} it reads
:math:`dx/d\theta = -\tan\theta\,(x + \nabla\log p_t(x))`, bounded as θ → π/2 for any target with a second moment, and
evenly paced: a blob of standard deviation ς turns over a range of θ of about ς.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchdiffeq import odeint

from cmcore.process import Time, alpha, angle, column, sigma, time_from_angle
from cmcore.targets.base import Target
from cmcore.targets.gaussian_mixture import GaussianMixture

__all__ = ["ExactFlow", "TrajectoryPool", "trajectory_pool", "velocity", "velocity_in_angle"]


def velocity(target: Target, x: Float[Tensor, "n d"], t: Time) -> Float[Tensor, "n d"]:
    """The PF-ODE velocity dx/dt = −x − ∇log p_t(x), forward in time."""
    return -x - target.score(x, t)


def velocity_in_angle(target: Target, x: Float[Tensor, "n d"], theta: Time) -> Float[Tensor, "n d"]:
    """The same flow per unit of angle: dx/dθ = −tan θ (x + ∇log p_t(x)), t = −log cos θ."""
    theta = torch.as_tensor(theta, dtype=x.dtype, device=x.device)
    pace = torch.tan(theta) if theta.ndim == 0 else torch.tan(theta)[:, None]
    return -pace * (x + target.score(x, time_from_angle(theta)))


class ExactFlow:
    """The exact flow map Φ_{t→s} of a target, in either direction of time.

    Gaussians have a closed form. Everything else is solved by an adaptive Runge–Kutta method of order 5
    (Dormand–Prince, through torchdiffeq) in angle, with the error of every point below the tolerance at every step.

    Args:
        target: the law p₀.
        tolerance: local error of a solver step, absolute and relative, in float64. In lower precision the tolerance
            is raised to what that precision resolves.
    """

    def __init__(self, target: Target, *, tolerance: float = 1e-9) -> None:
        self.target = target
        self.tolerance = tolerance
        self.method = "closed form (Gaussian)" if _is_gaussian(target) else "ODE solver"

    def __call__(self, x: Float[Tensor, "n d"], t: Time, s: Time) -> Float[Tensor, "n d"]:
        """Φ_{t→s}(x). The closed form takes one time per point; the solver needs one t and one s for all of them."""
        if self.method == "closed form (Gaussian)":
            return _gaussian_flow(self.target, x, t, s)
        t, s = _one_time(t), _one_time(s)
        return x if t == s else self._solve(x, torch.tensor([t, s], dtype=torch.float64))[-1]

    def path(self, x: Float[Tensor, "n d"], times: Float[Tensor, " L"]) -> Float[Tensor, "L n d"]:
        """The states at the given monotone times, starting from x at times[0]."""
        if self.method == "closed form (Gaussian)":
            return torch.stack([_gaussian_flow(self.target, x, times[0], s) for s in times])
        return self._solve(x, times)

    def _solve(self, x: Tensor, times: Tensor) -> Tensor:
        if bool((times <= 0).any()):
            self.target._require_density(0.0)
        precision = max(self.tolerance, 20 * torch.finfo(x.dtype).eps)
        theta = angle(times.to(device=x.device, dtype=torch.float64)).to(x.dtype)
        return odeint(
            lambda theta, x: velocity_in_angle(self.target, x, theta),
            x,
            theta,
            rtol=precision,
            atol=precision,
            method="dopri5",
            # Landing on the asked times avoids the interpolant, which is of lower order than the solver.
            options={"norm": _largest, "step_t": theta[1:-1]} if len(theta) > 2 else {"norm": _largest},
        )


@dataclass(frozen=True)
class TrajectoryPool:
    """Exact trajectories of the PF-ODE, from noise to data.

    Attributes:
        angles: θ of each level, decreasing from θ_T to θ_δ, [L].
        states: where each trajectory is at each level, [L, n, d]; `states[0]` is noise N(0, I).
        error: the largest error of any coordinate over a subset of the trajectories, against the adaptive solver.
    """

    angles: Float[Tensor, " L"]
    states: Float[Tensor, "L n d"]
    error: float


_CHUNK_ENTRIES = 1 << 15
"""Coordinates moved at once: small enough for the cache, large enough that the cost of a call does not show."""
_SUBSET = 64
_TOLERANCE = 1e-3
_MOST_SUBSTEPS = 64


def trajectory_pool(
    target: Target,
    n: int,
    *,
    horizon: float,
    delta: float,
    levels: int = 65,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> TrajectoryPool:
    """n exact trajectories from N(0, I) at T = horizon to δ = delta, stored at `levels` times even in angle.

    Fixed-step RK4 (Gaussians: the closed form). The number of sub-steps per level is doubled, from 2, until a subset
    of the trajectories agrees with the adaptive solver to 0.001 in every coordinate; `error` is what was measured.
    """
    if not horizon > delta >= 0:
        raise ValueError(f"Trajectories run from T down to δ with T > δ ≥ 0; got T = {horizon:g}, δ = {delta:g}.")
    if n < 1 or levels < 2:
        raise ValueError("A pool needs at least one trajectory and two levels.")
    noise = torch.randn(n, target.dim, generator=generator, dtype=dtype, device=generator.device).to(device)
    ends = angle(torch.tensor([horizon, delta], dtype=torch.float64)).tolist()
    angles = torch.linspace(*ends, levels, dtype=torch.float64, device=device)
    times = time_from_angle(angles)
    times[0], times[-1] = horizon, delta
    flow = ExactFlow(target, tolerance=1e-6)
    subset = noise[:_SUBSET]
    truth = flow.path(subset.double(), times)
    if flow.method == "closed form (Gaussian)":
        states = flow.path(noise, times)
        return TrajectoryPool(angles.to(dtype), states, float((states[:, :_SUBSET].double() - truth).abs().max()))
    substeps = 2
    while True:
        trial = _runge_kutta(target, subset, angles, substeps)
        error = float((trial.double() - truth).abs().max())
        if error <= _TOLERANCE or substeps >= _MOST_SUBSTEPS:
            break
        substeps *= 2
    chunk = max(1024, _CHUNK_ENTRIES // target.dim)
    states = noise.new_empty(levels, n, target.dim)
    for start in range(0, n, chunk):
        states[:, start : start + chunk] = _runge_kutta(target, noise[start : start + chunk], angles, substeps)
    return TrajectoryPool(angles.to(dtype), states, error)


def _runge_kutta(target: Target, x: Tensor, angles: Tensor, substeps: int) -> Tensor:
    """Classic RK4 in angle with `substeps` equal steps between neighbouring angles; the states at all of them."""
    states = [x]
    for start, end in zip(angles[:-1].tolist(), angles[1:].tolist(), strict=True):
        h = (end - start) / substeps
        for i in range(substeps):
            theta = start + i * h
            k1 = velocity_in_angle(target, x, theta)
            k2 = velocity_in_angle(target, x + h / 2 * k1, theta + h / 2)
            k3 = velocity_in_angle(target, x + h / 2 * k2, theta + h / 2)
            k4 = velocity_in_angle(target, x + h * k3, theta + h)
            x = x + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        states.append(x)
    return torch.stack(states)


def _is_gaussian(target: Target) -> bool:
    return isinstance(target, GaussianMixture) and len(target.weights) == 1


def _gaussian_flow(target: GaussianMixture, x: Tensor, t: Time, s: Time) -> Tensor:
    """Φ(x) = α_s m + U √(v_s / v_t) Uᵀ (x − α_t m) for N(m, U diag(λ) Uᵀ), v = α² λ + σ²."""
    t, s = column(t, x), column(s, x)
    mean, eigenvalues = target.means.to(x), target.variances.to(x)
    v_t, v_s = (alpha(u) ** 2 * eigenvalues + sigma(u) ** 2 for u in (t, s))
    offset = x - alpha(t) * mean
    scale = (v_s / v_t).sqrt()
    if target.axes is None:
        return alpha(s) * mean + scale * offset
    axes = target.axes[0].to(x)
    return alpha(s) * mean + scale * (offset @ axes) @ axes.T


def _largest(error: Tensor) -> Tensor:
    """Max norm: the solver's step satisfies the worst point, not the average one."""
    return error.abs().max()


def _one_time(t: Time) -> float:
    value = torch.as_tensor(t)
    if value.numel() > 1 and bool((value != value.flatten()[0]).any()):
        raise ValueError(
            "The ODE solver moves all points between the same two times; give one t and one s, "
            "or loop over groups of points that share them."
        )
    return float(value.flatten()[0])
