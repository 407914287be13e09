r"""KL from samples, by the distances to their nearest neighbours; for d ≤ 3.

With ρ_k(x_i) the distance from x_i to its k-th neighbour among the other x, and ν_k(x_i) to the k-th among the y,

.. math:: \widehat{KL}(a\|b) = \frac dn \sum_i \log\frac{\nu_k(x_i)}{\rho_k(x_i)} + \log\frac m{n-1},
          \qquad x_1 \dots x_n \sim a,\; y_1 \dots y_m \sim b

(Wang, Kulkarni & Verdú 2009, doi:10.1109/TIT.2009.2016060). The x and the y must be drawn independently of each other:
the same noise behind both makes neighbours of partners, and the answer wrong by far more than its interval. In eight
dimensions it misses most of the KL, and says less than nothing of a model that is too wide; hence the limit on d.

Where log p is known, the entropy alone is estimated (Kozachenko & Leonenko 1987). Its bias, that of a ball
over which the density is not constant, is nearly the same for samples of p, and their score is subtracted.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.special import digamma, gammaln
from torch import Tensor

from cmcore.divergences.estimate import ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator
from cmcore.divergences.log_ratio import quantile
from cmcore.divergences.rows import two_samples
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

__all__ = ["LARGEST_DIM", "fewest_rows", "kl_neighbours", "kl_neighbours_known"]

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
_LARGE = 0.3

Rows = Float[Tensor, "_ d"]


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
    nat; of a model that is too wide up to a quarter is missed there. The interval does not cover that bias.

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
    a, b = (points / scale, data / scale) if direction == MODEL_DATA else (data / scale, points / scale)
    return _estimate(a, b, lambda x, y: _two_sample(x, y, k), direction, delta, "neighbours")


@piecewise()
def kl_neighbours_known(
    points: Float[Tensor, "n d"], target: Target, *, seed: int, delta: float = 0.0, k: int = 50
) -> Estimate:
    """KL(q‖p_δ) from samples of q where log p_δ is known, in nats, d ≤ 3.

    Measured on two-dimensional mixtures with 50,000 rows: a spread of 0.001 and no bias seen up to 0.1 nats.

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

    def plug_in(rows: Rows) -> float:
        return _negative_entropy(rows / scale, k) - float(target.log_prob(rows, delta).mean())

    return _estimate(points, exact, lambda x, y: plug_in(x) - plug_in(y), MODEL_DATA, delta, "neighbours_known")


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
    distances, _ = KDTree(among.numpy()).query(x.numpy(), k=k)
    return np.asarray(distances).reshape(len(x), k)[:, -1]


# ---- from a statistic to an estimate --------------------------------------------------------------------------------
def _estimate(  # noqa: PLR0917
    a: Rows, b: Rows, statistic: Callable[[Rows, Rows], float], direction: Direction, delta: float, name: str
) -> Estimate:
    """The statistic of all rows, with an interval from how much it differs between ten independent tenths of both."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = statistic(a, b)
        blocks = torch.tensor([statistic(a[i::_BLOCKS], b[i::_BLOCKS]) for i in range(_BLOCKS)], dtype=torch.float64)
    half = quantile(_BLOCKS) * float(blocks.std()) / math.sqrt(_BLOCKS)
    repeated = max(1 - len(rows.unique(dim=0)) / len(rows) for rows in (a, b))
    problem = _problem(value, half, repeated)
    warned = name == "neighbours" and value > _LARGE
    return Estimate(
        value=value,
        low=value - half if math.isfinite(half) else 0.0,
        high=math.inf if problem else value + half,
        direction=direction,
        delta=delta,
        estimator=name,
        n=min(len(a), len(b)),
        floor=half if math.isfinite(half) else math.inf,
        trusted=not problem,
        note=problem or "A KL this large is estimated too low from samples, by up to a quarter." * warned,
        diagnostics={"repeated_share": repeated},
    )


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
    count = min(len(points), len(data))
    _, nearest = KDTree(data.numpy()).query(points[:count].numpy())
    if int((nearest == np.arange(count)).sum()) > _PARTNERS:
        raise ValueError(
            "Rows of the two samples belong together, as if made from the same noise; this estimator needs "
            "independent samples: draw one of them with another seed."
        )
