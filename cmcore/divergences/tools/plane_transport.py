r"""A mixture of equal Gaussians on a grid in the plane, as the image of N(0, I) by a triangular map.

With weights W on cells with centres :math:`(a_i, b_j)` and one variance v, the density is

.. math:: q(x) = \sum_{ij} W_{ij}\, \varphi_v(x_1 - a_i)\, \varphi_v(x_2 - b_j),

whose marginal and conditional cdfs are sums of normal cdfs. The map that solves :math:`F_1(x_1) = \Phi(z_1)` and
:math:`F_{2|1}(x_2|x_1) = \Phi(z_2)` (Rosenblatt 1952, Knothe 1957) takes N(0, I) to q: what follows the law of a noisy
stage is then a deterministic map of noise, and is measured as any other.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.threads import in_pieces

_ROWS = 1024
_NEWTON = 5
_FINER = 4
"""Nodes of the tables that Newton's method starts from, in a cell."""
_SMALLEST = 1e-300


class _At(NamedTuple):
    """A cdf at a point: as a normal quantile, and how both change along the point."""

    z: Tensor
    density: Tensor


class PlaneTransport:
    """N(0, I) → the mixture, differentiable.

    Args:
        axes: the cell centres along each coordinate, evenly spaced.
        weights: W, of any positive sum, [rows, columns].
        variance: v.
    """

    def __init__(
        self,
        axes: tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]],
        weights: Float[Tensor, "rows columns"],
        variance: float,
    ) -> None:
        self.rows, self.columns = axes
        self.weights = weights / weights.sum()
        self.sd = math.sqrt(variance)
        self.marginal = self.weights.sum(1)
        self.first = self._table(self.rows)
        self.second = self._table(self.columns)
        first = _quantile(self.first, self.rows, self.marginal.expand(len(self.first), -1), self.sd)
        self.z_first = first.z.cummax(0).values
        given = _normal(self.rows[:, None] - self.rows, self.sd) @ self.weights
        given = given / given.sum(1, keepdim=True).clamp_min(_SMALLEST)
        below, above = (given @ _cdf(way * (self.second - self.columns[:, None]), self.sd) for way in (1, -1))
        self.z_second = _as_quantile(below, above).cummax(1).values  # [rows, nodes]

    def __call__(self, z: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """The image of noise, float64."""
        return torch.cat(in_pieces(self._mapped, z, rows=_ROWS))

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """log q, in nats."""

        def piece(x: Tensor) -> Tensor:
            first, second = (_normal(x[:, i, None] - axis, self.sd) for i, axis in enumerate((self.rows, self.columns)))
            return (first @ self.weights * second).sum(1).clamp_min(_SMALLEST).log()

        return torch.cat(in_pieces(piece, x, rows=_ROWS))

    def _table(self, axis: Float[Tensor, " m"]) -> Float[Tensor, " nodes"]:
        """Places from before the first centre to beyond the last, as far as noise of any use goes."""
        reach, step = 9 * self.sd, float(axis[1] - axis[0]) / _FINER
        return torch.arange(float(axis[0]) - reach, float(axis[-1]) + reach, step, dtype=torch.float64)

    def _mapped(self, z: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        with torch.no_grad():
            still = z.detach()
            marginal = self.marginal.expand(len(z), -1)
            start = _interpolated(still[:, 0], self.z_first.expand(len(z), -1), self.first)
            x1 = _solved(still[:, 0], start, self.rows, marginal, self.sd)
            given = _normal(x1[:, None] - self.rows, self.sd) @ self.weights
            q1 = given.sum(1).clamp_min(_SMALLEST)
            place = ((x1 - self.rows[0]) / (self.rows[1] - self.rows[0])).round().long().clamp(0, len(self.rows) - 1)
            start = _interpolated(still[:, 1], self.z_second[place], self.second)
            conditional = given / q1[:, None]
            x2 = _solved(still[:, 1], start, self.columns, conditional, self.sd)
            q2 = _quantile(x2, self.columns, conditional, self.sd).density
            stretch1, stretch2 = (_normal(still[:, i], 1.0) / q.clamp_min(_SMALLEST) for i, q in ((0, q1), (1, q2)))
            tilt = self._tilt(x1, x2, given, q1) / q2.clamp_min(_SMALLEST)
        # The values are solved for; the slopes are those of the implicit function.
        first = x1 + stretch1 * (z[:, 0] - still[:, 0])
        second = x2 + stretch2 * (z[:, 1] - still[:, 1]) - tilt * (first - x1)
        return torch.stack([first, second], dim=1)

    def _tilt(self, x1: Tensor, x2: Tensor, given: Tensor, q1: Tensor) -> Float[Tensor, " n"]:
        """∂F₂|₁/∂x₁."""
        gap = x1[:, None] - self.rows
        changed = (-gap / self.sd**2 * _normal(gap, self.sd)) @ self.weights
        below = _cdf(x2[:, None] - self.columns, self.sd)
        share = (given * below).sum(1) / q1
        return ((changed * below).sum(1) - share * changed.sum(1)) / q1


def _solved(
    z: Float[Tensor, " n"], start: Float[Tensor, " n"], axis: Float[Tensor, " m"], weights: Tensor, sd: float
) -> Float[Tensor, " n"]:
    """x with the normal quantile z, by Newton's method in z from within a cell."""
    x, most = start.clone(), float(axis[1] - axis[0])
    way = torch.where(z < 0, 1.0, -1.0).to(z)  # the smaller tail, which alone is summed
    for _ in range(_NEWTON):
        gap = x[:, None] - axis
        tail = (weights * _cdf(way[:, None] * gap, sd)).sum(1).clamp(_SMALLEST, 1 - 1e-16)
        density = (weights * _normal(gap, sd)).sum(1)
        here = way * torch.special.ndtri(tail)
        slope = density / _normal(here, 1.0).clamp_min(_SMALLEST)
        x = x - ((here - z) / slope.clamp_min(1e-12)).clamp(-most, most)
    return x


def _quantile(x: Float[Tensor, " n"], axis: Float[Tensor, " m"], weights: Float[Tensor, "n m"], sd: float) -> _At:
    """Φ⁻¹ of the cdf of a mixture at x, with each point's own weights, and the density there."""
    gap = x[:, None] - axis
    below, above = ((weights * _cdf(way * gap, sd)).sum(1) for way in (1, -1))
    return _At(_as_quantile(below, above), (weights * _normal(gap, sd)).sum(1))


def _as_quantile(below: Tensor, above: Tensor) -> Tensor:
    """Φ⁻¹ from the smaller of the two tails."""
    return torch.where(
        below < above,
        torch.special.ndtri(below.clamp_min(_SMALLEST)),
        -torch.special.ndtri(above.clamp_min(_SMALLEST)),
    )


def _interpolated(z: Float[Tensor, " n"], table: Float[Tensor, "n nodes"], nodes: Float[Tensor, " nodes"]) -> Tensor:
    """Where an increasing table reaches z."""
    right = torch.searchsorted(table.contiguous(), z[:, None].contiguous()).clamp(1, len(nodes) - 1)
    low, high = table.gather(1, right - 1)[:, 0], table.gather(1, right)[:, 0]
    share = ((z - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    right = right[:, 0]
    return nodes[right - 1] + share * (nodes[right] - nodes[right - 1])


def _cdf(gap: Tensor, sd: float) -> Tensor:
    return torch.special.ndtr(gap / sd)


def _normal(gap: Tensor, sd: float) -> Tensor:
    return (-gap.square() / (2 * sd**2)).exp() / (sd * math.sqrt(2 * math.pi))
