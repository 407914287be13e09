"""KL of what is no map: a model with a density of its own, or samples alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Direction, Estimate, direction_of
from cmcore.divergences.neighbours import LARGEST_DIM, kl_neighbours, kl_neighbours_with_density
from cmcore.divergences.tools.log_ratio import kl_from_log_ratio
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.targets.tables import open_table, read_numbers
from cmcore.threads import piecewise

LARGEST_FILE = 1 << 30
"""Bytes of a file of samples."""


def has_law(thing: Any) -> bool:
    """Whether it is a model that draws samples and knows their density, as flows and torch's distributions are."""
    return callable(getattr(thing, "log_prob", None)) and callable(getattr(thing, "sample", None))


def are_samples(thing: Any) -> bool:
    """Whether it is points, or the name of a file of them."""
    return isinstance(thing, Tensor | np.ndarray | str | Path)


@piecewise()
@torch.no_grad()
def kl_of_law(
    model: Any, target: Target, *, seed: int, delta: float = 0.0, n: int = 20_000, direction: Direction = MODEL_DATA
) -> Estimate:
    """KL between p_δ and a model with `log_prob(points)` and `sample((n,))`, in nats, by the mean of its log ratio.

    The mean of p/q over samples of q is 1 for any density that covers p. Where it is larger beyond doubt, the density
    and the samples are not of one law, and the estimate is not trusted.

    Args:
        model: the law, of points in the target's units at time δ; it draws from torch's global generator, which is
            seeded for it and given back as it was.
        target: the truth.
        seed: of all samples.
        delta: δ.
        n: samples.
        direction: which KL.
    """
    x = _drawn(model, n, target.dim, seed)
    of_model = _log_ratio(model, target, delta, x)
    there = kl_from_log_ratio(of_model, torch.ones_like(of_model), control_variate=True)
    kl, note = there, ""
    if there.misses_preimages:
        note = (
            f"The mean of p/q over its samples is {there.mean_ratio:.3g} where no density allows more than 1: its "
            "log_prob is not that of its samples."
        )
    elif direction_of(direction) == DATA_MODEL:
        y = target.sample(n, t=delta, generator=stream(seed, "data of a law"))
        at_data = -_log_ratio(model, target, delta, y)
        kl = kl_from_log_ratio(at_data, torch.ones_like(at_data), control_variate=target.smooth)
    trusted = not note and np.isfinite(kl.value) and np.isfinite(kl.half_width)
    return Estimate(
        kl.value,
        kl.value - kl.half_width if np.isfinite(kl.half_width) else 0.0,
        kl.value + kl.half_width if trusted else float("inf"),
        direction_of(direction),
        delta,
        "exact_densities",
        n=n,
        floor=kl.half_width,
        trusted=bool(trusted),
        note=note or ("" if trusted else "One of the densities is 0 where the other law has samples."),
        diagnostics={"mean_ratio": there.mean_ratio},
    )


def kl_of_samples(
    samples: Any, target: Target, *, seed: int, delta: float = 0.0, direction: Direction = MODEL_DATA
) -> Estimate:
    """KL between the law of samples at time δ and p_δ, in nats, d ≤ 3, by nearest neighbours.

    Args:
        samples: points [n, d] in the target's units, torch or numpy, or a file of them: `.npy`, or a table.
        target: the truth.
        seed: of the exact samples they are compared with.
        delta: δ.
        direction: "KL(model‖data)" knows the density of the data; "KL(data‖model)" has samples of both laws.

    Raises:
        ValueError: points of another dimension, too few, not finite, or d > 3.
    """
    points = read_samples(samples)
    if points.ndim != 2 or points.shape[1] != target.dim:
        raise ValueError(f"Samples of {target.name} are [n, {target.dim}]; these are {list(points.shape)}.")
    if target.dim > LARGEST_DIM:
        raise ValueError(
            f"In d = {target.dim} no KL can be trusted from samples alone: measure distances with compare_with_target, "
            "or hand over the map or the density."
        )
    if direction_of(direction) == MODEL_DATA and (target.has_density or delta > 0) and target.has_score:
        return kl_neighbours_with_density(points, target, seed=seed, delta=delta)
    data = target.sample(len(points), t=delta, generator=stream(seed, "data beside samples"))
    return kl_neighbours(points, data, direction=direction, delta=delta)


def read_samples(samples: Any) -> Float[Tensor, "n d"]:
    """Points in float64, from a tensor, an array, or a file that holds either an array of numpy's or a table."""
    if isinstance(samples, str | Path):
        samples = _read_file(Path(samples))
    points = torch.as_tensor(samples).detach().to("cpu", torch.float64)
    if not bool(points.isfinite().all()):
        raise ValueError("Some of the samples are not finite.")
    return points


def _read_file(path: Path) -> np.ndarray:
    if path.suffix != ".npy":
        return read_numbers(open_table(path), None, drop_missing=False)[0]
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} has more than {LARGEST_FILE >> 20} MB.")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as broken:
        raise ValueError(f"{path.name} cannot be read: {broken}.") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path.name} holds {array.dtype}, and not numbers.")
    return array


def _drawn(model: Any, n: int, dim: int, seed: int) -> Float[Tensor, "n d"]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = model.sample((n,))
    if not isinstance(x, Tensor) or x.shape != (n, dim):
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"sample(({n},)) must answer with points {(n, dim)}; it answers with {shape}.")
    return x


def _log_ratio(model: Any, target: Target, delta: float, x: Tensor) -> Float[Tensor, "n 1"]:
    """log p_δ − log q at points of either law."""
    log_q = model.log_prob(x)
    if not isinstance(log_q, Tensor) or log_q.shape != (len(x),):
        shape = tuple(log_q.shape) if isinstance(log_q, Tensor) else type(log_q).__name__
        raise ValueError(f"log_prob must answer with one number a point, ({len(x)},); it answers with {shape}.")
    return (target.log_prob(x.double(), delta) - log_q.double())[:, None]
