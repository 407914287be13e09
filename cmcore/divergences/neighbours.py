r"""KL from samples, by the distances to their nearest neighbours; for d ≤ 3.

With ρ_k(x_i) the distance from x_i to its k-th neighbour among the other x, and ν_k(x_i) to the k-th among the y,

.. math:: \widehat{KL}(a\|b) = \frac dn \sum_i \log\frac{\nu_k(x_i)}{\rho_k(x_i)} + \log\frac m{n-1},
          \qquad x_1 \dots x_n \sim a,\; y_1 \dots y_m \sim b

(Wang, Kulkarni & Verdú 2009, doi:10.1109/TIT.2009.2016060). The x and the y must be drawn independently of each other:
the same noise behind both makes neighbours of partners, and the answer wrong by far more than its interval. In eight
dimensions it misses most of the KL, and says less than nothing of a model that is too wide; hence the limit on d.

Where log p is known, the entropy alone is estimated (Kozachenko & Leonenko 1987). Its bias, that of a ball
over which the density is not constant, is nearly the same for samples of p, and their score is subtracted.

No finite sample bounds a KL from above: a thousandth of the mass may lie where the other law has nearly none, in a
thread too thin for its neighbours to tell (a torn map makes such threads). So the upper end rests on an assumption, and
says so. The rows of a that lie farther from b than all but thirty rows of b do from the others are counted, their
excess over what one law would show is taken at the upper end of its error, and each of those rows is granted 20 nats
beyond what its neighbours say, or 10 where log p is known. Measured on torn maps, 3 to 9 and 3 to 5 are missed. A bias
that falls with k is met by extrapolating from 2k and k to none. Where the excess is certain, or the value large, two
samples give a lower end only.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import digamma, gammaln
from torch import Tensor

from cmcore.divergences.estimate import ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.tools.log_ratio import quantile
from cmcore.divergences.tools.rows import two_samples
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

ESTIMATORS.register("neighbours")(
    Estimator("nearest neighbours", "From samples of both laws alone: how far the nearest are of either kind; d ≤ 3.")
)
ESTIMATORS.register("neighbours_known")(
    Estimator(
        "nearest neighbours, p known", "The model's entropy from its samples, less the error on exact ones; d ≤ 3."
    )
)

LARGEST_DIM = 3

_BLOCKS = 10
_ROWS_A_NEIGHBOUR = 50
_MOST_REPEATED = 0.01
"""Share of rows that may repeat another; a tenth of repeated rows was measured to raise the estimate by 0.02."""
_PARTNERS = 12
"""Rows whose nearest neighbour has their own number: about one by chance, and this many once in 10^10."""
_LARGE = 1.0
"""Nats beyond which two samples give a lower end alone: of a Gaussian twice too wide they miss a third."""
_OUTERMOST = 30
_CERTAIN = 3.0
"""Standard errors above which an excess of rows far from the other sample is no chance."""
_HEAVY = 0.25
"""Share of the variance of log p that ten rows hold where no interval can be made; of a Gaussian 0.03 to 0.08."""
_MISSED = {"neighbours": 20.0, "neighbours_known": 10.0}
"""Nats granted to a row far from the other sample, beyond what its neighbours say."""

Rows = Float[Tensor, "_ d"]
Statistic = Callable[[Rows, Rows, int], float]
"""A divergence of the law of some rows from that of others, by their k-th neighbours."""


def fewest_rows(k: int) -> int:
    """The least number of rows of either sample: fifty to a neighbour, so that a tenth of them is a sample too."""
    return _ROWS_A_NEIGHBOUR * k


@piecewise()
def kl_neighbours(
    points: Float[Tensor, "n d"],
    data: Float[Tensor, "m d"],
    *,
    direction: Direction = MODEL_DATA,
    delta: float = 0.0,
    k: int = 10,
) -> Estimate:
    """KL between the laws of two independent samples, in nats, d ≤ 3.

    Measured on two-dimensional mixtures with 50,000 rows each: a spread of 0.002 to 0.004, and a bias of −3 % at one
    nat; of a model that is too wide a quarter is missed at 0.4 nats, and two thirds at 6. The lower end holds; the
    upper end allows for what samples may miss (see the module's head), and is ∞ above one nat or where rows of one
    sample surely lie far from the other: such an estimate is not trusted as a number.

    Args:
        points: samples of the model at time δ.
        data: samples of the data at time δ, drawn independently of the points.
        direction: which KL.
        delta: δ, for the record.
        k: which neighbour.

    Raises:
        ValueError: d > 3, too few rows, or rows that belong together.
    """
    points, data = _checked(points, data, k)
    _refuse_partners(points, data)
    scale = torch.cat([points, data]).std(0)  # no KL changes with the units; the shape of a ball does
    a, b = (points / scale, data / scale) if direction_of(direction) == MODEL_DATA else (data / scale, points / scale)
    return _estimate(a, b, _two_sample, k, direction, delta, "neighbours")


@piecewise()
def kl_neighbours_with_density(
    points: Float[Tensor, "n d"], target: Target, *, seed: int, delta: float = 0.0, k: int = 50
) -> Estimate:
    """KL(q‖p_δ) from samples of q where log p_δ is known, in nats, d ≤ 3.

    Measured on two-dimensional mixtures with 50,000 rows: a spread of 0.001 and no bias seen up to 0.1 nats. Threads of
    a torn map are missed in part, which the upper end allows for. Where ten rows hold a quarter of the variance of
    log p, as under heavy tails, no interval can be made from samples, and the estimate is not trusted.

    Args:
        points: samples of the model at time δ.
        target: the truth.
        seed: of as many exact samples.
        delta: δ.
        k: which neighbour.
    """
    exact = target.sample(len(points), t=delta, generator=stream(seed, "neighbours of exact samples"))
    points, exact = _checked(points, exact, k)
    scale = torch.cat([points, exact]).std(0)

    def plug_in(rows: Rows, k: int) -> float:
        return _negative_entropy(rows / scale, k) - float(target.log_prob(rows, delta).mean())

    def difference(x: Rows, y: Rows, k: int) -> float:
        return plug_in(x, k) - plug_in(y, k)

    estimate = _estimate(points, exact, difference, k, MODEL_DATA, delta, "neighbours_known")
    squares = target.log_prob(points, delta).sub(target.log_prob(points, delta).mean()).square().sort().values
    heaviest = float(squares[-10:].sum() / squares.sum())
    if heaviest <= _HEAVY or not estimate.trusted:
        return estimate
    note = f"Ten rows hold {heaviest:.0%} of the variance of log p: the tails are too heavy for more than a lower end."
    return replace(estimate, high=math.inf, trusted=False, note=note)


# ---- the two statistics ---------------------------------------------------------------------------------------------
def _two_sample(x: Rows, y: Rows, k: int) -> float:
    """The formula of the module's head, KL(law of x ‖ law of y)."""
    ratio = np.log(_distances(x, y, k)) - np.log(_distances(x, x, k + 1))
    return x.shape[1] * float(ratio.mean()) + math.log(len(y) / (len(x) - 1))


def _negative_entropy(x: Rows, k: int) -> float:
    """E log q up to a constant of scale: ψ(k) − log(n − 1) − log(volume of the unit ball) − d E log ρ_k."""
    n, d = x.shape
    log_ball = d / 2 * math.log(math.pi) - float(gammaln(d / 2 + 1))
    log_distance = float(np.log(_distances(x, x, k + 1)).mean())
    return float(digamma(k)) - math.log(n - 1) - log_ball - d * log_distance


def _distances(x: Rows, among: Rows, k: int) -> np.ndarray:
    """From each x to its k-th nearest row; a row is the first neighbour of itself."""
    from scipy.spatial import KDTree

    distances, _ = KDTree(among.numpy()).query(x.numpy(), k=k)
    return np.asarray(distances).reshape(len(x), k)[:, -1]


# ---- from a statistic to an estimate --------------------------------------------------------------------------------
def _estimate(  # noqa: PLR0917
    a: Rows, b: Rows, statistic: Statistic, k: int, direction: Direction, delta: float, name: str
) -> Estimate:
    """The statistic of all rows, with an interval from how much it differs between ten independent tenths of both.

    Its bias in k is extrapolated away, and the upper end allows for the rows far from the other sample.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value, wider = statistic(a, b, k), statistic(a, b, 2 * k)
        blocks = torch.tensor([statistic(a[i::_BLOCKS], b[i::_BLOCKS], k) for i in range(_BLOCKS)], dtype=torch.float64)
    half = quantile(_BLOCKS) * float(blocks.std()) / math.sqrt(_BLOCKS)
    repeated = max(1 - len(rows.unique(dim=0)) / len(rows) for rows in (a, b))
    far, error = _far_share(a, b, k)
    problem = _problem(value, half, repeated) or (_lower_end_only(value, far, error) if name == "neighbours" else "")
    reach = half + _MISSED[name] * max(error, far + 2 * error)
    extrapolated = 2 * value - wider if math.isfinite(wider) else value
    return Estimate(
        value=value,
        low=min(value, extrapolated) - half if math.isfinite(half) else 0.0,
        high=math.inf if problem else max(value, extrapolated) + reach,
        direction=direction,
        delta=delta,
        estimator=name,
        n=min(len(a), len(b)),
        floor=half if math.isfinite(half) else math.inf,
        trusted=not problem,
        note=problem,
        diagnostics={"repeated_share": repeated, "far_share": far},
    )


def _far_share(a: Rows, b: Rows, k: int) -> tuple[float, float]:
    """The share of a that lies farther from b than nearly all of b, less what one law would show; its standard error.

    Beyond the distance that thirty of the m rows of b exceed, one law would put 30 n/m of the n rows of a.
    """
    scale = torch.cat([a, b]).std(0)
    a, b = a / scale, b / scale
    own = np.sort(_distances(b, b, k + 1))
    expected = _OUTERMOST * len(a) / len(b)
    beyond = int((_distances(a, b, k) > own[-_OUTERMOST - 1]).sum())
    return (beyond - expected) / len(a), math.sqrt(expected * (1 + len(a) / len(b))) / len(a)


def _lower_end_only(value: float, far: float, error: float) -> str:
    """Why two samples bound this KL from below alone, in a sentence; empty where they say more."""
    if value > _LARGE:
        return f"Above {_LARGE:g} nat two samples say too little, by an unknown amount: only the lower end holds."
    if far > _CERTAIN * error:
        return (
            f"{far:.1%} of the rows lie where the other sample has hardly any, so how much they add cannot be told "
            "from samples: only the lower end holds."
        )
    return ""


def _problem(value: float, half: float, repeated: float) -> str:
    """Why the number is none, in a sentence; empty where it is one."""
    if repeated > _MOST_REPEATED:
        return f"{repeated:.1%} of the rows repeat others: a law with atoms has no density, and no KL by neighbours."
    if not math.isfinite(value) or not math.isfinite(half):
        return "Some samples lie where the other law has none: the KL is infinite, or cannot be had from samples."
    if value + half < 0:
        return "The estimate is below zero by more than its error: these are too few samples for laws so different."
    return ""


def _checked(points: Rows, data: Rows, k: int) -> tuple[Rows, Rows]:
    if k < 1:
        raise ValueError(f"The k-th neighbour needs k of at least 1; got k = {k}.")
    points, data = two_samples(points, data, fewest=fewest_rows(k))
    if points.shape[1] > LARGEST_DIM:
        raise ValueError(
            f"From samples alone no KL can be trusted in d = {points.shape[1]} (at most {LARGEST_DIM}): compare with "
            "energy_distance, mmd, sliced_wasserstein or classifier_accuracy instead."
        )
    if not bool((torch.cat([points, data]).std(0) > 0).all()):
        raise ValueError("A coordinate is the same in all rows: leave it out, no density has it.")
    return points, data


def _refuse_partners(points: Rows, data: Rows) -> None:
    """Samples made from the same noise, row by row, are no independent samples."""
    from scipy.spatial import KDTree

    count = min(len(points), len(data))
    _, nearest = KDTree(data.numpy()).query(points[:count].numpy())
    if int((nearest == np.arange(count)).sum()) > _PARTNERS:
        raise ValueError(
            "Rows of the two samples belong together, as if made from the same noise; this estimator needs "
            "independent samples: draw one of them with another seed."
        )
