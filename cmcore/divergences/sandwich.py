r"""The law of a renoised sampler in more than two dimensions, between two mixtures.

The last stage adds Gaussian noise to landings m, so q = E N(·; m, s² I). At a sample x = m_i + s z the mixture over the
other M − 1 landings has a logarithm that is too small on average, and the mixture that includes x's own landing one
that is too large (Jensen's inequality; Yin & Zhou 2018, arXiv:1805.11183). Together they bracket KL(q‖p_δ). For
KL(p_δ‖q) there is only the upper side.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import Chain, JumpMap, land, like_map
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.log_ratio import mean_and_error, quantile
from cmcore.divergences.tools.off_mode import density_level, off_mode_mass
from cmcore.streams import stream
from cmcore.targets.base import Target

ESTIMATORS.register("sandwich")(
    Estimator("sandwich", "The noise of the last stage around many landings: one mixture too low, one too high.")
)

_EVALUATED = 4096
_PAIRS = 1 << 19
"""Of points and landings at once: 4 MB, which stay near the cache."""


def kl_sandwich(
    f: JumpMap, target: Target, chain: Chain, *, seed: int, n: int, direction: Direction = MODEL_DATA
) -> Estimate:
    """A bracket of the KL of a renoised chain in any dimension, in nats.

    Args:
        f: the map of the jumps.
        target: the truth.
        chain: the stages; the last must add noise.
        seed: of all noise.
        n: M, the number of landings; the bracket narrows as it grows, slowly when d is large.
        direction: which KL.
    """
    direction = direction_of(direction)
    last = chain.stages[-1]
    if last.spread <= 0:
        raise ValueError("The sandwich needs a last stage that adds noise.")
    centres = _centres(f, chain, n, target.dim, seed)
    if direction == MODEL_DATA:
        own = centres[:_EVALUATED]
        noise = torch.randn(own.shape, generator=stream(seed, "last noise"), dtype=torch.float64)
        points = own + last.spread * noise
    else:
        points = target.sample(_EVALUATED, t=chain.delta, generator=stream(seed, "sandwich data"))
    log_p = target.log_prob(points, chain.delta)
    total, own_share = _log_mixture(points, centres, last.spread, with_own=direction == MODEL_DATA)
    if direction == MODEL_DATA:
        without = total + torch.log1p(-own_share) - math.log(n - 1)
        low, high = (mean_and_error((log_q - log_p)[:, None]) for log_q in (without, total - math.log(n)))
        diagnostics = {
            "off_mode_mass": off_mode_mass(target, log_p, delta=chain.delta),
            "off_mode_floor": density_level(target, chain.delta)[1],
        }
    else:
        high = mean_and_error((log_p - total + math.log(n))[:, None])
        low, diagnostics = (0.0, 0.0), {}
    return _bracketed(low, high, delta=chain.delta, n=n, direction=direction, diagnostics=diagnostics)


def _bracketed(
    low: tuple[float, float],
    high: tuple[float, float],
    *,
    delta: float,
    n: int,
    direction: Direction,
    diagnostics: dict[str, float],
) -> Estimate:
    half = quantile(_EVALUATED) * max(low[1], high[1])
    value = high[0] if direction == DATA_MODEL else (max(low[0], 0.0) + high[0]) / 2
    gap = high[0] - low[0]
    numbers = not math.isnan(value + half)
    # Without a lower side there is nothing that could make the number trustworthy.
    trusted = direction == MODEL_DATA and math.isfinite(gap) and gap <= abs(value) / 2
    return Estimate(
        value=value,
        low=low[0] - half if direction == MODEL_DATA and numbers else 0.0,
        high=high[0] + half if numbers else math.inf,
        direction=direction,
        delta=delta,
        estimator="sandwich",
        n=n,
        floor=abs(gap) / 2 + half,
        trusted=trusted,
        note=""
        if trusted
        else "Only the interval is known: more landings, or more noise in the last stage, narrow it.",
        diagnostics=diagnostics,
    )


def _centres(f: JumpMap, chain: Chain, n: int, dim: int, seed: int) -> Float[Tensor, "{n} {dim}"]:
    """The scaled landings of the last stage."""
    dtype, device = like_map(f)
    generator = stream(seed, "sandwich landings")

    def fresh() -> Tensor:
        return torch.randn(n, dim, generator=generator, dtype=torch.float64).to(device, dtype)

    x = fresh()
    for stage in chain.stages[:-1]:
        x = land(f, x, stage)
        if stage.spread > 0:
            x = stage.scale * x + stage.spread * fresh()
    last = chain.stages[-1]
    return last.scale * land(f, x, last).double().cpu()


def _log_mixture(
    points: Float[Tensor, "n d"], centres: Float[Tensor, "m d"], spread: float, *, with_own: bool
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """log Σ_j N(x; m_j, s² I), and the share of the point's own centre (the one with its number) in that sum."""
    middle = centres.mean(0)  # centred, so that the expanded square loses no digits
    points, centres = (points - middle) / spread, (centres - middle) / spread
    constant = points.shape[1] / 2 * math.log(2 * math.pi * spread**2)
    half_squares, across = centres.square().sum(1) / -2, centres.T.contiguous()
    totals, shares = points.new_empty(len(points)), points.new_zeros(len(points))
    kernels = points.new_empty(max(1, _PAIRS // len(centres)), len(centres))  # once: new ones would scatter the memory
    for index in torch.arange(len(points)).split(len(kernels)):
        x, log_kernel = points[index], kernels[: len(index)]
        torch.addmm(half_squares, x, across, out=log_kernel)
        total = log_kernel.logsumexp(1)
        totals[index] = total - x.square().sum(1) / 2 - constant
        if with_own:
            shares[index] = (log_kernel[torch.arange(len(x)), index] - total).exp()
    return totals, shares


@fits(50)
def _attempt(problem: Problem) -> Estimate | None:
    """Noise at the end, in any dimension."""
    if not problem.noisy_end:
        return None
    n, direction = problem.n or 20_000, problem.direction
    return kl_sandwich(problem.f, problem.target, problem.chain, seed=problem.seed, n=n, direction=direction)
