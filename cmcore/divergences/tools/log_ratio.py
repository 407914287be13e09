r"""KL from samples of a log density ratio, and the choice between the plain and the low-variance form.

For x ~ q and r = p(x)/q(x): E[−log r] = KL(q‖p), and E[r − 1] = 0 where q covers p. So

* k1 = −log r is unbiased for any pair of laws; its relative error is large when the KL is small;
* CV = −log r − b (r − 1), with b fitted by least squares (b = −1 is known as k3), has a hundred times less variance
  at a KL of 0.001, but is wrong where E r ≠ 1: a mode of p that q never visits, or a map that folds.

CV is used only where the mean of r allows it. With samples of both laws, :func:`kl_at_data` has a control variate that
is bounded and holds for any two densities.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from scipy.special import ndtri, stdtrit
from torch import Tensor

from cmcore.divergences.tools.data_draw import DataDraw, Mean

_LARGEST_FOR_CV = 0.1
"""Above this KL the ratio's tail makes the control variate unreliable (measured: coverage falls below 90 %)."""

_CAP = 4.0
"""Above it a ratio of densities is left to the samples of the law that has more mass there."""

_THREE_SIGMA = 0.99865
"""Level at which the mean of r is taken to differ from 1, so that CV is given up: one estimate in 400 for no cause."""

_BEYOND_DOUBT = 1 - 1e-6
"""Level at which it is taken to exceed 1, so that the map must have preimages that were not counted."""

_FEW_ROWS = 64
"""So many rows, and no more, are kept with an estimate."""

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
        replicates: their values, where they are few.
    """

    value: float
    half_width: float
    form: Literal["k1", "CV"]
    k1: float
    k1_error: float
    mean_ratio: float
    mean_ratio_error: float
    rows: int
    replicates: tuple[float, ...] = ()

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
    loss, control = -weight * log_ratio, weight - 1
    excess = weight * (log_ratio.exp() - 1)
    mean_excess, excess_error = mean_and_error(excess)
    k1, k1_error = mean_and_error(loss, control)
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
        replicates=_replicates(loss, excess if allowed else control),
    )


def _replicates(values: Tensor, control: Tensor) -> tuple[float, ...]:
    """The values of the rows, where they are few and finite."""
    few = 1 < len(values) <= _FEW_ROWS and bool(torch.isfinite(values).all())
    return tuple(_controlled(values, control).mean(1).tolist()) if few else ()


def kl_by_ratio(log_ratio: Float[Tensor, "rows m"], weight: Float[Tensor, "rows m"]) -> Mean:
    """KL(p‖q) = E_q[φ(r)], φ(r) = r log r − r + 1, from log r, r = p/q, at samples of q; right where q covers p."""
    ratio = log_ratio.exp()
    # r log r → 0 as r → 0, where log r itself may be −∞.
    phi = torch.where(ratio > 0, ratio * log_ratio, 0.0) - ratio + 1
    value, error = mean_and_error(weight * phi, weight - 1)
    return Mean(value, error, float(len(weight) - 1))


def kl_at_data(
    data: DataDraw, log_ratio: Float[Tensor, " n"], other: Float[Tensor, "rows m"], weight: Float[Tensor, "rows m"]
) -> Mean:
    r"""KL(p‖q) from log ρ, ρ = q/p, at samples of both laws.

    .. math:: E_p[-\log\rho] + b\,\{E_p[\min(\rho, C)] + E_q[(1 - C/\rho)_+] - 1\}

    The bracket is 0 for any two laws with densities: what is cut off at C where the data are is counted where the model
    is. So mass of q that no sample of p comes near, which a plain control variate E ρ − 1 would overlook, is not lost.

    Args:
        data: samples of p.
        log_ratio: log ρ at them.
        other: log ρ at weighted samples of q, as rows of which only the weighted means are independent.
        weight: their importance weights, of mean 1.
    """
    capped = log_ratio.exp().clamp_max(_CAP)
    excess, excess_error = mean_and_error(weight * (1 - _CAP * (-other).exp()).clamp_min(0))
    n, w = len(log_ratio), data.weight
    centred = w * (capped - (w * capped).mean())
    spread = float((w * centred * centred).mean()) / n
    b = float((w * centred * log_ratio).mean()) / n / (spread + excess_error**2 + 1e-300)
    mine = data.mean(b * (capped - 1) - log_ratio)
    return _added(Mean(b * excess, abs(b) * excess_error, float(len(other) - 1)), mine)


def _added(first: Mean, second: Mean) -> Mean:
    """The sum of two independent means; of the few rows of one as far as their error matters (Welch)."""
    means = (first, second)
    variance = sum(mean.error**2 for mean in means)
    freedom = variance**2 / max(1e-300, sum(mean.error**4 / mean.freedom for mean in means))
    third = sum(mean.skewness * mean.error**3 for mean in means)
    skewness = third / variance**1.5 if 0 < variance < math.inf else 0.0
    return Mean(first.value + second.value, math.sqrt(variance), max(1.0, freedom), skewness)


def interval(mean: Mean) -> tuple[float, float]:
    r"""The 95 % interval of a mean, skewed as its own law is.

    Where few draws hold much of a mean, its error is small together with it, and value ± 1.96 errors lies too low. With
    :math:`T = (\hat m - m)/\hat\sigma` and the skewness κ of :math:`\hat m`, the law of
    :math:`T + \kappa T^2/3 + \kappa^2 T^3/27 + \kappa/6` is closer to N(0, 1) than that of T, and is inverted (Hall
    1992, On the removal of skewness by transformation).
    """
    if not mean.error > 0 or not math.isfinite(mean.error):
        return mean.value - mean.error, mean.value + mean.error
    level = quantile(1 + max(1, int(min(mean.freedom, 1e9))))

    def unskewed(y: float) -> float:
        if abs(mean.skewness) < 1e-6:
            return y
        cube = 1 + mean.skewness * (y - mean.skewness / 6)
        return 3 / mean.skewness * (math.copysign(abs(cube) ** (1 / 3), cube) - 1)

    low, high = mean.value - mean.error * unskewed(level), mean.value - mean.error * unskewed(-level)
    return min(low, mean.value), max(high, mean.value)


def mean_and_error(
    values: Float[Tensor, "rows m"], control: Float[Tensor, "rows m"] | None = None
) -> tuple[float, float]:
    """The mean and its standard error from the spread of the rows, after a control variate of known mean 0."""
    if not bool(torch.isfinite(values).all()):
        return float(values.mean()), math.inf
    rows = (values if control is None else _controlled(values, control)).mean(1)
    return float(rows.mean()), float(rows.std()) / math.sqrt(len(rows)) if len(rows) > 1 else math.inf


def _controlled(values: Tensor, control: Tensor) -> Tensor:
    """The values less the multiple of a control variate that fits them best; as they are where it is not finite."""
    if not bool(torch.isfinite(control).all()):
        return values
    centred = control - control.mean()
    spread = float(centred.square().sum())
    b = float((values * centred).sum()) / spread if spread > 0 else 0.0
    return values - b * control


def quantile(rows: int, level: float = 0.975) -> float:
    """The quantile, by default 97.5 %, of the mean of so many independent rows, in standard errors."""
    return float(ndtri(level) if rows > 200 else stdtrit(rows - 1, level))
