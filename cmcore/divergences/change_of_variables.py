r"""KL of a deterministic sampler against the truth, from the model's own density.

The density of x = f(z) comes from the change of variables (:mod:`cmcore.divergences.push_forward`), and
:math:`KL(q\|p_\delta) = E_q[\log q - \log p_\delta]` is a mean over noise (:mod:`cmcore.divergences.log_ratio`).

Where the map folds (several z with one image; det J < 0 somewhere) the branch a point came by is only a part of its
density. The mean over branches is then KL(q‖p) − H(branch | x), a lower bound that can even be negative. In the plane
all preimages are found and summed; elsewhere the result is the bracket [k1, k1 + E log(number of preimages)].
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cmcore.chain import JumpMap, like_map
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator
from cmcore.divergences.log_ratio import (
    LogRatioKL,
    kl_from_both_laws,
    kl_from_log_ratio,
    mean_and_error,
    quantile,
)
from cmcore.divergences.noise import weighted_noise
from cmcore.divergences.off_mode import density_level, off_mode_mass
from cmcore.divergences.pilot import pilot
from cmcore.divergences.plane_mesh import PlaneMesh
from cmcore.divergences.preimages import Candidates, Density, NoiseCloud, full_density
from cmcore.divergences.push_forward import Branch, doubled, push_forward, transport
from cmcore.grids import TimeGrid
from cmcore.streams import stream
from cmcore.targets.base import Target

__all__ = ["SAMPLES", "kl_change_of_variables"]

ESTIMATORS.register("change_of_variables")(
    Estimator("change of variables", "The model's exact density at its own samples, from the Jacobians of the jumps.")
)
ESTIMATORS.register("preimages")(
    Estimator("all preimages", "The map folds, so the density at a point is summed over every noise that leads there.")
)
ESTIMATORS.register("bracket")(
    Estimator("bracket", "The map folds: the truth lies between one branch's density and all branches counted in full.")
)
ESTIMATORS.register("inversion")(
    Estimator("inversion", "The model's exact density at exact samples of the data, by solving for the noise.")
)

SAMPLES = 20_000
"""The default number of samples."""

_MOST_SOLVES = 1_600_000
"""Preimages looked for × jumps × Newton steps: beyond it a KL would take minutes, and gets a bracket that is right."""

_INVERTED = 4096
"""Data points inverted for KL(data‖model): each costs a Newton solve through all jumps, in float64."""
_UNREACHED = 4.4e-6
"""What noise beyond the reach of the mesh, of probability m = 2.7e-7, may change in a sum over preimages, in nats: at
most the entropy m (1 + log 1/m) of whether a point came from there."""
_PATIENCE = 40
"""Starts, and Newton steps from each, for data whose preimage is not where it was expected."""


@dataclass(frozen=True)
class _Draw:
    """Weighted noise pushed forward, compared with the truth."""

    f: JumpMap
    target: Target
    grid: TimeGrid
    noise: Float[Tensor, "n d"]
    weight: Float[Tensor, "rows m"]
    branch: Branch
    log_p: Float[Tensor, " n"]

    @property
    def fold_share(self) -> float:
        """Weighted share of points where the map turns space over against the majority; 0 for a one-to-one map."""
        flat = self.weight.flatten()
        negative = float((flat * (self.branch.orientation < 0)).sum() / flat.sum())
        return min(negative, 1 - negative)

    @cached_property
    def mesh(self) -> PlaneMesh:
        """Where preimages may be, in the plane."""
        return PlaneMesh(self.f, self.grid, turned=self.noise[self.branch.orientation < 0])

    def kl(self, log_q: Tensor, *, control_variate: bool = True) -> LogRatioKL:
        return kl_from_log_ratio(self.rows(self.log_p - log_q), self.weight, control_variate=control_variate)

    def rows(self, values: Tensor) -> Float[Tensor, "rows m"]:
        return values.reshape(self.weight.shape)

    def diagnostics(self, kl: LogRatioKL) -> dict[str, float]:
        delta = self.grid.delta
        return {
            "k1": kl.k1,
            "mean_ratio": kl.mean_ratio,
            "mean_ratio_error": kl.mean_ratio_error,
            "fold_share": self.fold_share,
            "off_mode_mass": off_mode_mass(self.target, self.log_p, self.weight.flatten(), delta=delta),
            "off_mode_floor": density_level(self.target, delta)[1],
        }


def kl_change_of_variables(
    f: JumpMap,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    n: int = SAMPLES,
    direction: Direction = MODEL_DATA,
) -> Estimate:
    """KL between the law q of a deterministic sampler and p_δ, in nats, in either direction.

    Args:
        f: the map of the jumps.
        target: the truth; its log_prob must be exact at δ.
        grid: the times.
        seed: of the noise.
        n: samples; in the plane rounded down to 16 × a power of two.
        direction: which KL.
    """
    draw = _drawn(f, target, grid, n, seed)
    # Several preimages show in the sign of det J, or, where none is turned over, in a mean ratio above 1.
    folds = draw.fold_share > 0 or draw.kl(draw.branch.log_density, control_variate=False).misses_preimages
    if direction == DATA_MODEL:
        return _data_model(draw, seed, folds=folds)
    if not folds:
        return _plain(draw, draw.branch.log_density, "change_of_variables")
    if target.dim != 2:
        return _bracket(draw)
    log_q = _unfolded(draw, draw.mesh)
    return _one_branch(draw) if log_q is None else _plain(draw, log_q, "preimages")


def _drawn(f: JumpMap, target: Target, grid: TimeGrid, n: int, seed: int) -> _Draw:
    dtype, device = like_map(f)
    warp = pilot(f, target, grid).draw if target.dim == 2 else None
    noise, weight = weighted_noise(n, target.dim, seed=seed, warp=warp)
    noise = noise.flatten(0, 1).to(dtype)  # the noise that the map is given, to its last digit
    branch = push_forward(f, noise.to(device), grid)
    branch = Branch(branch.points.cpu(), branch.log_density.cpu(), branch.orientation.cpu())
    return _Draw(f, target, grid, noise.double(), weight, branch, target.log_prob(branch.points, grid.delta))


# ---- KL(model‖data) -------------------------------------------------------------------------------------------------
def _plain(draw: _Draw, log_q: Tensor, estimator: str) -> Estimate:
    """The mean of log q − log p, given the full log q."""
    kl = draw.kl(log_q)
    one_branch = draw.kl(draw.branch.log_density, control_variate=False)
    diagnostics = draw.diagnostics(kl) | {"k1": one_branch.k1}
    half = kl.half_width + (_UNREACHED if estimator == "preimages" else 0.0)
    estimate = _estimate(draw, MODEL_DATA, estimator, kl.value, half, _floor(draw, kl), diagnostics)
    if kl.form == "CV" and draw.target.dim > 2:
        estimate = _admitting_lost_mass(estimate, kl)
    return _lower_bound_only(estimate) if kl.misses_preimages else estimate


def _admitting_lost_mass(estimate: Estimate, kl: LogRatioKL) -> Estimate:
    """The lower end from CV and the upper from k1, 95 % each.

    Beyond the plane CV cannot see a mode lost below the error of the mean ratio. Such a loss only raises the KL, so
    that CV still bounds it from below; k1 is right with and without it. Without a loss the upper end hardly misses,
    with one the lower: together the two ends hold the truth in 95 %.
    """
    one_sided = quantile(kl.rows, 0.95)
    low = kl.value - kl.half_width * one_sided / quantile(kl.rows)
    high = max(kl.value + kl.half_width, kl.k1 + one_sided * kl.k1_error)
    return replace(estimate, low=low, high=high, floor=max(estimate.floor, 3 * kl.mean_ratio_error))


def _lower_bound_only(estimate: Estimate) -> Estimate:
    """An estimate whose mean ratio shows that not every preimage was found, so that log q is too small somewhere."""
    note = (
        "The map folds more finely than its preimages can be found: the KL is larger than this, by an unknown amount."
    )
    return replace(estimate, high=math.inf, trusted=False, note=note)


def _unfolded(draw: _Draw, mesh: PlaneMesh) -> Float[Tensor, " n"] | None:
    """log q at the draw's own points, summed over all preimages, in the plane; None where that is too much work."""
    candidates = mesh.candidates(draw.branch.points)
    own = draw.branch.log_density
    # A turned branch, or one that is not the main one, has company that must be found.
    doubtful = candidates.several | (draw.branch.orientation < 0) | (own < candidates.leading - 3)
    log_q = torch.logaddexp(own, candidates.minor)
    index = doubtful.nonzero()[:, 0]
    if _too_much(candidates.of(index, draw.noise[index]), draw.grid):
        return None
    log_q[index] = _with_company(draw, candidates, index).log_density
    return log_q


