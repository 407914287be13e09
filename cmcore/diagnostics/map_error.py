r"""The error of one jump against the exact flow, at chosen points and on average over the true law.

.. math:: e(x) = |f(x, t, s) - \Phi_{t\to s}(x)|, \qquad
          \varepsilon(t) = \big(E_{x\sim p_t} |f(x, t, s) - \Phi_{t\to s}(x)|^2\big)^{1/2}

ε² is what Bound A is made of (:func:`cmcore.theory.map_error` at one time). Here many times share one set of exact
paths: Φ is one-to-one and carries p_s to p_t, so that x_t = Φ_{s→t}(x_s) with x_s ~ p_s are exact draws of p_t whose
landing at s is known without solving again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from cmcore.chain import JumpMap, Stage, land, like_map
from cmcore.flow import ExactFlow
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.threads import piecewise


class ExactPairs(NamedTuple):
    """Exact paths, seen at several times.

    Attributes:
        times: increasing, all above s.
        s: where the paths land.
        states: x_t ~ p_t at each of the times, [k, n, d].
        ends: Φ_{t→s}(x_t) ~ p_s, the same for all times, [n, d].
    """

    times: tuple[float, ...]
    s: float
    states: Float[Tensor, "k n d"]
    ends: Float[Tensor, "n d"]


@piecewise()
def landing_error(
    f: JumpMap, x: Float[Tensor, "n d"], t: float, s: float, *, truth: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    """|f(x, t, s) − truth|, truth = Φ_{t→s}(x), in the units of x; float64 on the CPU."""
    dtype, device = like_map(f)
    landing = land(f, x.to(device, dtype), Stage(t, s)).double().cpu()
    return (landing - truth).norm(dim=1)


@piecewise()
def exact_pairs(
    target: Target, times: Sequence[float], s: float, *, seed: int, n: int = 2_048, tolerance: float = 1e-7
) -> ExactPairs:
    """n exact paths that land at s, seen at the increasing times t > s.

    Raises:
        ValueError: times that do not increase from s.
    """
    if list(times) != sorted(set(times)) or not times or times[0] <= s:
        raise ValueError("Exact pairs need times that increase from s, each above it.")
    ends = target.sample(n, t=s, generator=stream(seed, f"exact pairs at {s:g}"))
    states = ExactFlow(target, tolerance=tolerance).path(ends, ends.new_tensor([s, *times]))
    return ExactPairs(tuple(times), s, states[1:], ends)
