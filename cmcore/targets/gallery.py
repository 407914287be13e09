"""The named toys, each a few lines on the laws of this package."""

import math

import torch

from cmcore.registry import Registry
from cmcore.targets.base import Target
from cmcore.targets.gaussian_mixture import GaussianMixture

__all__ = ["GALLERY", "make_target"]

GALLERY: Registry = Registry("target")


def make_target(name: str, **parameters) -> Target:  # noqa: ANN003
    """The gallery target `name` with its parameters."""
    return GALLERY[name](**parameters)


@GALLERY.register("eight_gaussians")
def eight_gaussians(radius: float = 2.0, sd: float = 0.15) -> GaussianMixture:
    angles = torch.arange(8, dtype=torch.float64) * (math.tau / 8)
    means = radius * torch.stack([angles.cos(), angles.sin()], dim=1)
    return GaussianMixture(torch.ones(8), means, sd**2, name="eight_gaussians")
