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
    return one_after_another(draw, width)(n)


def one_after_another(draw: Callable[[int], Tensor], width: int) -> Callable[[int], Tensor]:
    """What takes the next rows of a draw without end; they are the same however many are taken at a time.

    Memory is that of the rows that are taken and of a block. Arguments as of :func:`in_blocks`.
    """
    size = max(_FEWEST_ROWS, _NUMBERS // width)
    block = draw(size)

    def take(n: int) -> Tensor:
        nonlocal block
        rows, filled = block.new_empty(n, *block.shape[1:]), 0
        while True:
            part = block[: n - filled]
            rows[filled : filled + len(part)] = part
            filled, block = filled + len(part), block[len(part) :]
            if filled == n:
                return rows
            block = draw(size)

    return take


def normal(
    n: int, width: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {width}"]:
    """Rows of independent N(0, 1) numbers on the generator's device; the first n do not depend on n.

    They are drawn in float64 and kept in `dtype`.
    """
    return normal_rows(width, generator=generator, dtype=dtype)(n)


def normal_rows(
    width: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Callable[[int], Tensor]:
    """What takes the next rows of :func:`normal`."""

    def draw(rows: int) -> Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64, device=generator.device).to(dtype)

    return one_after_another(draw, width)
