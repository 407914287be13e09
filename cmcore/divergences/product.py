r"""KL of a product: the sum over coordinates, for samplers that move each coordinate by itself.

.. math:: KL\Big(\prod_i q_i \,\Big\|\, \prod_i p_i\Big) = \sum_i KL(q_i \| p_i)

so that d equal factors cost one 1-D quadrature, at any d.
"""

from dataclasses import replace

import torch
from torch import Tensor

from cmcore.chain import Chain, JumpMap, Stage, land, like_map
from cmcore.divergences.estimate import ESTIMATORS, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.quadrature_1d import kl_1d
from cmcore.process import Time
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.targets.product import Product

ESTIMATORS.register("product")(
    Estimator("sum over coordinates", "Law and sampler are products, so the KL is a sum of one-dimensional ones.")
)

_PROBES = 4
_CLOSE = 1e-7


def kl_product(f: JumpMap, target: Target, chain: Chain, *, direction: Direction) -> Estimate | None:
    """The KL as a sum over the factors, or None where the target is no product or f mixes its coordinates.

    Whether f moves each coordinate by itself, and equal factors equally, is seen by probing every coordinate.
    """
    direction = direction_of(direction)
    if not isinstance(target, Product) or isinstance(f, torch.nn.Module):
        return None
    if not all(_separates(f, target, stage) for stage in chain.stages):
        return None
    parts = []
    for factor, columns in target.columns():
        kl = kl_1d(_along(f, target, columns), factor, chain, direction=direction)
        parts.append((columns.stop - columns.start, kl))
    total = {name: sum(c * getattr(kl, name) for c, kl in parts) for name in ("value", "low", "high", "floor")}
    worst = next((kl for _, kl in parts if not kl.trusted), parts[0][1])
    return replace(worst, **total, estimator="product", diagnostics={})


def _along(f: JumpMap, target: Product, columns: slice) -> JumpMap:
    """f along any one of the coordinates that share a factor, in the factored space.

    Since they do not mix, as many points are moved at once as there are such coordinates.
    """
    count = columns.stop - columns.start

    def along(x: Tensor, t: Time, s: Time) -> Tensor:
        rows = torch.nn.functional.pad(x, (0, 0, 0, -len(x) % count)).reshape(-1, count)
        y = torch.nn.functional.pad(rows, (columns.start, target.dim - columns.stop))
        images = target.unrotate(f(target.rotate(y), t, s))[:, columns]
        return images.reshape(-1, 1)[: len(x)]

    return along


def _separates(f: JumpMap, target: Product, stage: Stage) -> bool:
    """Whether f moves each coordinate by itself, and the coordinates of one factor alike.

    A coordinate j that moves another, i, differs from it in some binary digit of its index: replacing all coordinates
    with that digit set, or all without, shows it. Coordinates moved alike commute with any permutation of them.
    """
    dtype, _ = like_map(f)
    generator = stream(0, "product probes")
    probes, others = torch.randn(2, _PROBES, target.dim, generator=generator, dtype=dtype)

    def pushed(x: Tensor) -> Tensor:
        return target.unrotate(land(f, target.rotate(x), stage))

    image = pushed(probes)
    tolerance = _CLOSE * (1 + float(image.abs().max()))
    order = torch.arange(target.dim)
    for _, columns in target.columns():
        order[columns] = order[columns][torch.randperm(columns.stop - columns.start, generator=generator)]
    if float((pushed(probes[:, order]) - image[:, order]).abs().max()) > tolerance:
        return False
    for digit in range(max(1, (target.dim - 1).bit_length())):
        chosen = (torch.arange(target.dim) >> digit) % 2 == 1
        for replaced in (chosen, ~chosen):
            change = (pushed(torch.where(replaced, others, probes)) - image)[:, ~replaced]
            if change.numel() and float(change.abs().max()) > tolerance:
                return False
    return True


@fits(20)
def _attempt(problem: Problem) -> Estimate | None:
    """A product, and a map that moves each coordinate by itself."""
    return kl_product(problem.f, problem.target, problem.chain, direction=problem.direction)
