r"""KL in closed form: Gaussian target, affine jumps.

A chain of affine maps with Gaussian noise keeps N(0, I) Gaussian, so for a Gaussian target both divergences are

.. math:: KL(N_a\|N_b) = \tfrac12\Big[\operatorname{tr}(C_b^{-1} C_a) + (m_b - m_a)^\top C_b^{-1} (m_b - m_a)
          - d + \log\frac{\det C_b}{\det C_a}\Big]
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import Chain, JumpMap, Stage, land
from cmcore.divergences.estimate import ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.push_forward import doubled
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.targets.gaussian_mixture import GaussianMixture

ESTIMATORS.register("gaussian")(
    Estimator("closed form", "A Gaussian target and affine jumps: the model is Gaussian and the KL a formula.")
)

_PROBES = 16
_AFFINE = 1e-9
_ROUNDING = 1e-12
_LARGEST_DIM = 512
_LARGEST_CONDITION = 1e10
"""Of the model's covariance; beyond it, the law is flat as far as float64 can tell."""


def gaussian_kl(
    mean_a: Float[Tensor, " d"], cov_a: Float[Tensor, "d d"], mean_b: Float[Tensor, " d"], cov_b: Float[Tensor, "d d"]
) -> float:
    """KL(N(m_a, C_a) ‖ N(m_b, C_b)), in nats; infinite where C_a is singular and C_b is not."""
    factor = torch.linalg.cholesky(cov_b)
    whitened = torch.linalg.solve_triangular(factor, cov_a, upper=False)
    inner = torch.linalg.solve_triangular(factor, whitened.T, upper=False)
    shift = torch.linalg.solve_triangular(factor, (mean_b - mean_a)[:, None], upper=False)
    # Eigenvalues λ of C_b^{-1} C_a: λ − 1 − log λ ≥ 0 term by term, so nothing cancels when the two are close.
    excess = torch.linalg.eigvalsh((inner + inner.T) / 2) - 1
    return float((excess - torch.log1p(excess)).sum() + shift.square().sum()) / 2


def kl_gaussian(f: JumpMap, target: Target, chain: Chain, *, direction: Direction) -> Estimate | None:
    """The exact KL of the chain, or None where the target is not Gaussian or a jump is not affine."""
    direction = direction_of(direction)
    if not isinstance(target, GaussianMixture) or len(target.weights) > 1 or target.dim > _LARGEST_DIM:
        return None
    law = _law(doubled(f), chain, target.dim)
    if law is None:
        return None
    last = Stage.renoised(0.0, 0.0, chain.delta)
    identity = torch.eye(target.dim, dtype=torch.float64)
    truth = last.scale * target.mean, last.scale**2 * target.covariance + last.spread**2 * identity
    value = gaussian_kl(*law, *truth) if direction == MODEL_DATA else gaussian_kl(*truth, *law)
    condition = float(torch.linalg.cond(law[1]))
    trusted = math.isfinite(value) and condition < _LARGEST_CONDITION
    rounding = _ROUNDING * max(1.0, value * condition) if trusted else math.inf
    return Estimate(
        value=value,
        low=max(0.0, value - rounding),
        high=value + rounding,
        trusted=trusted,
        note="" if trusted else "The model has no width in some direction: the KL is infinite.",
        direction=direction,
        delta=chain.delta,
        estimator="gaussian",
        n=0,
        floor=rounding,
    )


def _law(f: JumpMap, chain: Chain, dim: int) -> tuple[Tensor, Tensor] | None:
    """Mean and covariance of the chain's last state; None once a jump turns out not to be affine."""
    identity = torch.eye(dim, dtype=torch.float64)
    mean, covariance = torch.zeros(dim, dtype=torch.float64), identity
    for stage in chain.stages:
        affine = _affine(f, stage, dim)
        if affine is None:
            return None
        offset, matrix = affine
        mean = stage.scale * (offset + matrix @ mean)
        covariance = stage.scale**2 * matrix @ covariance @ matrix.T + stage.spread**2 * identity
    return mean, covariance


def _affine(f: JumpMap, stage: Stage, dim: int) -> tuple[Tensor, Tensor] | None:
    """y = b + A x, read off at 0 and the unit vectors and checked at random points."""
    basis = torch.cat([torch.zeros(1, dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)])
    probes = 2 * torch.randn(_PROBES, dim, generator=stream(0, "affine probes"), dtype=torch.float64)
    images = land(f, torch.cat([basis, probes]), stage)
    offset, matrix = images[0], (images[1 : dim + 1] - images[0]).T
    error = (images[dim + 1 :] - (offset + probes @ matrix.T)).abs().max()
    return (offset, matrix) if error <= _AFFINE * (1 + images.abs().max()) else None


@fits(10)
def _attempt(problem: Problem) -> Estimate | None:
    """A Gaussian target and affine jumps."""
    return kl_gaussian(problem.f, problem.target, problem.chain, direction=problem.direction)
