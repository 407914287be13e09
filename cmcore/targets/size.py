"""How large a target would be, from its parameters alone, before it is made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How large a target is once it is made.

    Attributes:
        dim: d.
        components: at most so many terms are summed in one evaluation of its density.
        numbers: at most so many numbers it holds, each a float64.
    """

    dim: int
    components: int
    numbers: int

    @property
    def bytes(self) -> int:
        """Of its numbers; while it is made, a few times as many."""
        return 8 * self.numbers


def gaussians(dim: int, components: int, *, full: bool = False) -> Size:
    """The size of a mixture of Gaussians, with a full covariance or a diagonal one each."""
    return Size(dim, components, components * (2 + 2 * dim + (dim**2 if full else 0)))


def boxes(dim: int, components: int, sides: int) -> Size:
    """The size of a mixture of boxes that have so many different sides: intervals of one coordinate."""
    return Size(dim, components, components * (3 + 2 * dim) + sides * (3 + components))
