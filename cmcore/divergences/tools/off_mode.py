r"""Mass that leaves the modes: how much of the model lies where the data practically never does."""

from functools import lru_cache
from math import exp

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise

ON_MODE = 1 - exp(-8)
"""The share of p_δ in the region that counts as on the modes: that of the 4-sd disc of a 2-D Gaussian, 99.966 %."""

_EXACT_SAMPLES = 200_000


@lru_cache(maxsize=64)
def density_level(target: Target, delta: float) -> tuple[float, float]:
    """The level of log p_δ that 1 − e^{-8} of p_δ exceeds, and the share of fresh exact samples below it.

    The share is the floor of :func:`off_mode_mass`: what a perfect model shows. The level is a quantile of half the
    200,000 exact samples, the floor is measured on the other half.
    """
    exact = target.sample(_EXACT_SAMPLES, t=delta, generator=stream(0, "density level"))
    log_p = target.log_prob(exact, delta)
    level = torch.quantile(log_p[::2], 1 - ON_MODE)
    return float(level), float((log_p[1::2] < level).double().mean())


@piecewise()
def off_mode_mass(
    target: Target, log_p: Float[Tensor, "*n"], weight: Float[Tensor, "*n"] | None = None, *, delta: float
) -> float:
    """Share of the model outside the highest-density region of p_δ that holds 1 − e^{-8} of it.

    Args:
        target: the truth.
        log_p: log p_δ at samples of the model.
        weight: importance weights of mean 1, or the model's mass in each cell of a grid; None for plain samples.
        delta: δ.
    """
    level, _ = density_level(target, delta)
    off = (~(log_p >= level)).double()
    return float(off.mean() if weight is None else (off * weight).sum() / weight.sum())
