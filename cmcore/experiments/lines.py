"""What the exact experiments share: three one-dimensional laws, and fits where a local slope has settled."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cmcore.divergences import Estimate
from cmcore.experiments.base import Fit, Role, Series
from cmcore.targets.base import Target
from cmcore.targets.gallery import make_target
from cmcore.targets.product import Product
from cmcore.theory.fits import fit_line, limiting_slope, settled

CASES: Mapping[str, tuple[int, str]] = {
    "off_centre": (1, "mean ≠ 0"),
    "centred": (2, "mean 0, covariance ≠ I"),
    "skewed": (3, "covariance I, third cumulant ≠ 0"),
}
"""The first cumulant n in which the coordinate differs from N(0, 1), and words for it: KL(p_T‖γ) decays as e^{−2nT}."""

_FEWEST = 3


def coordinate(case: str, sd: float) -> Target:
    """One coordinate of the gallery's product of mixtures."""
    product = make_target("product_of_mixtures", dim=1, case=case, sd=sd)
    assert isinstance(product, Product)
    factor = product.factors[0][0]
    factor.name = case
    return factor


def measured(
    label: str, x: Sequence[float | int], estimates: Sequence[Estimate], *, panel: str, role: Role, how: str
) -> Series:
    """The line of some estimates, with their intervals and the floor of the smallest."""
    return Series(
        label=label,
        role=role,
        panel=panel,
        x=tuple(x),
        y=tuple(e.value for e in estimates),
        low=tuple(e.low for e in estimates),
        high=tuple(e.high for e in estimates),
        how=how,
        floor=min(estimates, key=lambda e: e.value).floor if estimates else 0.0,
    )


def settled_fit(
    label: str, x: Sequence[float], y: Sequence[float], *, expected: float | None, note: str = "", share: float = 0.03
) -> Fit | None:
    """The line through the longest tail on which the local slopes agree within `share` of the last one.

    The points are free of noise, so their scatter about the line is a bend, and the interval reaches to where the local
    slope is going. None where it drifts on, or where there is no tail of four points: then no slope is claimed.
    """
    if len(x) < _FEWEST:
        return None
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    tail = settled(np.asarray(x), np.asarray(y), share * abs(last))
    ends = limiting_slope(np.asarray(x[tail]), np.asarray(y[tail]))
    if ends is None:
        return None
    fit = _fit(label, x[tail], y[tail], expected=expected, note=note)
    return fit.model_copy(update={"low": min(fit.low, *ends), "high": max(fit.high, *ends)})


def power_fit(
    label: str, x: Sequence[float], y: Sequence[float], *, expected: float | None, note: str = ""
) -> Fit | None:
    """The exponent of y ∝ x^slope through all the points given, by a line on logarithmic axes; None below three."""
    if len(x) < _FEWEST:
        return None
    fit = _fit(label, [math.log(v) for v in x], [math.log(v) for v in y], expected=expected, note=note)
    return fit.model_copy(update={"over": (x[0], x[-1])})


def _fit(label: str, x: Sequence[float], y: Sequence[float], *, expected: float | None, note: str) -> Fit:
    line = fit_line(np.asarray(x), np.asarray(y))
    return Fit(
        label=label,
        slope=line.slope,
        low=line.slope_low,
        high=line.slope_high,
        expected=expected,
        over=(x[0], x[-1]),
        note=note,
    )


def verdict(fits: Sequence[Fit], tolerance: float = 0.05) -> str:
    """Which slopes lie within a share of what was expected, in words that follow the numbers."""
    judged = [fit for fit in fits if fit.expected]
    off = [fit for fit in judged if fit.expected and abs(fit.slope / fit.expected - 1) > tolerance]
    if not judged:
        return "No slope has settled on these settings, so none is claimed."
    if not off:
        return f"All {len(judged)} settled slopes lie within {tolerance:.0%} of what is expected."
    deviations = ", ".join(f"{fit.label}: {fit.slope:.3g} where {fit.expected:.3g} is expected" for fit in off)
    return f"{len(judged) - len(off)} of {len(judged)} settled slopes lie within {tolerance:.0%}; not so {deviations}."
