r"""The KL of a sampler in one dimension, by adaptive quadrature: no sampling noise.

A law on the line is followed through the stages: a noisy stage blurs it (:mod:`.tools.line_law`), and maps
without noise after the last one, F in all, push it forward. With z under the law q₀ before them,

.. math:: q(x) = \sum_{z: F(z) = x} q_0(z) / |F'(z)|, \qquad \log r(z) = \log p(F(z)) - \log q(F(z)),

.. math:: KL(q\|p) = \int q_0 (r - 1 - \log r)\,dz + 1 - P, \qquad KL(p\|q) = \int q_0 (r \log r - r + 1)\,dz + P - 1

with P the mass of p on the image of F. Both integrands are positive, so that nothing cancels, and formed in logarithms,
so that nothing overflows. Cells of z (:mod:`cmcore.divergences.tools.line_map`) are halved where the two rules of a
Gauss–Kronrod pair differ most, or where p on the nodes is not the mass of p between the ends. What is stated is the sum
of these differences over all cells, of what the law before F lacks, and of p that no noise looked at leads to.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import Chain, JumpMap
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.line_law import LineLaw, NotFinite, StandardNormal, TooFine, blurred
from cmcore.divergences.tools.line_map import (
    INNER,
    KRONROD,
    Cells,
    LineMap,
    Pieces,
    chosen,
    cut,
    divisible,
    halved,
    integrals,
    joined,
    jumping,
    points,
    resolved,
    unresolved,
)
from cmcore.divergences.tools.off_mode import density_level, off_mode_mass
from cmcore.divergences.tools.push_forward import doubled
from cmcore.targets.base import Target

ESTIMATORS.register("quadrature_1d")(
    Estimator("quadrature", "In one dimension the model's law is computed on a grid; nothing is drawn.")
)

_DEPTHS = (40.0, 160.0, 640.0, 2560.0)
"""Noise of less probability than e^{−40} is left out, or far less where p lies there."""
_WIDTHS = (1 / 16, 1 / 4)
"""Of the first cells of noise, without and with noise to come, which hides what is narrow."""
_MOST = 1 << 17
"""Evaluations of the map."""
_FARTHEST = 1e6
_GROWTH = 1.5
_RELATIVE, _ABSOLUTE = 1e-4, 1e-14
"""The error at which cells are no longer halved, as a share of the KL and in nats."""
_ROUNDING = 1e-12
_MATTERS = 1e-17
_UNREACHED = 1e-12
"""Mass beyond a law's support that is more than rounding."""
_NEAR = 0.5
_LOST = 1e-3
_SPARE = 20.0
_STEEP = 30.0
"""A preimage counts unless its noise is rarer than the point by e^{−30}, which hardly a slope of a map makes good."""
_GAIN, _STALLED, _STALLS = 0.7, 0.02, 3
"""A cell whose rules differ by less than 2 % and by no less after three halvings shows the rounding of the map."""
_MOST_RESTARTS = 5
_TRUSTED, _SMALL = 0.1, 1e-6
"""A number is shown where the error is below a tenth of it or a millionth of a nat."""


def kl_1d(f: JumpMap, target: Target, chain: Chain, *, direction: Direction) -> Estimate:
    """KL between the law of a chain in one dimension and p_δ, in nats, in either direction.

    Args:
        f: the map of the stages, differentiable by autograd.
        target: the truth; one that offers `log_tails` is integrated more safely.
        chain: the stages, with noise or without.
        direction: which KL.

    Returns:
        The value, and as half the interval the error of the quadrature. Infinite, and not trusted, where one law has
        mass that the other lacks.

    Raises:
        ValueError: fresh noise too fine for the cells.
    """
    direction = direction_of(direction)
    f, total = doubled(f), None
    for depth in _DEPTHS:
        try:
            total = _at_depth(depth, f, target, chain, direction)
        except NotFinite as problem:
            return _none(str(problem), chain, direction)
        except TooFine:
            if total is None:
                raise
            break
        if total.missed <= max(_RELATIVE * total.value, _ROUNDING):
            break
    assert total is not None
    return _estimate(total, target, chain, direction)


