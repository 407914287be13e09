"""Identities that name what F must answer."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.networks import PullBack
from cmcore.objectives.base import LossContext
from cmcore.objectives.composition import Composition, Points
from cmcore.objectives.metrics import distance_and_slope


@dataclass(frozen=True)
class Regressed(Composition):
    """A composition whose identity names what F must answer: diagonal and other rows then share one evaluation."""

    @abstractmethod
    def wanted(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        """F*, a constant, on rows off the diagonal."""

    def errors(self, context: LossContext, points: Points) -> Float[Tensor, "*n d"]:
        answer = context.flow_map.direction(points.x, points.theta, points.gap, for_weights=True)
        return answer - self.wanted(context, points)

    @property
    def has_manual_gradient(self) -> bool:
        return True

    def manual_gradient(self, context: LossContext, points: Points) -> tuple[Float[Tensor, "*n d"], PullBack]:
        answer, pull_back = context.flow_map.pulled_direction(points.x, points.theta, points.gap)
        return answer - self.wanted(context, points), pull_back

    def loss(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        wanted = self._all_wanted(context, batch)
        answer = context.flow_map.direction(batch.x, batch.theta, batch.gap, for_weights=True)
        return self._distances(answer - wanted, batch)[0].mean((-2, -1))

    @torch.no_grad()
    def manual_backward(self, context: LossContext, batch: Points) -> Float[Tensor, "*s"]:
        """:meth:`backward` with diagonal and other rows in one evaluation."""
        wanted = self._all_wanted(context, batch)
        answer, pull_back = context.flow_map.pulled_direction(batch.x, batch.theta, batch.gap)
        distances, slopes = self._distances(answer - wanted, batch)
        pull_back(slopes.div_(batch.x.shape[-2]))
        return distances.mean((-2, -1))

    @torch.no_grad()
    def _all_wanted(self, context: LossContext, batch: Points) -> Tensor:
        """F* of all rows, those on the diagonal first."""
        n = batch.x.shape[-2]
        rows = self.diagonal_rows(n)
        on, off = batch.rows(slice(rows)), batch.rows(slice(rows, n))
        wanted = [context.flow_map.preconditioning.direction(on.x, on.theta, on.velocity)] if rows else []
        wanted += [self.wanted(context, off)] if rows < n else []
        return torch.cat(wanted, -2)

    def _distances(self, error: Tensor, batch: Points) -> tuple[Tensor, Tensor]:
        """Weighted distances of all rows, and their gradients with respect to the error."""
        rows = self.diagonal_rows(batch.x.shape[-2])
        distances = distance_and_slope(error, self.metric, self.metric_scale)
        if rows and self.diagonal_metric != self.metric:
            taught = distance_and_slope(error[..., :rows, :], self.diagonal_metric, self.metric_scale)
            distances = tuple(torch.cat((a, b[..., rows:, :]), -2) for a, b in zip(taught, distances, strict=True))
        if self.weight_power:  # 1 on the diagonal, where the sine is 0
            weights = torch.where(batch.gap > 0, batch.gap.sin() ** self.weight_power, 1.0)
            distances = tuple(weights * part for part in distances)
        return distances  # pyright: ignore[reportReturnType]


def direction_to(context: LossContext, points: Points, landing: Tensor) -> Tensor:
    """F* = (skip · x − landing)/out: the answer that lands a jump from (x, t) at `landing`."""
    skip, out = context.flow_map.preconditioning(points.theta, points.gap)
    return (skip * points.x - landing) / out
