r"""The Jacobian determinant of one jump, and where it turns space over.

.. math:: D(x) = \det \nabla_x f(x, t, s), \qquad
          \det \nabla \Phi_{t\to s}(x) = p_t(x) / p_s(\Phi_{t\to s}(x)) > 0

The exact flow carries p_t to p_s and is one-to-one, which gives its determinant in closed form and makes it positive.
Where D < 0 the learned map is turned over: it folds, and several starts share one landing point.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import CHUNK, JumpMap, like_map, with_jacobian
from cmcore.divergences.tools.push_forward import log_determinant
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.theory.interval import Interval, share
from cmcore.threads import piecewise


class Determinant(NamedTuple):
    """A determinant by its sign and size.

    Attributes:
        sign: −1, 0 or 1, [n].
        log_size: log |D|, natural, [n].
    """

    sign: Float[Tensor, " n"]
    log_size: Float[Tensor, " n"]


@piecewise()
def determinant(f: JumpMap, x: Float[Tensor, "n d"], t: float, s: float) -> Determinant:
    """D of the map at each point, by d backward passes; float64 on the CPU."""
    dtype, device = like_map(f)
    pieces = [with_jacobian(f, piece, t, s)[1] for piece in x.to(device, dtype).split(CHUNK)]
    return Determinant(*log_determinant(torch.cat(pieces).double().cpu()))


@piecewise()
def exact_determinant(
    target: Target, x: Float[Tensor, "n d"], t: float, s: float, *, truth: Float[Tensor, "n d"]
) -> Determinant:
    """The exact flow's determinant, from the densities at both ends; `truth` is Φ_{t→s}(x)."""
    log_size = target.log_prob(x, t) - target.log_prob(truth, s)
    return Determinant(torch.ones_like(log_size), log_size)


@piecewise()
def fold_share(f: JumpMap, target: Target, t: float, s: float, *, seed: int, n: int = 16_384) -> Interval:
    """P(D < 0) under p_t: the share of the true law that the jump turns over, with a 95 % interval."""
    x = target.sample(n, t=t, generator=stream(seed, f"fold share at {t:g}"))
    return share(int((determinant(f, x, t, s).sign < 0).sum()), n)
