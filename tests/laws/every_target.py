"""The targets every law is tried on: the whole gallery, and hand-made laws for the corners it does not reach."""

import math

import torch

from cmcore.targets import (
    GALLERY,
    BoxMixture,
    CircleMixture,
    Empirical,
    GaussianMixture,
    Product,
    Target,
    make_target,
    random_rotation,
)


def _hand_made() -> dict[str, Target]:
    generator = torch.Generator().manual_seed(5)
    points = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    two = GaussianMixture([1, 3], [[-1.0], [1.5]], [0.02**2, 0.3])
    box = BoxMixture([1, 2], [[-1.0], [0.5]], [[0.0], [0.8]])
    return {
        "small blobs": make_target("eight_gaussians", sd=0.02),
        "full and flat": GaussianMixture([1, 2], [[0.5, 0], [0, 1.0]], [[[1, 0.9], [0.9, 1]], [[0.1, 0], [0, 0.02]]]),
        "blob and atom": GaussianMixture([1, 2], [[0.5, 0], [0, 1.0]], [[0.3, 0.1], [0, 0]]),
        "thick and thin circle": CircleMixture([1, 2], [[0, 0], [1, 0.5]], [1.5, 0.4], [0.1, 0.0]),
        "point-like circle": CircleMixture([1], [[0.3, 0]], 0.0, 0.2),
        "overlapping boxes": BoxMixture([1, 2, 3], [[-1, -1], [0, 0], [-2, 0.5]], [[1, 1], [0.02, 2.5], [2, 0.6]]),
        "kernel density": Empirical(points, 0.3),
        "mixture on a line": two,
        "boxes on a line": box,
        "atoms on a line": GaussianMixture([1, 2, 1], [[-1.0], [0.2], [2.0]], 0.0),
        "rotated product": Product([(two, 1), box], rotation=random_rotation(2, generator=generator)),
    }


TARGETS: dict[str, Target] = {name: make_target(name) for name in GALLERY} | _hand_made()


def times(target: Target) -> tuple[float, ...]:
    """Noise levels at which the target has a density and a score."""
    return (0.0, 0.01, 0.1, 1.0, 3.0) if target.smooth else (0.01, 0.1, 1.0, 3.0)


def sds(target: Target) -> tuple[float, float]:
    """The smallest and the largest standard deviation that a component of p₀ has in any direction."""
    law = target.law
    if isinstance(law, Product):
        every = [sds(factor) for factor, _ in law.factors]
        return min(low for low, _ in every), max(high for _, high in every)
    if isinstance(law, BoxMixture):
        return 0.0, 0.0
    variances = law.variances
    return math.sqrt(float(variances.min())), math.sqrt(float(variances.max()))


def draw(target: Target, n: int, *, t: float, seed: int) -> torch.Tensor:
    """n points of p_t."""
    return target.sample(n, generator=torch.Generator().manual_seed(seed), t=t)
