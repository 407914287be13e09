r"""KL(data‖model) from the model's density at exact samples of the data, by solving for the noise behind them.

Whatever is missed makes the density too small. So three things are told apart. *Found*: the interval is two-sided.
*Not found*: no noise was found for some of the data; the upper end is infinite, and the lower one is the variational
bound (:mod:`cmcore.divergences.variational`), which holds whatever was missed. *Not there*: the mean of p/q over the
model, E_q[p/q], which is the share of the data where q has a density, stays below 1 by more than its error; only then
is the KL said to be infinite.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, Estimate, Estimator
from cmcore.divergences.tools.data_draw import DataDraw, draw_data, tangent_guess
from cmcore.divergences.tools.log_ratio import LogRatioKL, interval, kl_at_data, mean_and_error, quantile
from cmcore.divergences.tools.model_draw import ModelDraw
from cmcore.divergences.tools.preimages import Roots, all_roots, density_of, merged
from cmcore.divergences.variational import variational_bound
from cmcore.grids import TimeGrid
from cmcore.streams import stream

ESTIMATORS.register("inversion")(
    Estimator("inversion", "The model's exact density at exact samples of the data, by solving for the noise.")
)

_MOST_SOLVES = 1_600_000
"""Preimages looked for × jumps × Newton steps: beyond it a KL would take minutes."""
_INVERTED = 4096
"""Data points inverted for KL(data‖model): each costs a Newton solve through all jumps, in float64."""
_CHECKED = 2048
"""Points of the model whose own noise is looked for, to see what the search misses."""
_NEWTON = 8
_PATIENCE = 40
"""Newton steps for data whose preimage is not where it was expected."""
_IN_THE_PLANE, _STARTS = 2, 8
"""Nearest images that Newton's method starts from where the map does not fold, in the plane and beyond."""
_DIVERSE, _AMONG = 24, 384
"""Where it folds beyond the plane: so many that lie apart in the noise, among so many nearest images."""
_MORE_STARTS = ((40, 4096), (400, 32768))
"""The same for points without any preimage yet, in turn."""
_SAME = 1e-3
_BOUND_SAMPLES = 20_000


@dataclass(frozen=True)
class DataDensity:
    """The model's density at samples of the data.

    Attributes:
        data: the samples.
        log_q: log q at them; −∞ where no noise was found.
        log_p: log p_δ at them.
        complete: whether all starts were tried; else log q may be too small at any of them.
    """

    data: DataDraw
    log_q: Float[Tensor, " n"]
    log_p: Float[Tensor, " n"]
    complete: bool

    @property
    def covered(self) -> Bool[Tensor, " n"]:
        """Where noise was found."""
        return torch.isfinite(self.log_q)

    @property
    def uncovered_share(self) -> float:
        """The share of the data for which no noise was found."""
        return self.data.share(~self.covered)


def too_much(starts: int, grid: TimeGrid, *, newton_steps: int = _NEWTON) -> bool:
    """Whether Newton's method from so many starts would take minutes."""
    return starts * grid.steps * newton_steps > _MOST_SOLVES


def density_at_data(draw: ModelDraw, n: int, *, folds: bool) -> DataDensity:
    """log q at about n samples of the data, more of them where the model is thin."""
    generator = stream(draw.seed, "tangents")
    chosen = torch.multinomial(draw.weight.flatten(), 1024, replacement=True, generator=generator)
    guess = tangent_guess(draw.composed, draw.noise[chosen])
    delta = draw.grid.delta
    data = draw_data(draw.target, delta, n, seed=draw.seed, score=lambda x: draw.target.log_prob(x, delta) - guess(x))
    log_q, complete = _log_density(draw, data.points, folds=folds)
    return DataDensity(data, log_q, draw.target.log_prob(data.points, draw.grid.delta), complete)


def _log_density(draw: ModelDraw, points: Float[Tensor, "n d"], *, folds: bool) -> tuple[Float[Tensor, " n"], bool]:
    """log q at points, and whether all starts were tried."""
    roots, minor, complete = _search(draw, points, folds=folds)
    return density_of(roots, minor).log_density, complete


def _search(draw: ModelDraw, points: Float[Tensor, "n d"], *, folds: bool) -> tuple[Roots, Float[Tensor, " n"], bool]:
    """Preimages of points: near where they are expected, and then from many starts for points without any."""
    composed, cloud = draw.composed, draw.cloud
    if not folds:
        candidates = cloud.candidates(points, _STARTS if draw.target.dim > 2 else _IN_THE_PLANE)
    elif draw.target.dim == 2:
        candidates = draw.mesh.candidates(points)
    else:
        candidates = cloud.diverse(points, _DIVERSE, among=_AMONG)
    complete = not too_much(len(candidates.index), draw.grid)
    if not complete:
        candidates = cloud.candidates(points, 1)
    roots = all_roots(composed, points, candidates, newton_steps=_NEWTON)
    minor = candidates.minor
    for count, among in _MORE_STARTS:
        missed = torch.isneginf(density_of(roots, minor).log_density).nonzero()[:, 0]
        # Choosing starts costs more than solving from them: asked first whether they can be solved from at all.
        if too_much(len(missed) * min(count, len(cloud.noise)), draw.grid, newton_steps=_PATIENCE):
            return roots, minor, False
        starts = cloud.diverse(points[missed], count, among=among)
        more = all_roots(composed, points[missed], starts, newton_steps=_PATIENCE)
        roots = merged(roots, more._replace(point=missed[more.point]))
    return roots, minor, complete


