r"""KL from samples of a log density ratio, and the choice between the plain and the low-variance form.

For x ~ q and r = p(x)/q(x): E[−log r] = KL(q‖p), and E[r − 1] = 0 where q covers p. So

* k1 = −log r is unbiased for any pair of laws; its relative error is large when the KL is small;
* CV = −log r − b (r − 1), with b fitted by least squares (b = −1 is known as k3), has a hundred times less variance
  at a KL of 0.001, but is wrong where E r ≠ 1: a mode of p that q never visits, or a map that folds.

CV is used only where the mean of r allows it. With samples of both laws, :func:`kl_from_both_laws` has a control
variate that holds for any two densities.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from scipy.special import ndtri, stdtrit
from torch import Tensor

__all__ = ["LogRatioKL", "kl_from_both_laws", "kl_from_log_ratio", "mean_and_error", "quantile"]

_LARGEST_FOR_CV = 0.1
"""Above this KL the ratio's tail makes the control variate unreliable (measured: coverage falls below 90 %)."""

_CAP = 4.0
"""Above it a ratio of densities is left to the samples of the law that has more mass there."""

_THREE_SIGMA = 0.99865
"""Level at which the mean of r is taken to differ from 1, so that CV is given up: one estimate in 400 for no cause."""

_BEYOND_DOUBT = 1 - 1e-6
"""Level at which it is taken to exceed 1, so that the map must have preimages that were not counted."""

_ROUNDING = 1e-4
"""Excess of the mean ratio that a map in float32, or one solved to a tolerance, may show without a fold."""


@dataclass(frozen=True)
class LogRatioKL:
    """A KL estimated from log ratios.

    Attributes:
        value: nats.
        half_width: half of a 95 % interval.
        form: "k1" or "CV", the form used.
        k1: the plain mean of −log r.
        k1_error: its standard error.
        mean_ratio: the mean of r; 1 where q covers p and the densities are right.
        mean_ratio_error: its standard error.
        rows: how many independent rows the errors come from.
    """

    value: float
    half_width: float
    form: Literal["k1", "CV"]
    k1: float
    k1_error: float
    mean_ratio: float
    mean_ratio_error: float
    rows: int

    @property
    def misses_preimages(self) -> bool:
        """Whether E r exceeds 1 beyond doubt: with the full density of q it cannot, with one branch of two it does."""
        return self.mean_ratio - 1 > quantile(self.rows, _BEYOND_DOUBT) * self.mean_ratio_error + _ROUNDING


def kl_from_log_ratio(
    log_ratio: Float[Tensor, "rows m"], weight: Float[Tensor, "rows m"], *, control_variate: bool
) -> LogRatioKL:
    """KL(q‖p) from log r = log p − log q at weighted samples of q, in float64.

    Args:
        log_ratio: log r, as rows of which only the weighted means are independent.
        weight: importance weights of mean 1.
        control_variate: False forbids CV, where E r = 1 is known not to hold.
    """
    loss = -weight * log_ratio
    excess = weight * (log_ratio.exp() - 1)
    mean_excess, excess_error = mean_and_error(excess)
    k1, k1_error = mean_and_error(loss, weight - 1)
    value, error = mean_and_error(loss, excess)
    # The choice rests on CV's own value: one by k1 would keep k1 where its noise is upward.
    covered = math.isfinite(k1) and abs(mean_excess) < quantile(len(loss), _THREE_SIGMA) * excess_error
    allowed = control_variate and covered and value <= _LARGEST_FOR_CV
    if not allowed:
        value, error = k1, k1_error
    return LogRatioKL(
        value=value,
        half_width=quantile(len(loss)) * error,
        form="CV" if allowed else "k1",
        k1=k1,
        k1_error=k1_error,
        mean_ratio=1 + mean_excess,
        mean_ratio_error=excess_error,
        rows=len(loss),
    )


def kl_from_both_laws(
    log_ratio: Float[Tensor, " n"], other: Float[Tensor, "rows m"], weight: Float[Tensor, "rows m"]
) -> tuple[float, float]:
    r"""KL(p‖q) and half its 95 % interval from log ρ, ρ = q/p, at samples of both laws.

    .. math:: E_p[-\log\rho] + b\,\{E_p[\min(\rho, C)] + E_q[(1 - C/\rho)_+] - 1\}

    The bracket is 0 for any two laws with densities: what is cut off at C where the data are is counted where the model
    is. So mass of q that no sample of p comes near, which a plain control variate E ρ − 1 would overlook, is not lost.

    Args:
        log_ratio: log ρ at independent samples of p.
        other: log ρ at weighted samples of q, as rows of which only the weighted means are independent.
        weight: their importance weights, of mean 1.
    """
    capped = log_ratio.exp().clamp_max(_CAP)
    excess, excess_error = mean_and_error(weight * (1 - _CAP * (-other).exp()).clamp_min(0))
    centred = capped - capped.mean()
    n = len(log_ratio)
    b = float((centred * log_ratio).mean()) / n / (float(centred.square().mean()) / n + excess_error**2 + 1e-300)
    value, error = mean_and_error((b * (capped - 1) - log_ratio)[:, None])
    errors = torch.tensor([error, b * excess_error], dtype=torch.float64).square()
    # Welch: the few rows of one law matter as far as their error does.
    freedom = float(
        errors.sum() ** 2 / (errors.square() / torch.tensor([n - 1, len(other) - 1])).sum().clamp_min(1e-300)
    )
    return value + b * excess, quantile(1 + max(1, int(min(freedom, 1e9)))) * math.sqrt(float(errors.sum()))


def mean_and_error(
    values: Float[Tensor, "rows m"], control: Float[Tensor, "rows m"] | None = None
) -> tuple[float, float]:
    """The mean and its standard error from the spread of the rows, after a control variate of known mean 0."""
    if not bool(torch.isfinite(values).all()):
        return float(values.mean()), math.inf
    if control is not None and bool(torch.isfinite(control).all()):
        centred = control - control.mean()
        spread = float(centred.square().sum())
        b = float((values * centred).sum()) / spread if spread > 0 else 0.0
        values = values - b * control
    rows = values.mean(1)
    return float(rows.mean()), float(rows.std()) / math.sqrt(len(rows)) if len(rows) > 1 else math.inf


def quantile(rows: int, level: float = 0.975) -> float:
    """The quantile, 97.5 % unless told, of the mean of so many independent rows, in standard errors."""
    return float(ndtri(level) if rows > 200 else stdtrit(rows - 1, level))
