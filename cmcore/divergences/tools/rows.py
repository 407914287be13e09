"""Two sets of rows to compare: checked once, for every estimator that sees nothing but samples."""

import torch
from jaxtyping import Float
from torch import Tensor


def two_samples(points: Tensor, data: Tensor, *, fewest: int) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Both samples in float64 on the CPU, or a ValueError that says what is wrong with them."""
    samples = []
    for name, given in (("points", points), ("data", data)):
        rows = torch.as_tensor(given)
        if rows.ndim != 2 or rows.shape[1] < 1:
            raise ValueError(f"Samples are rows of coordinates, [n, d]; {name} has shape {tuple(rows.shape)}.")
        if len(rows) < fewest:
            raise ValueError(f"This needs at least {fewest} rows of {name}; got {len(rows)}.")
        if not bool(torch.isfinite(rows).all()):
            raise ValueError(f"Some rows of {name} are not finite: leave them out, and say how many they were.")
        samples.append(rows.detach().double().cpu())
    if points.shape[1] != data.shape[1]:
        raise ValueError(f"Both samples must have the same d; points have {points.shape[1]}, data {data.shape[1]}.")
    return samples[0], samples[1]
