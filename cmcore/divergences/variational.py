r"""A lower bound on KL(data‖model) that holds whatever is known of the model's density.

.. math:: KL(p\|q) \ge E_p[g] - \log E_q[e^g]

for any function g (Donsker & Varadhan 1975). Here :math:`g = \log p - \log\{(1 - \epsilon)\,k + \epsilon\,p\}` with k
a density by nearest neighbours among some samples of q; g is at most log 1/ε, and the expectations are over others.
"""

import math

import torch
from jaxtyping import Float
from scipy.special import gammaln
from torch import Tensor

from cmcore.divergences.tools.log_ratio import mean_and_error, quantile
from cmcore.nearest import Nearest
from cmcore.streams import stream
from cmcore.targets.base import Target

_NEIGHBOURS = 10
_OF_DATA = 0.01
"""ε, the part of the data in the reference density."""
_DATA = 4096


def variational_bound(samples: Float[Tensor, "n d"], target: Target, delta: float, *, seed: int) -> float:
    """A lower 95 % limit of KL(p_δ‖q), in nats and at least 0, from independent samples of q and exact ones of p_δ."""
    samples = samples[torch.isfinite(samples).all(1)]
    reference, model = samples[::2], samples[1::2]
    if len(model) < 2 * _NEIGHBOURS:
        return 0.0
    data = target.sample(_DATA, t=delta, generator=stream(seed, "variational data"))
    near = Nearest(reference)
    of_data, of_model = (_log_ratio(x, near, target, delta) for x in (data, model))
    mean, error = mean_and_error(of_data[:, None])
    weight, weight_error = mean_and_error(of_model.exp()[:, None])
    bound = mean - quantile(len(data)) * error - math.log(weight + quantile(len(model)) * weight_error)
    return max(0.0, bound) if math.isfinite(bound) else 0.0


def _log_ratio(x: Float[Tensor, "n d"], near: Nearest, target: Target, delta: float) -> Float[Tensor, " n"]:
    """g at the points."""
    radius = near(x, _NEIGHBOURS)[0][:, -1].clamp_min(1e-12)
    d = x.shape[1]
    log_ball = d / 2 * math.log(math.pi) - float(gammaln(d / 2 + 1))
    log_k = math.log(_NEIGHBOURS / len(near)) - log_ball - d * radius.log()
    log_p = target.log_prob(x, delta)
    mixed = torch.logaddexp(math.log1p(-_OF_DATA) + log_k, math.log(_OF_DATA) + log_p)
    return torch.where(torch.isfinite(log_p), log_p - mixed, -100.0)