def _too_much(candidates: Candidates, grid: TimeGrid, *, newton_steps: int = 8) -> bool:
    return len(candidates.index) * grid.steps * newton_steps > _MOST_SOLVES


def _one_branch(draw: _Draw) -> Estimate:
    """KL(model‖data) from below: q is at least the density of the branch that each sample came by."""
    kl = draw.kl(draw.branch.log_density, control_variate=False)
    note = "The map folds so much that its preimages were not all looked for: the KL is at least the lower end."
    estimate = _estimate(draw, MODEL_DATA, "bracket", kl.value, kl.half_width, kl.half_width, draw.diagnostics(kl))
    return replace(estimate, low=max(0.0, kl.value - kl.half_width), high=math.inf, trusted=False, note=note)


def _bracket(draw: _Draw) -> Estimate:
    """[k1, k1 + E log(number of preimages)]; the value counts the preimages found by their densities."""
    cloud = NoiseCloud(draw.noise, draw.branch.points)
    turned = draw.branch.orientation < 0
    index = turned[cloud.nearest(draw.branch.points)].any(1).nonzero()[:, 0]
    found = _with_company(draw, cloud.candidates(draw.branch.points), index)
    own = draw.branch.log_density
    summed, counted = own.clone(), own.clone()
    summed[index] = found.log_density
    counted[index] += found.count.clamp_min(1).double().log()
    k1, value, top = (draw.kl(log_q, control_variate=False) for log_q in (own, summed, counted))
    note = "The map folds: the interval brackets the truth between one branch and all branches counted in full."
    estimate = _estimate(
        draw, MODEL_DATA, "bracket", value.value, value.half_width, value.half_width, draw.diagnostics(k1), note
    )
    estimate = replace(estimate, low=k1.value - k1.half_width, high=top.value + top.half_width)
    return _lower_bound_only(estimate) if value.misses_preimages else estimate


