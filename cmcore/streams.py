"""Independent streams of random numbers: one seed, many purposes.

Every use of chance names its purpose, so that adding a metric never moves training, and the same noise serves every
number of steps. What is drawn row by row is drawn in blocks of a fixed size, so that the first n rows do not depend on
how many follow: `torch.randn(7)` shares no number with `torch.randn(16)`, nor the end of 1,003 rows with 1,004.
"""

import hashlib
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.config import checked_seed

_NUMBERS = 8192
"""Random numbers of one kind in a block of rows."""
_FEWEST_ROWS = 16


def stream(seed: int, purpose: str, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on (seed, purpose) alone; different purposes are independent for all practical ends."""
    digest = hashlib.sha256(f"{checked_seed(seed)}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def in_blocks(draw: Callable[[int], Tensor], n: int, width: int) -> Tensor:
    """The first n rows of a draw without end, made in whole blocks, whose size the width of a row alone decides.

    Args:
        draw: makes that many rows, all of them from one generator.
        n: how many rows, at least one.
        width: numbers in a row.
    """
    size = max(_FEWEST_ROWS, _NUMBERS // width)
    return torch.cat([draw(size) for _ in range(0, max(1, n), size)])[:n]


def normal(
    n: int, width: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {width}"]:
    """Rows of independent N(0, 1) numbers on the generator's device; the first n do not depend on n."""

    def draw(rows: int) -> Tensor:
        return torch.randn(rows, width, generator=generator, dtype=dtype, device=generator.device)

    return in_blocks(draw, n, width)
