r"""KL of a deterministic sampler against the truth, from the model's own density.

The density of x = f(z) comes from the change of variables (:mod:`cmcore.divergences.tools.push_forward`), and
:math:`KL(q\|p_\delta) = E_q[\log q - \log p_\delta]` is a mean over noise (:mod:`cmcore.divergences.tools.log_ratio`).

Where the map folds (several z with one image; det J < 0 somewhere) the branch a point came by is only a part of its
density. The mean over branches is then KL(q‖p) − H(branch | x), a lower bound that can even be negative. In the plane
all preimages are found and summed; elsewhere the result is the bracket [k1, k1 + E log(number of preimages)].
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cmcore.chain import JumpMap
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.inversion import kl_by_inversion, too_much
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.log_ratio import LogRatioKL, interval, kl_by_ratio, quantile
from cmcore.divergences.tools.model_draw import ModelDraw, draw_model
from cmcore.divergences.tools.plane_mesh import PlaneMesh
from cmcore.divergences.tools.preimages import Candidates, Density, NoiseCloud, full_density
from cmcore.grids import TimeGrid
from cmcore.targets.base import Target

ESTIMATORS.register("change_of_variables")(
    Estimator("change of variables", "The model's exact density at its own samples, from the Jacobians of the jumps.")
)
ESTIMATORS.register("preimages")(
    Estimator(
        "exact density (all preimages)",
        "The map folds, so the density at a point is summed over every noise that leads there.",
    )
)
ESTIMATORS.register("bracket")(
    Estimator("bracket", "The map folds: the truth lies between one branch's density and all branches counted in full.")
)
SAMPLES = 20_000
"""The default number of samples."""

_THIN = math.log(3)
"""Where log p/q exceeds it, and adds most, preimages are looked for from many starts, with many steps from each."""
_DOUBTED, _DOUBTED_OF_FEW = 64, 8
_STARTS, _AMONG, _PATIENCE = 40, 4096, 40

_UNREACHED = 4.4e-6
"""What noise beyond the reach of the mesh, of probability m = 2.7e-7, may change in a sum over preimages, in nats: at
most the entropy m (1 + log 1/m) of whether a point came from there."""


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
    direction = direction_of(direction)
    draw = draw_model(f, target, grid, n, seed, direction)
    # Several preimages show in the sign of det J, or, where none is turned over, in a mean ratio above 1.
    folds = draw.fold_share > 0 or draw.kl(draw.branch.log_density, control_variate=False).misses_preimages
    if direction == DATA_MODEL:
        return _data_model(draw, folds=folds)
    if not folds:
        return _plain(draw, draw.branch.log_density, "change_of_variables")
    if target.dim != 2:
        return _bracket(draw)
    log_q = _unfolded(draw, draw.mesh)
    return _one_branch(draw) if log_q is None else _plain(draw, log_q, "preimages")


# ---- KL(model‖data) -------------------------------------------------------------------------------------------------
def _plain(draw: ModelDraw, log_q: Tensor, estimator: str) -> Estimate:
    """The mean of log q − log p, given the full log q."""
    kl = draw.kl(log_q)
    one_branch = draw.kl(draw.branch.log_density, control_variate=False)
    diagnostics = draw.diagnostics(kl) | {"k1": one_branch.k1}
    low, high = _around(kl)
    beyond = _UNREACHED if estimator == "preimages" else 0.0
    ends = low - beyond, high + beyond
    estimate = draw.estimate(MODEL_DATA, estimator, kl.value, ends, draw.floor(kl), diagnostics)
    estimate = replace(estimate, replicates=kl.replicates)
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


def _unfolded(draw: ModelDraw, mesh: PlaneMesh) -> Float[Tensor, " n"] | None:
    """log q at the draw's own points, summed over all preimages, in the plane; None where that is too much work."""
    candidates = mesh.candidates(draw.branch.points)
    own = draw.branch.log_density
    # A turned branch, or one that is not the main one, has company that must be found.
    doubtful = candidates.several | (draw.branch.orientation < 0) | (own < candidates.leading - 3)
    log_q = torch.logaddexp(own, candidates.minor)
    index = doubtful.nonzero()[:, 0]
    if too_much(len(candidates.of(index, draw.noise[index]).index), draw.grid):
        return None
    log_q[index] = _with_company(draw, candidates, index).log_density
    return _looked_for_widely(draw, log_q, candidates)