def _with_company(draw: _Draw, candidates: Candidates, index: Int[Tensor, " m"]) -> Density:
    """The full density at some of the draw's points, whose own noise is one of the preimages."""
    f = doubled(draw.f)
    noise = draw.noise[index]
    return full_density(f, draw.grid, transport(f, noise, draw.grid), candidates.of(index, noise))


# ---- KL(data‖model) -------------------------------------------------------------------------------------------------
def _data_model(draw: _Draw, seed: int, *, folds: bool) -> Estimate:
    """By the ratio at the model's own points where q is seen to cover p; otherwise at the data, by inversion."""
    source = draw.mesh if draw.target.dim == 2 and folds else None
    log_q = draw.branch.log_density
    if folds:
        log_q = None if source is None else _unfolded(draw, source)
    branch = draw.kl(draw.branch.log_density, control_variate=False)
    kl = branch if log_q is None else draw.kl(log_q)
    # Beyond the plane a small lost mode can hide in the error of the mean ratio, and a control variate would narrow
    # the interval past what few data tell of a thin tail: there the plain mean over the data stays.
    if draw.target.dim > 2 or log_q is None or kl.misses_preimages:
        return _inverted(draw, seed, branch, source=source)
    if kl.form == "CV":
        return _by_ratio(draw, log_q, kl, "preimages" if folds else "change_of_variables")
    return _inverted(draw, seed, kl, source=source, own=log_q)


def _by_ratio(draw: _Draw, log_q: Tensor, kl: LogRatioKL, estimator: str) -> Estimate:
    """E_q[r log r − r + 1] with r = p/q: no inversion, but only where the mean of r shows that q covers p."""
    log_ratio = draw.rows(draw.log_p - log_q)
    ratio = log_ratio.exp()
    # r log r → 0 as r → 0, where log r itself may be −∞.
    product = torch.where(ratio > 0, ratio * log_ratio, 0.0)
    value, error = mean_and_error(draw.weight * (product - ratio + 1), draw.weight - 1)
    half = quantile(len(draw.weight)) * error
    return _estimate(draw, DATA_MODEL, estimator, value, half, _floor(draw, kl), draw.diagnostics(kl))