def kl_by_inversion(draw: ModelDraw, reverse: LogRatioKL, *, folds: bool, own: Tensor | None = None) -> Estimate:
    """The mean of log p − log q at exact samples of p_δ, whose preimages are solved for.

    Args:
        draw: the model.
        reverse: the other KL of the same draw, for the diagnostics.
        folds: whether a point may have several preimages.
        own: log q in full at the draw's own points; it makes a control variate.
    """
    density = density_at_data(draw, min(draw.log_p.numel(), _INVERTED), folds=folds)
    data, lost, log_ratio = density.data, density.uncovered_share, density.log_q - density.log_p
    diagnostics = draw.diagnostics(reverse) | {"uncovered_share": lost}
    of_covered = data.mean(torch.where(density.covered, -log_ratio, 0.0))
    missed = _missed_nats(draw) if density.complete and folds and draw.target.dim > 2 else 0.0
    whole = draw.kl(draw.branch.log_density if own is None else own, control_variate=False)
    away = _not_there(whole, lost, len(data.points)) if lost else 0.0
    if not lost and density.complete and own is not None:
        mean = kl_at_data(data, log_ratio, draw.rows(own - draw.log_p), draw.weight)
    else:
        mean = of_covered._replace(value=of_covered.value / (1 - lost) if lost < 1 else math.inf)
    half = quantile(1 + int(min(mean.freedom, 1e9))) * mean.error
    ends, note = interval(mean), _uncovered_note(lost, away)
    estimate = draw.estimate(DATA_MODEL, "inversion", mean.value, ends, half, diagnostics, note)
    estimate = replace(estimate, n=len(data.points), low=max(0.0, estimate.low - missed))
    if not lost and density.complete and missed <= half:
        return estimate
    # Of what was not found, log p/q adds at least m log m, m its share of the data: all of q may be there.
    share = min(1 / math.e, lost + 3 / len(data.points))
    counted = interval(of_covered)[0] + share * math.log(share) - missed
    in_full = density.complete and not (own is None and draw.target.dim == 2)
    return _one_sided(draw, estimate, lost, least=counted if in_full else 0.0, not_there=away > 0)


def _one_sided(draw: ModelDraw, estimate: Estimate, lost: float, *, least: float, not_there: bool) -> Estimate:
    """What is left where preimages were missed: a bound below, and above what was found if there was some for all."""
    samples = draw.composed.images(draw.plain_noise(_BOUND_SAMPLES))
    low = max(least, variational_bound(samples, draw.target, draw.grid.delta, seed=draw.seed))
    note = estimate.note or (
        "The map folds so much that few preimages of each point were looked for: the KL is at most the upper end."
    )
    high = math.inf if lost else max(low, estimate.high)
    value = math.inf if not_there else min(high, max(low, estimate.value))
    return replace(estimate, value=value, low=low, high=high, trusted=False, note=note)


def _not_there(kl: LogRatioKL, lost: float, points: int) -> float:
    """The share of the data, surely more than this, where the model has less mass than any of its samples shows.

    E_q[p/q] is the share of p where q has a density; where not all of q's preimages are counted it can only be larger.
    Of data where q has none nothing is found, so that a lack larger than the share that was not found is one of few
    samples: p/q is then large where q is small but there, and the mean says nothing.

    Args:
        kl: of the model's own draw.
        lost: share of the data for which no noise was found.
        points: of the data.
    """
    share = 1 - kl.mean_ratio - quantile(kl.rows, 0.999) * kl.mean_ratio_error
    return share if share <= lost + 3 * math.sqrt(lost / points) + 3 / points else 0.0


def _uncovered_note(lost: float, not_there: float) -> str:
    if not lost:
        return ""
    if not_there > 0:
        return f"The model has no mass where at least {not_there:.2%} of the data is: the KL is infinite or far larger."
    return f"No noise was found for {lost:.2%} of the data, which may be there: the KL is at least the lower end."


def _missed_nats(draw: ModelDraw) -> float:
    r"""How much the density from the roots that are found may be too low, E_p[log q − log q_found], in nats: a limit.

    The search is run at points of the model, whose own noise is known and not shown to it. With s(x) the share of q(x)
    that it misses, that noise is missed with probability s(x), so :math:`E_p[-\log(1 - s)]` is the mean over the model
    of p/q · (−log(1 − s)/s) where it was missed.
    """
    count = min(_CHECKED, draw.log_p.numel())
    chosen = torch.arange(0, draw.log_p.numel(), max(1, draw.log_p.numel() // count))[:count]
    points, noise, own = draw.branch.points[chosen], draw.noise[chosen], draw.branch.log_density[chosen]
    roots, minor, complete = _search(draw, points, folds=True)
    if not complete:
        return math.inf
    seen = torch.zeros(len(points), dtype=torch.bool)
    same = (roots.noise - noise[roots.point]).norm(dim=1) < _SAME * (1 + noise[roots.point].norm(dim=1))
    seen[roots.point[same]] = True
    of_roots = density_of(roots, minor).log_density
    log_q = torch.where(seen, of_roots, torch.logaddexp(of_roots, own))
    # −log(1 − s)/s at s = own/q; where nothing at all was found, the data would have been counted as not found.
    share = (own - log_q).exp().clamp(1e-12, 1 - 1e-9)
    each = torch.where(seen | torch.isneginf(of_roots), 0.0, -torch.log1p(-share) / share)
    weight = draw.weight.flatten()[chosen] * (draw.log_p[chosen] - log_q).exp()
    weight = weight.nan_to_num(nan=0.0, posinf=0.0)
    mean, error = mean_and_error((weight * each / weight.mean())[:, None])
    effective = float(weight.sum() ** 2 / weight.square().sum())
    return mean + quantile(count) * error + 3 / effective
