r"""Spikes: gradients many times larger than those before, as a rare batch or an overflow makes them.

One gradient a million times too large undoes a training: Adam's second moment remembers it for thousands of steps, and
in Muon's momentum nothing else is left of hundreds. Such a gradient is scaled down to the usual length before anything
remembers it, member by member.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SPIKE = 25.0
"""A gradient so many times as long as the usual one is a spike. Ordinary ones stay below 5 times it."""
FIRST = 16
"""Steps after which the usual length is known: the median of theirs."""
RENEWED = 0.02
"""Share of the usual length that each step renews."""
FASTEST = 10.0
"""What lasts is no spike: the usual length follows gradients up to so many times as long."""


class SpikeGuard:
    """Tells spikes from ordinary gradients by the usual length of those before.

    Args:
        members: S.
        like: a tensor on the device of the gradients.

    Attributes:
        met: spikes since :meth:`take`, [S].
        last: the update at which the last of them was met, counted from 1, [S].
    """

    def __init__(self, members: int, like: Tensor) -> None:
        self._usual = like.new_zeros(members, dtype=torch.float64)
        self._numbers: list[float] | None = None  # the newest, where Python counts
        self.met, self.last = like.new_zeros(members), like.new_zeros(members)
        self._first: list[Tensor] = []
        self._settled = False

    @property
    def usual(self) -> Float[Tensor, " s"]:
        """The usual length of each member's gradient, [S], float64; 0 as long as it is not known."""
        if self._numbers is not None:
            self._usual.copy_(torch.tensor(self._numbers, dtype=torch.float64))
            self._numbers = None
        return self._usual

    def scales(self, norms: Float[Tensor, " s"] | list[float], age: int) -> Float[Tensor, " s"] | None:
        """What to multiply the gradients by, [S]; None where it is 1 for all.

        Args:
            norms: lengths of the members' gradients: numbers where they are at hand, a tensor on a device that is not
                to be asked whether there is a spike, since the answer would stop it.
            age: updates before this one.
        """
        if isinstance(norms, list) and self._settled and self._ordinary(norms):
            return None
        norms = torch.as_tensor(norms, dtype=torch.float64, device=self.met.device)
        if not self._settled:
            self._first.append(norms)
            return None
        spike = norms > SPIKE * self.usual
        scales = torch.where(spike, self.usual / norms, 1.0)
        self.met += spike
        self.last = torch.where(spike, age + 1.0, self.last)
        self.usual.lerp_(torch.minimum(norms, FASTEST * self.usual), RENEWED)
        return scales

    def _ordinary(self, norms: list[float]) -> bool:
        """Whether there is no spike; the usual lengths then follow.

        Python's numbers cost a tenth of torch's calls here, which would be 2 % of a step at width 128.
        """
        usual = self._usual.tolist() if self._numbers is None else self._numbers
        if any(n > SPIKE * u for n, u in zip(norms, usual, strict=True)):
            return False
        self._numbers = [u + RENEWED * (n - u) for n, u in zip(norms, usual, strict=True)]
        return True

    def settle(self, age: int) -> Tensor | None:
        """After the first steps, learn the usual length: which members had a spike among them, [S], met too late."""
        if self._settled or len(self._first) < FIRST:
            return None
        first = torch.stack(self._first)
        self._first, self._settled = [], True
        self.usual.copy_(first.median(0).values)
        spike = first > SPIKE * self.usual
        self.met += spike.sum(0)
        at = spike * torch.arange(age + 2.0 - FIRST, age + 2.0).to(first)[:, None]
        self.last = torch.maximum(self.last, at.max(0).values)
        return spike.any(0) if self.met.device.type != "cpu" or bool(spike.any()) else None

    def take(self) -> tuple[list[int], list[int]]:
        """How many spikes each member met since the last call, and at which update the last of them; 0 for none."""
        numbers = [column.int().tolist() for column in (self.met, self.last)]
        self.met.zero_()
        self.last.zero_()
        return numbers[0], numbers[1]

    def restart(self) -> None:
        """Learn the usual length anew."""
        self.usual.zero_()
        self._first, self._settled = [], False

    def load(self, usual: Float[Tensor, " s"]) -> None:
        """Go on with lengths that were saved; zeros are lengths not known."""
        self.usual.copy_(usual)
        self._first, self._settled = [], bool((self.usual > 0).all())
