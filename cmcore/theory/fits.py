r"""Straight lines through measured points: slopes with intervals, where a slope has settled, which growth fits best.

The claims here are about shapes, so axes are transformed first (logarithms for powers), then a straight line is fitted:
log KL against K for a geometric decay, log map error against log τ for an order, K against log d for dimension.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

GROWTHS: Mapping[str, Callable[[float], float]] = {"log d": math.log, "√d": math.sqrt, "d": float}
"""The forms that K(d) = a + b g(d) may take."""

_FADING, _DRIFT = 0.9, 0.01
_FEWEST = 3
"""Points behind a line with an interval, and behind a slope that is said to have settled."""


@dataclass(frozen=True)
class LineFit:
    """y = intercept + slope · x.

    Attributes:
        slope, intercept: the fitted line.
        slope_low, slope_high: a 95 % interval of the slope, from the scatter of the points about the line; where the
            points bend by more than their scatter explains, it reaches to the slopes at both ends.
        scatter: the standard deviation of that scatter (of a point of weight 1).
        n: how many points.
    """

    slope: float
    intercept: float
    slope_low: float
    slope_high: float
    scatter: float
    n: int

    def __call__(self, x: float) -> float:
        """The line at x."""
        return self.intercept + self.slope * x


def fit_line(x: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None) -> LineFit:
    r"""The line of least squares, :math:`\min \sum_i w_i (y_i - a - b x_i)^2`.

    The interval of the slope is :math:`b \pm t_{n-2}\, s/\sqrt{\sum w_i (x_i - \bar x)^2}` with
    :math:`s^2 = \sum w_i r_i^2/(n-2)`: right when the scatter of the points is Gaussian and alike, up to the weights.
    A bend is no scatter. With four points or more, where the square of x improves the fit at the level of 5 %, no one
    slope is that of all points, and the interval is widened to those of the parabola at the first and the last x.

    Args:
        x, y: at least three points, at two values of x or more.
        weights: w, 1/variance of each y up to a common factor; by default all alike.
    """
    at, values = _arrays(x, y)
    w = np.ones_like(at) if weights is None else np.asarray(weights, dtype=float)
    if len(at) < _FEWEST:
        raise ValueError(f"A line with an interval needs at least {_FEWEST} points; got {len(at)}.")
    if w.shape != at.shape or not np.isfinite(w).all() or not (w > 0).all():
        raise ValueError("Weights are positive and finite, one for each point.")
    centre, height = np.average(at, weights=w), np.average(values, weights=w)
    spread = float(w @ (at - centre) ** 2)
    if spread == 0:
        raise ValueError("A line needs points at two values of x or more.")
    slope = float(w @ ((at - centre) * (values - height))) / spread
    residuals = values - height - slope * (at - centre)
    scatter = math.sqrt(float(w @ residuals**2) / (len(at) - 2))
    half = float(stdtrit(len(at) - 2, 0.975)) * scatter / math.sqrt(spread)
    ends = [slope - half, slope + half, *_bent_ends(at, residuals, w, slope)]
    return LineFit(slope, float(height - slope * centre), min(ends), max(ends), scatter, len(at))


def _bent_ends(
    at: NDArray[np.float64], residuals: NDArray[np.float64], w: NDArray[np.float64], slope: float
) -> tuple[float, ...]:
    """The slopes at both ends of the parabola through the points, where they bend significantly; else nothing."""
    freedom = len(at) - 3
    basis = np.linalg.qr(np.sqrt(w)[:, None] * np.vander(at - at.mean(), 3, increasing=True))[0][:, 2]
    bend = float(basis @ (np.sqrt(w) * residuals))
    rest = max(0.0, float(w @ residuals**2) - bend**2)
    if freedom < 1 or bend**2 * freedom <= float(stdtrit(freedom, 0.975)) ** 2 * rest:
        return ()
    _, inner, outer = np.polynomial.Polynomial.fit(at - at.mean(), residuals, 2, w=np.sqrt(w)).convert().coef
    return tuple(slope + inner + 2 * outer * (end - at.mean()) for end in (at.min(), at.max()))


def local_slopes(x: ArrayLike, y: ArrayLike) -> tuple[float, ...]:
    """(y_{i+1} − y_i)/(x_{i+1} − x_i) of neighbouring points; x strictly increasing or decreasing."""
    at, values = _arrays(x, y)
    steps = np.diff(at)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("Local slopes need x in strict order: sort the points, and merge those at one x.")
    return tuple((np.diff(values) / steps).tolist())


def settled(x: ArrayLike, y: ArrayLike, tolerance: float) -> slice:
    """Where the local slope has settled: the longest tail whose local slopes lie within `tolerance` of each other.

    Returns:
        The slice of the points. It is empty when not even the last two slopes agree: one slope alone settles nothing.
    """
    slopes = local_slopes(x, y)
    start = len(slopes)
    while start > 0 and max(slopes[start - 1 :]) - min(slopes[start - 1 :]) <= tolerance:
        start -= 1
    n = len(slopes) + 1
    return slice(start if n - start >= _FEWEST else n, n)


def limiting_slope(x: ArrayLike, y: ArrayLike) -> tuple[float, float] | None:
    r"""The interval in which the local slope of a smooth curve settles; None where it keeps drifting.

    The slopes over three consecutive parts of the points, :math:`b_1, b_2, b_3`, change by :math:`c_1` and
    :math:`c_2`. If the changes die out as :math:`e^{-qx}`, as those of a power law or of an exponential decay do, q
    follows from both, and with it what is still to come after :math:`b_3` (Aitken's extrapolation); half as much again
    is added. Changes of opposite sign may come again. Changes of more than 1 % of the slope that do not die out by a
    tenth from one part to the next lead nowhere that can be seen from here.

    Args:
        x, y: four points or more, in strict order of x, without noise that counts beside their bend.
    """
    at, values = _arrays(x, y)
    local_slopes(at, values)  # refuses points out of order
    if len(at) <= _FEWEST:
        return None
    ends = np.round(np.linspace(0, len(at) - 1, 4)).astype(int)
    runs = np.diff(at[ends])
    slopes = np.diff(values[ends]) / runs
    gaps = (runs[1:] + runs[:-1]) / 2
    (first, last), end = (np.diff(slopes) / gaps).tolist(), float(slopes[2])
    fading = abs(last / first) if first else 1.0
    if fading > _FADING and abs(slopes[2] - slopes[1]) > _DRIFT * abs(end):
        return None
    if first * last <= 0:
        ahead = float(np.abs(np.diff(slopes)).max())
        return end - ahead, end + ahead
    rate = -math.log(min(fading, _FADING)) / float(abs(gaps.mean()))
    ahead = 1.5 * math.copysign(last, last * gaps[1]) * math.exp(-rate * float(abs(gaps[1])) / 2) / rate
    return min(end, end + ahead), max(end, end + ahead)


@dataclass(frozen=True)
class GrowthFit:
    """Which of the forms in `GROWTHS` predicts K(d) best.

    Attributes:
        best: its name.
        errors: for every form, the root mean square error of its predictions of the next larger d, in units of K.
        lines: for every form, the line K = a + b g(d) through all points; x is g(d).
    """

    best: str
    errors: Mapping[str, float]
    lines: Mapping[str, LineFit]


def best_growth(d: ArrayLike, K: ArrayLike) -> GrowthFit:
    """Which of K = a + b log d, a + b √d and a + b d fits best, by predicting each next larger d from all smaller.

    Growth is a statement about the d that are not yet seen, so what is held out is always beyond what is fitted: every
    point from the fourth on in turn. Leaving out a point in the middle would ask for interpolation instead, at which
    three smooth curves of two parameters are nearly alike, and leaving out the last alone would hang on its noise.

    Args:
        d: at least four different dimensions, in any order.
        K: the steps needed at each.
    """
    dims, steps = _arrays(d, K)
    if len(np.unique(dims)) != len(dims) or len(dims) <= _FEWEST or dims.min() <= 0:
        raise ValueError("Telling growths apart needs four or more different dimensions, each positive.")
    order = np.argsort(dims)
    dims, steps = dims[order], steps[order]
    lines, errors = {}, {}
    for name, form in GROWTHS.items():
        at = [form(d) for d in dims.tolist()]
        misses = [fit_line(at[:i], steps[:i].tolist())(at[i]) - steps[i] for i in range(_FEWEST, len(at))]
        errors[name] = math.sqrt(sum(miss**2 for miss in misses) / len(misses))
        lines[name] = fit_line(at, steps.tolist())
    return GrowthFit(min(errors, key=lambda name: errors[name]), errors, lines)


def _arrays(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if at.ndim != 1 or at.shape != values.shape:
        raise ValueError(f"A fit needs as many x as y; got {at.size} and {values.size}.")
    if not (np.isfinite(at).all() and np.isfinite(values).all()):
        raise ValueError("A fit needs finite numbers: leave out the points without one.")
    return at, values