def _inverted(
    draw: _Draw, seed: int, reverse: LogRatioKL, *, source: PlaneMesh | None, own: Tensor | None = None
) -> Estimate:
    """The mean of log p − log q at exact samples of p_δ, whose preimages are solved for.

    `own`, log q in full at the draw's own points, makes a control variate.
    """
    n = min(len(draw.log_p), _INVERTED)
    data = draw.target.sample(n, t=draw.grid.delta, generator=stream(seed, "inverted data"))
    cloud = NoiseCloud(draw.noise, draw.branch.points)
    if source is None and draw.target.dim == 2:
        source = draw.mesh
    f, candidates = doubled(draw.f), (source or cloud).candidates(data)
    every = not _too_much(candidates, draw.grid)
    log_q = full_density(f, draw.grid, data, candidates if every else cloud.candidates(data, 1)).log_density
    missed = (~torch.isfinite(log_q)).nonzero()[:, 0]
    again = cloud.candidates(data[missed], neighbours=_PATIENCE)
    if _too_much(again, draw.grid, newton_steps=_PATIENCE):
        every = False
    else:
        log_q[missed] = full_density(f, draw.grid, data[missed], again, newton_steps=_PATIENCE).log_density
    covered = torch.isfinite(log_q)
    uncovered = 1 - float(covered.double().mean())
    log_ratio = (log_q - draw.target.log_prob(data, draw.grid.delta))[covered]
    if own is not None and every and not uncovered:
        value, half = kl_from_both_laws(log_ratio, draw.rows(own - draw.log_p), draw.weight)
    else:
        value, error = mean_and_error(-log_ratio[:, None]) if len(log_ratio) else (math.inf, math.inf)
        half = quantile(n) * error
    note = f"No noise leads to {uncovered:.2%} of the data: KL(data‖model) is infinite or far larger." * (uncovered > 0)
    diagnostics = draw.diagnostics(reverse) | {"uncovered_share": uncovered}
    estimate = _estimate(draw, DATA_MODEL, "inversion", value, half, half, diagnostics, note)
    estimate = replace(estimate, n=n, trusted=uncovered == 0)
    estimate = replace(estimate, high=math.inf) if uncovered else estimate
    few = "The map folds so much that few preimages of each point were looked for: the KL is at most the upper end."
    return estimate if every else replace(estimate, low=0.0, trusted=False, note=few)


# ---- what every estimate says ---------------------------------------------------------------------------------------
def _floor(draw: _Draw, kl: LogRatioKL) -> float:
    """What an exact map would show: the interval of k1, or under CV the rounding of the map's own arithmetic."""
    dtype, _ = like_map(draw.f)
    return kl.half_width if kl.form == "k1" else 10 * torch.finfo(dtype).eps


def _estimate(  # noqa: PLR0917
    draw: _Draw,
    direction: Direction,
    estimator: str,
    value: float,
    half: float,
    floor: float,
    diagnostics: Mapping[str, float],
    note: str = "",
) -> Estimate:
    """An estimate with a symmetric interval, or a plain word where it is infinite or could not be computed."""
    # Twice the interval: once in thousands of estimates of a KL near 0, not once in forty.
    finite = math.isfinite(value) and math.isfinite(half) and value + 2 * half >= 0
    return Estimate(
        value=value,
        low=value - half if finite else 0.0,
        high=value + half if finite else math.inf,
        direction=direction,
        delta=draw.grid.delta,
        estimator=estimator,
        n=draw.log_p.numel(),
        floor=floor,
        trusted=finite,
        note=note or ("" if finite else _not_finite(value)),
        diagnostics=diagnostics,
    )


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "The map gives values that are not numbers, so the KL could not be computed."
    if math.isfinite(value):
        return "The estimate is below zero by more than its error: the map has several preimages that were not found."
    return "Some samples lie where the data has no density: the KL is infinite."
