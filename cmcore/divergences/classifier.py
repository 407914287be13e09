"""Whether a classifier can tell two samples apart (Lopez-Paz & Oquab 2017, arXiv:1610.06545); any d."""

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.divergences.distances import Distance
from cmcore.divergences.estimate import ESTIMATORS, Estimator
from cmcore.divergences.tools.rows import two_samples
from cmcore.streams import stream
from cmcore.threads import piecewise

ESTIMATORS.register("classifier")(
    Estimator(
        "classifier", "How often boosted trees tell a model's sample from the data's on rows they never saw; any d."
    )
)

_FEWEST = 40
_MOST_ROWS = 10_000


@piecewise()
def classifier_accuracy(points: Float[Tensor, "n d"], data: Float[Tensor, "m d"], *, seed: int) -> Distance:
    """The share of held-out rows that gradient-boosted trees attribute to the right sample; ½ is chance.

    Half of the rows train the trees. The interval is binomial, exact (Clopper & Pearson), and speaks of these trees: a
    better classifier may see more, so an accuracy near ½ is no proof that the laws are equal.

    Args:
        points: samples of the model.
        data: samples of the data, independent of the points.
        seed: of the choice of rows and of the trees.
    """
    # A quarter of what the lab imports, and most visits never come here.
    from scipy.stats import binom, binomtest
    from sklearn.ensemble import HistGradientBoostingClassifier

    points, data = two_samples(points, data, fewest=_FEWEST)
    half = min(len(points), len(data), _MOST_ROWS) // 2
    generator = stream(seed, "classifier")
    chosen = [rows[torch.randperm(len(rows), generator=generator)[: 2 * half]] for rows in (points, data)]
    seen, unseen = (torch.cat([rows[part] for rows in chosen]).numpy() for part in (slice(half), slice(half, None)))
    label = (torch.arange(2 * half) >= half).numpy()
    trees = HistGradientBoostingClassifier(random_state=int(torch.randint(2**31 - 1, (), generator=generator)))
    right = int((trees.fit(seen, label).predict(unseen) == label).sum())
    interval = binomtest(right, 2 * half).proportion_ci(method="exact")
    low, high = binom.ppf([0.025, 0.975], 2 * half, 0.5) / (2 * half)
    return Distance(
        value=right / (2 * half),
        low=float(interval.low),
        high=float(interval.high),
        null_low=float(low),
        null_high=float(high),
        n=2 * half,
        name="classifier",
        label="accuracy of a classifier",
        unit="share",
    )
