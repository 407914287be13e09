"""How samples came about: where the weights of some steps of a training put the same noise."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MOST_FRAMES = 72
MOST_DOTS = 400
LARGEST = 300_000
"""Bytes of all dots of a film."""
SPACING = 1.2
"""From a frame to the next the steps grow by this factor: the early ones change most."""
FILM_JUMPS = 4
"""N of its samples."""
FILM_SEED = 0
"""Of the noise, the same in every run, so that the films of two runs can be compared dot by dot."""


@dataclass(frozen=True)
class Film:
    """Samples of a map as it learned, each frame from the same noise.

    Attributes:
        steps: of the training, one a frame, increasing; 0 is the untrained map.
        frames: samples by the averaged weights of that step, each [n, d], float32, on the CPU.
    """

    steps: tuple[int, ...] = ()
    frames: tuple[Float[Tensor, "n d"], ...] = ()

    def due(self, step: int) -> bool:
        """Whether a frame of this step would not crowd those before it."""
        return not self.steps or step >= max(self.steps[-1] + 1, math.ceil(SPACING * self.steps[-1]))

    def with_frame(self, step: int, dots: Float[Tensor, "n d"]) -> "Film":
        """The film with one more frame; a full one gives its last for it. One of no later step changes nothing."""
        if self.steps and step <= self.steps[-1]:
            return self
        before = slice(0, min(len(self.steps), MOST_FRAMES - 1))
        return Film((*self.steps[before], step), (*self.frames[before], dots.detach().to("cpu", torch.float32)))

    def tensors(self) -> dict[str, Tensor]:
        """What is saved of it; empty of no film."""
        if not self.steps:
            return {}
        return {"steps": torch.tensor(self.steps, dtype=torch.float64), "frames": torch.stack(self.frames)}


def dots_of(dim: int) -> int:
    """Samples of a frame in d dimensions."""
    return max(1, min(MOST_DOTS, LARGEST // (4 * MOST_FRAMES * dim)))


def film_of(tensors: Mapping[str, Tensor], dim: int, steps: int) -> Film:
    """The film that was saved of a run of so many steps; ValueError says, as a clause, why these tensors hold none."""
    if set(tensors) != {"steps", "frames"}:
        raise ValueError("holds no film")
    at, frames = tensors["steps"], tensors["frames"]
    if frames.dtype != torch.float32 or frames.ndim != 3 or frames.shape[2] != dim or not frames.shape[1]:
        raise ValueError(f"holds a film whose frames are not samples in {dim} dimensions")
    if at.shape != frames.shape[:1] or not 1 <= len(at) <= MOST_FRAMES or 4 * frames.numel() > LARGEST:
        raise ValueError("holds a film of the wrong length or size")
    whole = at.double()
    if bool((whole != whole.round()).any()) or float(whole[0]) < 0 or float(whole[-1]) > steps:
        raise ValueError("holds a film of steps that the run did not make")
    if len(at) > 1 and not bool((whole.diff() > 0).all()):
        raise ValueError("holds a film whose steps do not grow")
    return Film(tuple(int(step) for step in whole), tuple(frames))