def _at_depth(depth: float, f: JumpMap, target: Target, chain: Chain, direction: Direction) -> "_Integral":
    """The KL when noise rarer than e^{−depth} is left out before the last noisy stage."""
    law, stages = StandardNormal(_WIDTHS[0] if chain.deterministic else _WIDTHS[1]), []
    for stage in chain.stages:
        stages.append(stage)
        if stage.spread > 0:
            law, stages = blurred(law, LineMap(f, stages), stage.spread, depth=depth), []
    return _Comparison(law, LineMap(f, stages), target, chain.delta, direction).integral(depth)


# ---- the estimate ---------------------------------------------------------------------------------------------------
class _Integral(NamedTuple):
    """A KL by quadrature.

    Attributes:
        value, error: the sum over all cells, and how far it may be off.
        missed: what noise deeper than was looked at could still change.
        uncovered: the mass of the first law where the second has none.
        log_p, mass: log p at the nodes, and the model's mass there.
    """

    value: float
    error: float
    missed: float
    uncovered: float
    log_p: Float[Tensor, " k"]
    mass: Float[Tensor, " k"]


def _estimate(total: _Integral, target: Target, chain: Chain, direction: Direction) -> Estimate:
    infinite = total.uncovered > _UNREACHED
    error = total.error + total.missed + _ROUNDING * max(1.0, total.value)
    note = _note(total, error, direction)
    return Estimate(
        value=math.inf if infinite else total.value,
        low=0.0 if infinite else max(0.0, total.value - error),
        high=math.inf if infinite else total.value + error,
        direction=direction,
        delta=chain.delta,
        estimator="quadrature_1d",
        n=len(total.mass),
        floor=error,
        trusted=not note,
        note=note,
        diagnostics={
            "uncovered_share": total.uncovered,
            "off_mode_mass": off_mode_mass(target, total.log_p, total.mass, delta=chain.delta),
            "off_mode_floor": density_level(target, chain.delta)[1],
        },
    )


def _note(total: _Integral, error: float, direction: Direction) -> str:
    """Why the number is none, in a sentence; empty where it is one."""
    if total.uncovered > _UNREACHED and direction == MODEL_DATA:
        return f"A share of {total.uncovered:.2g} of the model lies where the data has no density: the KL is infinite."
    if total.uncovered > _UNREACHED:
        return f"No noise leads to a share of {total.uncovered:.2g} of the data: the KL is infinite."
    if total.missed > max(_TRUSTED * total.value, _SMALL):
        return "Some of the data lies so far from the model that its density there is only bounded."
    if not error <= max(_TRUSTED * total.value, _SMALL):
        return "The map changes faster than these cells resolve, so the KL is only known to lie in the interval."
    return ""


def _none(why: str, chain: Chain, direction: Direction) -> Estimate:
    return Estimate(
        math.nan, 0.0, math.inf, direction, chain.delta, "quadrature_1d", 0, floor=math.inf, trusted=False, note=why
    )


# ---- the quadrature -------------------------------------------------------------------------------------------------
class _Sums(NamedTuple):
    """Cells of z under q₀: logs at their 15 nodes, and their share of the KL.

    Attributes:
        log_q0, log_p, log_ratio: q₀(z), p(F(z)) and r(z), [n, 15].
        value: the share of the KL by K15, [n].
        error: how far it may be off, [n].
        lost: mass of p between the images of the ends that the nodes do not see, [n].
        stalls: halvings in a row that brought no gain, [n].
    """

    log_q0: Float[Tensor, "n 15"]
    log_p: Float[Tensor, "n 15"]
    log_ratio: Float[Tensor, "n 15"]
    value: Float[Tensor, " n"]
    error: Float[Tensor, " n"]
    lost: Float[Tensor, " n"]
    stalls: Float[Tensor, " n"]