def _looked_for_widely(draw: ModelDraw, log_q: Tensor, candidates: Candidates) -> Float[Tensor, " n"]:
    """log q after a wider search where p/q is large: most often a far denser branch was missed there."""
    log_ratio = (draw.log_p - log_q).nan_to_num(nan=-math.inf)
    adds = draw.weight.flatten() * log_ratio.exp() * log_ratio
    index = adds.argsort(descending=True)[: _DOUBTED_OF_FEW if draw.few else _DOUBTED]
    index = index[log_ratio[index] > _THIN]
    if len(index) and not too_much(len(index) * _STARTS, draw.grid, newton_steps=_PATIENCE):
        wide = draw.cloud.diverse(draw.branch.points[index], _STARTS, among=_AMONG)
        wide = replace(wide, minor=candidates.minor[index])
        wide = wide.of(torch.arange(len(index)), draw.noise[index])
        density = full_density(draw.composed, draw.branch.points[index], wide, newton_steps=_PATIENCE).log_density
        log_q[index] = torch.maximum(log_q[index], density)
    return log_q


def _one_branch(draw: ModelDraw) -> Estimate:
    """KL(model‖data) from below: q is at least the density of the branch that each sample came by."""
    kl = draw.kl(draw.branch.log_density, control_variate=False)
    note = "The map folds so much that its preimages were not all looked for: the KL is at least the lower end."
    estimate = draw.estimate(MODEL_DATA, "bracket", kl.value, _around(kl), kl.half_width, draw.diagnostics(kl))
    return replace(estimate, high=math.inf, trusted=False, note=estimate.note or note)


def _around(kl: LogRatioKL) -> tuple[float, float]:
    return kl.value - kl.half_width, kl.value + kl.half_width


def _bracket(draw: ModelDraw) -> Estimate:
    """[k1, k1 + E log(number of preimages)]; the value counts the preimages found by their densities."""
    cloud = NoiseCloud(draw.noise, draw.branch.points)
    turned = draw.branch.orientation < 0
    index = turned[cloud.nearest(draw.branch.points)].any(1).nonzero()[:, 0]
    with_company = _with_company(draw, cloud.candidates(draw.branch.points), index)
    own = draw.branch.log_density
    summed, counted = own.clone(), own.clone()
    summed[index] = with_company.log_density
    counted[index] += with_company.count.clamp_min(1).double().log()
    k1, value, top = (draw.kl(log_q, control_variate=False) for log_q in (own, summed, counted))
    note = "The map folds: the interval brackets the truth between one branch and all branches counted in full."
    ends = _around(k1)[0], _around(top)[1]
    estimate = draw.estimate(MODEL_DATA, "bracket", value.value, ends, value.half_width, draw.diagnostics(k1), note)
    return _lower_bound_only(estimate) if value.misses_preimages else estimate


def _with_company(draw: ModelDraw, candidates: Candidates, index: Int[Tensor, " m"]) -> Density:
    """The full density at some of the draw's points, whose own noise is one of the preimages."""
    noise = draw.noise[index]
    return full_density(draw.composed, draw.branch.points[index], candidates.of(index, noise))


# ---- KL(data‖model) -------------------------------------------------------------------------------------------------
def _data_model(draw: ModelDraw, *, folds: bool) -> Estimate:
    """By the ratio at the model's own points where q is seen to cover p; otherwise at the data, by inversion."""
    plane = draw.target.dim == 2
    log_q = draw.branch.log_density if not folds else _unfolded(draw, draw.mesh) if plane else None
    branch = draw.kl(draw.branch.log_density, control_variate=False)
    kl = branch if log_q is None else draw.kl(log_q)
    # Beyond the plane a small lost mode can hide in the error of the mean ratio, and a control variate would narrow
    # the interval past what few data tell of a thin tail: there the plain mean over the data stays.
    if not plane or log_q is None or kl.misses_preimages:
        return kl_by_inversion(draw, branch, folds=folds)
    if kl.form == "CV":
        estimator = "preimages" if folds else "change_of_variables"
        mean = kl_by_ratio(draw.rows(draw.log_p - log_q), draw.weight)
        return draw.estimate(DATA_MODEL, estimator, mean.value, interval(mean), draw.floor(kl), draw.diagnostics(kl))
    return kl_by_inversion(draw, kl, folds=folds, own=log_q)


@fits(30)
def _attempt(problem: Problem) -> Estimate | None:
    """A chain without noise."""
    if not problem.chain.deterministic:
        return None
    n, direction = problem.n or SAMPLES, problem.direction
    return kl_change_of_variables(
        problem.f, problem.target, problem.chain.grid, seed=problem.seed, n=n, direction=direction
    )
