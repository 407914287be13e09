"""Comparing two samples without any density: KL where it can be trusted, and distances."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cmcore.divergences.classifier import classifier_accuracy
from cmcore.divergences.distances import Distance, energy_distance, mmd, sliced_wasserstein
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from cmcore.divergences.neighbours import LARGEST_DIM, fewest_rows, kl_neighbours
from cmcore.process import forward_noise
from cmcore.streams import stream
from cmcore.targets.base import Target
from cmcore.targets.samples import Samples
from cmcore.targets.table_target import TableTarget

_NEIGHBOURS = 10


@dataclass(frozen=True)
class SampleComparison:
    """The comparison of two samples: KL, distances, and the accuracy of a classifier.

    Attributes:
        kl: KL by nearest neighbours in both directions; empty where no KL can be trusted, as `note` then says.
        distances: energy distance, MMD² with two bandwidths, sliced W₂² and a classifier's accuracy.
        against: what the points were compared with, in words.
        note: what to know, in sentences; may be empty.
    """

    kl: tuple[Estimate, ...]
    distances: tuple[Distance, ...]
    against: str
    note: str = ""


def compare_samples(
    points: Float[Tensor, "n d"],
    data: Float[Tensor, "m d"],
    *,
    seed: int,
    delta: float = 0.0,
    against: str = "the other sample",
) -> SampleComparison:
    """Compare two independent samples: for d ≤ 3 by KL and distances, above by distances alone.

    Args:
        points: samples of the model at time δ.
        data: samples of the data at time δ, drawn independently of the points.
        seed: of the choice of rows, directions and exchanges.
        delta: δ, for the record of the estimates.
        against: what the data are, in words.
    """
    distances = (
        energy_distance(points, data, seed=seed),
        mmd(points, data, seed=seed),
        mmd(points, data, seed=seed, bandwidth=0.25),
        sliced_wasserstein(points, data, seed=seed),
        classifier_accuracy(points, data, seed=seed),
    )
    note = _no_kl(points.shape[1], min(len(points), len(data)))
    both = () if note else (MODEL_DATA, DATA_MODEL)
    kl = tuple(kl_neighbours(points, data, direction=way, delta=delta, k=_NEIGHBOURS) for way in both)
    return SampleComparison(kl, distances, against, note)


def compare_with_target(
    points: Float[Tensor, "n d"], target: Target, *, seed: int, delta: float = 0.0
) -> SampleComparison:
    """Compare samples of a model at time δ with the target's own, never using its density.

    A table is represented by its held-out rows, which no model was trained on; a law known by its samples alone by
    those samples, which a model may have learned by heart; any other target by fresh samples.

    Args:
        points: samples of the model at time δ.
        target: the truth.
        seed: of fresh samples and noise, and of the comparison.
        delta: δ; rows are noised up to it.
    """
    generator = stream(seed, "compared with")
    if isinstance(target, TableTarget):
        data, against = target.held_out, f"{len(target.held_out)} held-out rows of {target.name}"
    elif isinstance(target, Samples):
        data, against = target.points, f"the {len(target.points)} rows of {target.name}, which models are trained on"
    else:
        data = target.sample(len(points), generator=generator)
        against = f"{len(points)} fresh samples of {target.name}"
    if delta > 0:
        data = forward_noise(data, delta, generator=generator)
    return compare_samples(points, data, seed=seed, delta=delta, against=against)


def _no_kl(dim: int, rows: int) -> str:
    """Why there is no KL, in a sentence; empty where there is one."""
    if dim > LARGEST_DIM:
        return f"In d = {dim} no KL can be trusted from samples alone, so there is none."
    if rows < fewest_rows(_NEIGHBOURS):
        return f"A KL by nearest neighbours needs {fewest_rows(_NEIGHBOURS)} rows of each sample; here are {rows}."
    return ""
