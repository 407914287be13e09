r"""KL of a deterministic sampler against the truth, from the model's own density.

The density of x = f(z) comes from the change of variables (:mod:`cmcore.divergences.push_forward`), and
:math:`KL(q\|p_\delta) = E_q[\log q - \log p_\delta]` is a mean over noise (:mod:`cmcore.divergences.log_ratio`).

Where the map folds (several z with one image; det J < 0 somewhere) the branch a point came by is only a part of its
density. The mean over branches is then KL(q‖p) − H(branch | x), a lower bound that can even be negative.
"""

import torch
from torch import Tensor

from cmcore.chain import JumpMap, like_map
from cmcore.divergences.estimate import ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator
from cmcore.divergences.log_ratio import LogRatioKL, kl_from_log_ratio
from cmcore.divergences.noise import noise_in_rows
from cmcore.divergences.off_mode import density_level, off_mode_mass
from cmcore.divergences.push_forward import Branch, push_forward
from cmcore.grids import TimeGrid
from cmcore.targets.base import Target

__all__ = ["kl_change_of_variables"]

ESTIMATORS.register("change_of_variables")(
    Estimator("change of variables", "The model's exact density at its own samples, from the Jacobians of the jumps.")
)


def kl_change_of_variables(
    f: JumpMap,
    target: Target,
    grid: TimeGrid,
    *,
    seed: int,
    n: int = 20_000,
    direction: Direction = MODEL_DATA,
) -> Estimate:
    """KL(q‖p_δ) of a deterministic sampler, in nats.

    Args:
        f: the map of the jumps.
        target: the truth; its log_prob must be exact at δ.
        grid: the times.
        seed: of the noise.
        n: points; in the plane rounded down to 16 × a power of two.
        direction: which KL.
    """
    dtype, device = like_map(f)
    noise = noise_in_rows(n, target.dim, seed=seed)
    rows = noise.shape[:2]
    branch = push_forward(f, noise.flatten(0, 1).to(device, dtype), grid)
    branch = Branch(branch.points.cpu(), branch.log_density.cpu(), branch.orientation.cpu())
    log_p = target.log_prob(branch.points, grid.delta)
    folds = fold_share(branch.orientation)
    kl = kl_from_log_ratio((log_p - branch.log_density).reshape(rows), control_variate=folds == 0)
    diagnostics = {
        "k1": kl.k1,
        "mean_ratio": kl.mean_ratio,
        "mean_ratio_error": kl.mean_ratio_error,
        "fold_share": folds,
        "off_mode_mass": off_mode_mass(target, branch.points, grid.delta),
        "off_mode_floor": density_level(target, grid.delta)[1],
    }
    return Estimate(
        value=kl.value,
        low=kl.low,
        high=kl.high,
        direction=direction,
        delta=grid.delta,
        estimator="change_of_variables",
        n=log_p.numel(),
        floor=_floor(kl, dtype),
        trusted=folds == 0,
        note="" if folds == 0 else "The map folds: this is a lower bound.",
        diagnostics=diagnostics,
    )


def fold_share(orientation: Tensor) -> float:
    """Share of points where the map turns space over against the majority; 0 for a one-to-one map."""
    negative = float((orientation < 0).double().mean())
    return min(negative, 1 - negative)


def _floor(kl: LogRatioKL, dtype: torch.dtype) -> float:
    """What an exact map would show: the interval of k1, or for CV the rounding of the map's own arithmetic."""
    return kl.high - kl.value if kl.form == "k1" else 10 * torch.finfo(dtype).eps