@dataclass(frozen=True)
class _Comparison:
    """The law q₀ pushed through F, against p_δ."""

    law: LineLaw
    F: LineMap
    target: Target
    delta: float
    direction: Direction

    def integral(self, depth: float) -> _Integral:
        cells, outside = self._extended(self._finite(self.F.cells(*self.law.cells(depth))))
        cells, folds = chosen(cells, self._matter(cells)), torch.empty(0, dtype=torch.float64)
        for restarts in range(_MOST_RESTARTS, -1, -1):
            cells, folds = resolved(self.F, cells, folds, self._matter, most=_MOST)
            pieces = Pieces(self.F, cells, folds, self.law.log_density)
            cells = self._cut_beside_folds(cells, folds, pieces)
            cells, sums, turned = self._refined(cells, pieces, to_the_end=not restarts)
            if not turned:
                return self._summary(cells, pieces, sums, outside)
            cells = chosen(cells, cells.low.argsort())
        raise AssertionError("the last round goes to the end")

    def _cut_beside_folds(self, cells: Cells, folds: Tensor, pieces: Pieces) -> Cells:
        """The cells cut at every preimage of the image of a fold, where q is infinite."""
        if not len(folds):
            return cells
        images, least = self.F.images(folds), torch.full(folds.shape, math.log(_MATTERS))
        beside = [z for _, z, _ in pieces.preimages(images, torch.full(images.shape, -1), least)]
        return cut(self.F, cells, torch.cat(beside)) if beside else cells

    # ---- which cells ------------------------------------------------------------------------------------------------
    def _finite(self, cells: Cells) -> Cells:
        """The cells on which F has values and slopes; those on which it has not must have no mass."""
        finite = torch.isfinite(cells.image).all(1) & ~torch.isnan(cells.log_slope[:, INNER]).any(1)
        if not bool((finite | (self._log_mass(cells) < math.log(_UNREACHED))).all()):
            raise NotFinite
        return chosen(cells, finite)

    def _log_mass(self, cells: Cells) -> Tensor:
        z = points(cells.low, cells.high)[:, INNER]
        return (self.law.log_density(z) + (KRONROD / 2).log()).logsumexp(1) + (cells.high - cells.low).log()

    def _matter(self, cells: Cells) -> Tensor:
        """Which cells hold mass of either law."""
        reached = self._mass(cells.image.amin(1), cells.image.amax(1))
        if reached is None:
            p = self.target.log_prob(cells.image.reshape(-1, 1), self.delta).reshape(cells.image.shape).exp()
            reached = p.amax(1) * (cells.image.amax(1) - cells.image.amin(1))
        return (self._log_mass(cells) > math.log(_MATTERS)) | (reached > _MATTERS)

    def _mass(self, low: Tensor, high: Tensor) -> Tensor | None:
        """The mass of p between two points, from the smaller tail; None for a target without a cdf."""
        try:
            (below, above), (below_high, above_high) = (self.target.log_tails(x, self.delta) for x in (low, high))
        except NotImplementedError:
            return None
        left = below_high < above
        return torch.where(left, below_high.exp() - below.exp(), above.exp() - above_high.exp()).clamp_min(0)

    def _outside(self, low: Tensor, high: Tensor) -> Tensor:
        """The mass of p below one point and above another; 0 for a target without a cdf."""
        try:
            return self.target.log_tails(low, self.delta)[0].exp() + self.target.log_tails(high, self.delta)[1].exp()
        except NotImplementedError:
            return torch.zeros_like(low)

    def _extended(self, cells: Cells) -> tuple[Cells, float]:
        """The cells, with wider ones on both sides that lead to more of p, and the mass of p that is still outside.

        It ends where that mass cannot change the KL, or the noise is absurdly far.
        """
        growth = _GROWTH ** torch.arange(1, 5, dtype=torch.float64)
        ends, widths = (cells.low[:1], cells.high[-1:]), (cells.high - cells.low)[[0, -1]]
        while True:
            low, high = cells.image.min(), cells.image.max()
            outside = float(self._outside(low[None], high[None]))
            depth = 1 + float(self.law.log_density(torch.cat(ends)).abs().max())
            if outside * depth <= _ABSOLUTE or float(torch.cat(ends).abs().max()) > _FARTHEST:
                return cells, outside
            below, above = ends[0] - (widths[0] * growth).cumsum(0), ends[1] + (widths[1] * growth).cumsum(0)
            lows, highs = torch.cat([below, ends[1], above[:-1]]), torch.cat([ends[0], below[:-1], above])
            more = self.F.cells(lows, highs)
            if not bool(torch.isfinite(more.image).all()):
                return cells, outside
            reached = self._outside(more.image.amin(1).clamp(max=low), more.image.amax(1).clamp(min=high))
            cells = joined(cells, chosen(more, reached < outside))
            cells, ends, widths = chosen(cells, cells.low.argsort()), (below[-1:], above[-1:]), widths * growth[-1]

    # ---- the integrand ----------------------------------------------------------------------------------------------
    def _sums(self, cells: Cells, pieces: Pieces) -> _Sums:
        x, z = cells.image[:, INNER], points(cells.low, cells.high)[:, INNER]
        log_q0 = self.law.log_density(z)
        log_p = self.target.log_prob(x.reshape(-1, 1), self.delta).reshape(x.shape)
        log_ratio = (log_p - self._log_q(self.law, cells, pieces, log_p)).nan_to_num(-math.inf, math.inf, -math.inf)
        terms = _terms(log_q0, log_ratio, self.direction)
        value, _ = integrals(cells.low, cells.high, terms)
        lost = self._lost(cells, log_p)
        depth = 1 + log_ratio.nan_to_num(neginf=0.0, posinf=_FARTHEST).abs().amax(1)
        unseen = torch.where(divisible(self.F, cells), lost * (depth if self.direction == DATA_MODEL else 1.0), 0.0)
        unseen += torch.where(jumping(self.F, cells), self._log_mass(cells).exp() * depth, 0.0)
        error = unresolved(cells.low, cells.high, terms) + unseen
        return _Sums(log_q0, log_p, log_ratio, value, error, lost, torch.zeros_like(lost))

    def _log_q(self, law: LineLaw, cells: Cells, pieces: Pieces, log_p: Tensor) -> Tensor:
        """log q at the images of the nodes, from their own branch and from all other preimages."""
        z, log_slope = points(cells.low, cells.high)[:, INNER], cells.log_slope[:, INNER]
        log_q0 = law.log_density(z)
        log_q = (log_q0 - log_slope).flatten()
        if len(pieces) == 1:
            return log_q.reshape(z.shape)
        counts = torch.maximum(log_q0, log_p + log_slope) + (cells.high - cells.low).log()[:, None]
        index = (counts.flatten() > math.log(_MATTERS) - _SPARE).nonzero()[:, 0]
        x, own = cells.image[:, INNER].flatten()[index], pieces.of(cells).repeat_interleave(z.shape[1])[index]
        for those, preimages, log_slopes in pieces.preimages(x, own, log_q[index] - _STEEP):
            branch = law.log_density(preimages) - log_slopes
            log_q[index[those]] = torch.logaddexp(log_q[index[those]], branch)
        return log_q.reshape(z.shape)

    def _lost(self, cells: Cells, log_p: Tensor) -> Tensor:
        """The mass of p between the images of the ends that is not on the nodes, beyond rounding."""
        there = self._mass(torch.minimum(*cells.image[:, (0, -1)].T), torch.maximum(*cells.image[:, (0, -1)].T))
        if there is None:
            return torch.zeros_like(cells.low)
        on_nodes, _ = integrals(cells.low, cells.high, (log_p + cells.log_slope[:, INNER]).exp())
        rounding = (log_p.exp() * cells.image[:, INNER].abs()).amax(1)
        lost = (there - on_nodes).abs().nan_to_num(nan=1.0)
        return torch.where(lost > _LOST * there + 16 * self.F.rounding * (1 + rounding), lost, 0.0)

    # ---- halving ----------------------------------------------------------------------------------------------------
    def _refined(self, cells: Cells, pieces: Pieces, *, to_the_end: bool) -> tuple[Cells, _Sums, bool]:
        """The cells halved where the error is; or, unless `to_the_end`, until F turns where it was not seen to."""
        sums = self._sums(cells, pieces)
        while self.F.evaluations < _MOST:
            total = float(sums.error.sum())
            tolerance = max(_RELATIVE * float(sums.value.sum()), _ABSOLUTE)
            if total <= tolerance:
                break
            order = sums.error.argsort(descending=True)
            rest = total - sums.error[order].cumsum(0)
            worst = order[: int((rest > tolerance / 2).sum()) + 1]
            worst = worst[(divisible(self.F, cells) & (sums.stalls < _STALLS))[worst]]
            if not len(worst):
                break
            parents, before = chosen(cells, worst), chosen(sums, worst)
            children = halved(self.F, parents)
            after = self._after(before, self._sums(children, pieces))
            rest_of_them = torch.ones(len(cells.low), dtype=torch.bool)
            rest_of_them[worst] = False
            cells, sums = joined(chosen(cells, rest_of_them), children), joined(chosen(sums, rest_of_them), after)
            turned = (children.sign[:, INNER] * pieces.rising(children)[:, None] < 0).any()
            if bool(turned) and not to_the_end:
                return cells, sums, True
        return cells, sums, False

    @staticmethod
    def _after(before: _Sums, after: _Sums) -> _Sums:
        """The sums of both halves, with the number of halvings that brought no gain."""
        error, value = (field.reshape(2, -1).sum(0) for field in (after.error, after.value))
        stalled = (error > _GAIN * before.error) & (error < _STALLED * value.abs())
        stalls = torch.where(stalled, before.stalls + 1, 0.0)
        return after._replace(stalls=stalls.repeat(2))

    # ---- the sum ----------------------------------------------------------------------------------------------------
    def _summary(self, cells: Cells, pieces: Pieces, sums: _Sums, outside: float) -> _Integral:
        def whole(values: Tensor) -> float:
            return float(integrals(cells.low, cells.high, values)[0].sum())

        covered = 1 - outside - float(sums.lost[~divisible(self.F, cells)].sum())
        carried = (sums.log_q0 + sums.log_ratio).exp()
        if self._mass(cells.low[:1], cells.high[:1]) is None:
            covered = whole(carried)
        edge = 1 - covered if self.direction == MODEL_DATA else covered - 1
        value = whole(_terms(sums.log_q0, sums.log_ratio, self.direction))
        error = float(sums.error.sum())
        if self.law.rough is not None:
            log_rough = self.law.rough.log_density(points(cells.low, cells.high)[:, INNER])
            log_ratio = sums.log_p - self._log_q(self.law.rough, cells, pieces, sums.log_p)
            error += abs(value - whole(_terms(log_rough, log_ratio, self.direction)))
        weight = sums.log_q0.exp() if self.direction == MODEL_DATA else carried
        missed = whole(weight * torch.nn.functional.softplus(self.law.log_missed - sums.log_q0))
        nothing = weight * 0
        if self.direction == MODEL_DATA:
            uncovered = whole(torch.where(sums.log_ratio == -math.inf, weight, nothing))
        else:
            uncovered = 1 - covered
        mass = sums.log_q0.exp() * KRONROD * (cells.high - cells.low)[:, None] / 2
        return _Integral(max(0.0, value + edge), error, missed, uncovered, sums.log_p.flatten(), mass.flatten())


def _terms(log_q0: Tensor, log_ratio: Tensor, direction: Direction) -> Tensor:
    """q₀ (r − 1 − log r) or q₀ (r log r − r + 1), from logarithms; 0 where the former is infinite."""
    q0, r = log_q0.exp(), log_ratio
    near = r.clamp(-1, 1)
    carried = torch.where(r == -math.inf, 0.0, (log_q0 + r).exp())  # p |F'| where there is one branch
    if direction == MODEL_DATA:
        small, large = torch.expm1(near) - near, carried - q0 - q0 * r.nan_to_num(neginf=-1.0)
    else:
        small, large = near * near.exp() - torch.expm1(near), carried * (r.nan_to_num(neginf=0.0) - 1) + q0
    return torch.where(r.abs() < _NEAR, q0 * small, large)


@fits(15)
def _attempt(problem: Problem) -> Estimate | None:
    """Any chain on the line."""
    if problem.target.dim > 1:
        return None
    return kl_1d(problem.f, problem.target, problem.chain, direction=problem.direction)
