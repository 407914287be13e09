"""What stopping at δ costs before any model comes in: KL(p₀‖p_δ)."""

import math

import torch

from cmcore.divergences.estimate import ESTIMATORS, Estimate, Estimator
from cmcore.divergences.tools.log_ratio import kl_from_log_ratio
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

ESTIMATORS.register("exact_densities")(
    Estimator("exact densities", "A mean of the log ratio of two known densities over exact samples.")
)


@piecewise()
def kl_to_noised(target: Target, delta: float, *, seed: int, n: int = 20_000) -> Estimate:
    """KL(p₀‖p_δ), in nats: the data against itself with noise up to time δ. Infinite where p₀ has no density.

    A KL reported at δ speaks of p_δ; this number beside it says how far p_δ is from the data.
    """
    if delta == 0:
        value, half, note = 0.0, 0.0, ""
    elif not target.has_density:
        value, half, note = math.inf, math.inf, f"{target.name} has no density at t = 0, so KL(p₀‖p_δ) is infinite."
    else:
        x = target.sample(n, generator=stream(seed, "early stopping"))
        log_ratio = (target.log_prob(x, delta) - target.log_prob(x))[:, None]
        kl = kl_from_log_ratio(log_ratio, torch.ones_like(log_ratio), control_variate=target.smooth)
        value, half, note = kl.value, kl.half_width, ""
    finite = math.isfinite(value)
    return Estimate(
        value=value,
        low=value - half if finite else value,
        high=value + half if finite else math.inf,
        direction="KL(data‖model)",
        delta=delta,
        estimator="exact_densities",
        n=n,
        floor=half if finite else math.inf,
        trusted=finite,
        note=note,
    )
