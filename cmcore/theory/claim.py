r"""The claim of arXiv:2505.01049 in closed form: the KL of the paper's sampler against its jumps, in any dimension.

*Derived here.* The data is :math:`N(0, c^2 I)` in d dimensions, c = 1/2 for smooth data and c = 0, one point, for data
without a density. With :math:`b = 1 - c^2` the marginals have variance :math:`v_t = 1 - b e^{-2t}`. The score is off by
a vector of length ε everywhere, and the consistency map is the exact flow of that score:

.. math:: f(x, t, s) = \sqrt{v_s/v_t}\; x + \varepsilon u\, I(s, t), \qquad
          I(s, t) = \sqrt{v_s} \int_s^t \frac{dr}{\sqrt{v_r}}
                  = \sqrt{v_s}\Big[\operatorname{arcosh}\frac{e^r}{\sqrt b}\Big]_s^t .

Every jump is affine, so that all laws stay Gaussian and KL, Bound A and the paper's bound are sums of closed forms.
Grids grow from δ upwards: the run of K jumps is the run of K + 1 jumps without its first.
"""

import math
from dataclasses import dataclass

import numpy as np

SPREAD = 0.5
"""c of the smooth data."""
STEP = 1 / 8
"""h of constant steps, and the constant of steps in proportion to σ²: both keep h'L below 1."""
LATEST = {True: 0.05, False: 0.01}
"""δ, for smooth data or not."""
MOST_REFINED = 1000
"""Steps of c σ²/d are finer by d; past this refinement the KL at a time no longer depends on it (to .1 %)."""
_HIGHEST = 0.9
"""η is at most this share of the time landed at, as in the paper's sampler everywhere in this project."""
_POINTS = 240
_EARLIEST = 0.1
"""The least T shown: below it the paper's start term (d + m₂)e^{−T} does not hold for a point."""


@dataclass(frozen=True)
class ClaimCurve:
    """The claim for one d and ε, along the number of jumps.

    Attributes:
        smooth: N(0, I/4), jumps of constant length; else one point, jumps in proportion to σ²/d or to σ².
        dim: d.
        eps: ε, the error of the score.
        delta: δ, where every run ends.
        jumps: K of every point, real numbers where jumps were refined less than d-fold.
        kl, bound_a, paper: KL(p_δ‖q), Bound A and the paper's bound at every K, in nats.
        claimed: log(d/ε) for smooth data, else d·log(d/ε).
        longest: the largest h'L of a jump.
    """

    smooth: bool
    dim: int
    eps: float
    delta: float
    jumps: tuple[float, ...]
    kl: tuple[float, ...]
    bound_a: tuple[float, ...]
    paper: tuple[float, ...]
    claimed: float
    longest: float

    @property
    def settled(self) -> float:
        """The first K whose KL is within a factor of 2 of where it ends."""
        return next(k for k, kl in zip(self.jumps, self.kl, strict=True) if kl <= 2 * self.kl[-1])


def claim_curve(dim: int, eps: float, *, smooth: bool, over_dim: bool = True) -> ClaimCurve:
    """KL and both bounds against K, until the start no longer shows in the KL.

    Args:
        dim: d ≥ 1.
        eps: ε > 0, the error of the score at every point and time.
        smooth: the data, and with it the rule of the steps; see `ClaimCurve`.
        over_dim: whether steps that shrink with σ² are divided by d too, as the paper's count has them.
    """
    if dim < 1 or not (math.isfinite(eps) and eps > 0):
        raise ValueError(f"The claim is drawn for d ≥ 1 and ε > 0; got d = {dim} and ε = {eps:g}. Choose both larger.")
    b = 1 - SPREAD**2 if smooth else 1.0
    parts = dim if over_dim and not smooth else 1
    refined = min(parts, MOST_REFINED)
    times = _times(_horizon(dim, eps, b), refined, smooth=smooth)
    t, landed = times[1:], times[:-1]
    eta = np.minimum(t - landed, _HIGHEST * landed)
    s = landed - eta

    v_s, v_t, v_landed = (1 - b * np.exp(-2 * at) for at in (s, t, landed))
    error = eps * np.sqrt(v_s) * (np.arccosh(np.exp(t) / math.sqrt(b)) - np.arccosh(np.exp(s) / math.sqrt(b)))
    share = np.exp(-2 * eta) * v_s / v_landed  # of the variance that survives a jump's renoising
    later = np.concatenate(([1.0], np.cumprod(share)[:-1]))
    shift = np.cumsum(np.sqrt(later) * np.exp(-eta) * error / np.sqrt(v_landed))
    spread = 1 + later * share * (1 / v_t - 1)  # variance at δ over that of p_δ, started from N(0, I)

    kl = (dim * _excess(1 / spread - 1) + shift**2 / spread) / 2
    bound_a = dim * _excess(v_t - 1) / 2 + np.cumsum(error**2 / (2 * np.expm1(2 * eta)))
    moment = dim * (1 - b)
    length = t - s
    paper = (dim + moment) * np.exp(-t) + math.exp(4) * eps**2 * np.cumsum(length**2 / (4 * eta))

    jumps = np.arange(1, len(t) + 1) * (parts / refined)
    first = 1 + int(np.searchsorted(t, _EARLIEST))
    at = np.unique(np.geomspace(first, len(t), _POINTS).round().astype(int)) - 1
    kl, bound_a, paper, jumps = (tuple(line[at].tolist()) for line in (kl, bound_a, paper, jumps))
    claimed = math.log(dim / eps) * (1 if smooth else dim)
    longest = float((length * np.maximum(1, 1 / v_s)).max())
    return ClaimCurve(smooth, dim, eps, LATEST[smooth], jumps, kl, bound_a, paper, claimed, longest)


def _horizon(dim: int, eps: float, b: float) -> float:
    """The T at which the start's KL, d b² e^{−4T}/4, is 1/1000 of ε²."""
    return max(1.0, math.log(250 * dim * b**2 / eps**2) / 4)


def _times(horizon: float, refined: int, *, smooth: bool) -> np.ndarray:
    """δ = t_0 < t_1 < …: t_{k+1} − t_k = h, or so that ∫ dt/σ² over it is the same for all and h_k ≤ c σ²(t_{k+1})."""
    delta = LATEST[smooth]
    if smooth:
        return delta + STEP * np.arange(math.ceil((horizon - delta) / STEP) + 1)
    first, last = math.log(math.expm1(2 * delta)), math.log(math.expm1(2 * horizon))
    count = math.ceil((last - first) / (2 * STEP / refined))
    return np.log1p(np.exp(first + 2 * STEP / refined * np.arange(count + 1))) / 2


def _excess(x: np.ndarray) -> np.ndarray:
    """x − log(1 + x), without cancellation near 0."""
    return np.where(np.abs(x) < 1e-4, x**2 / 2 - x**3 / 3, x - np.log1p(x))
