r"""The velocity at a point, averaged over the data of many pairs instead of that of one.

Of the pairs that may have made x at θ, (x₀, z) with x = cos θ x₀ + sin θ z, each has the chance that Bayes gives it:

.. math:: w_j \propto N(x; \cos\theta\, x_{0j}, \sin^2\theta\, I), \qquad
          \bar v = v + \frac{1}{\sin\theta} \Bigl(x_0 - \sum_j w_j x_{0j}\Bigr)

with v = cos θ z − sin θ x₀ of the pair that did. Regression on v̄ learns the same mean E[v | x] with less noise, at the
price of a bias of one over the number of data points near x (Xu, Tong & Jaakkola 2023, arXiv:2302.00670).
"""

import torch
from jaxtyping import Float
from torch import Tensor

GROUP = 512
"""Rows whose data are averaged over together: a row costs as many times more, and twice as many gain little."""
SMALLEST_SINE = 1e-6
"""Below it single precision has no digits left for the noise of a pair."""


def averaged_velocity(
    x: Float[Tensor, "n d"], theta: Float[Tensor, "n 1"], data: Float[Tensor, "n d"], conditional: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    """v̄ of each row, averaged over groups of consecutive rows."""
    sine = theta.sin().clamp_min(SMALLEST_SINE)
    groups = zip(*(column.split(GROUP) for column in (x / sine, theta.cos() / sine, data)), strict=True)
    return conditional + (data - torch.cat([_mean_data(*group) for group in groups])) / sine


def _mean_data(x: Tensor, scale: Tensor, data: Tensor) -> Tensor:
    """Σ w_j x₀_j of each row, from x/sin θ and cot θ; in float64, since 1/sin θ makes its errors large."""
    x, scale, places = x.double(), scale.double(), data.double()
    log_weights = scale * (x @ places.T - scale * places.square().sum(-1) / 2)  # and what is the same for all j
    return (log_weights.softmax(-1) @ places).to(data)
