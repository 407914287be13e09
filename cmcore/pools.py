"""Pools of exact trajectories that grow piece by piece, shared between the runs of one process.

Following trajectories is most of what is prepared before a training. A pool is followed in pieces, so that whoever is
short of time stops after any of them: a smaller pool is the first rows of a larger one, whatever made it. Runs that
start from one target, horizon, δ and seed take over what others have followed.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial

import torch
from torch import Tensor

from cmcore.flow import TrajectoryPool, exact_trajectories
from cmcore.targets import GaussianMixture, Target
from cmcore.threads import piecewise

LARGEST = 4096
"""Rows of a piece."""
WIDE = 1.5


class GrowingPool:
    """Trajectories of one target, as many as were asked for so far; threads may ask at once.

    Args:
        target: the law.
        horizon, delta, levels: T, δ, and how many times are stored, even in angle.
        wide_share: share of the trajectories that start wider, from N(0, 1.5² I), spread evenly among them.
        generator: of the noise.
        device: where the trajectories are kept.
    """

    def __init__(
        self,
        target: Target,
        *,
        horizon: float,
        delta: float,
        levels: int,
        wide_share: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.target, self.device, self.levels = target, device, levels
        self.rows = max(256, min(LARGEST, LARGEST * 32 // max(32, target.components)))
        self.followed, self.error = 0, 0.0
        self._make = partial(exact_trajectories, target, horizon=horizon, delta=delta, levels=levels)
        self._generator, self._wide_share = generator, wide_share
        self._lock = threading.Lock()
        self._follow: Callable[[Tensor], Tensor] | None = None
        self._angles = torch.empty(0)
        self._states = torch.empty(levels, 0, target.dim)
        self._latest: TrajectoryPool | None = None

    @property
    def size(self) -> int:
        """Bytes of what was followed."""
        return self.followed * self.levels * self.target.dim * self._states.element_size()

    def grow(self, trajectories: int, *, room: int = 0) -> None:
        """Follow further pieces until there are so many.

        Args:
            trajectories: how many.
            room: how many there may come to be; memory for them that is not written costs nothing.
        """
        while self.followed < trajectories:
            with self._lock:  # others may come in between two pieces
                if self.followed < trajectories:
                    self._make_room(max(trajectories, room, self.followed + self.rows))
                    self._follow_a_piece()

    @piecewise()
    def _follow_a_piece(self) -> None:
        noise = torch.randn(self.rows, self.target.dim, generator=self._generator, device=self._generator.device)
        counted = torch.arange(self.followed, self.followed + self.rows + 1, dtype=torch.float64) * self._wide_share
        wide = counted.floor().diff()[:, None] > 0
        noise = torch.where(wide.to(noise.device), WIDE * noise, noise).to(self.device, torch.float64)
        if self._follow is None:
            self._angles, self._follow, self.error = self._make(noise)
        end = self.followed + self.rows
        self._states[:, self.followed : end] = self._follow(noise)
        self.followed = end

    def _make_room(self, trajectories: int) -> None:
        if self._states.shape[1] < trajectories:
            room = -(-trajectories // self.rows) * self.rows
            longer = torch.empty(self.levels, room, self.target.dim, device=self.device)
            longer[:, : self.followed] = self._states[:, : self.followed].to(longer)
            self._states = longer

    def pool(self, trajectories: int) -> TrajectoryPool:
        """The first so many; what was computed about them is kept for who asks for as many next."""
        self.grow(trajectories)
        with self._lock:
            if self._latest is None or self._latest.states.shape[1] != trajectories:
                self._latest = TrajectoryPool(self._angles.float(), self._states[:, :trajectories], self.error)
            return self._latest


class PoolCache:
    """The pools used last, of at most so many bytes together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._pools: OrderedDict[Hashable, GrowingPool] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], GrowingPool]) -> GrowingPool:
        """The pool of this key, made where there is none."""
        with self._lock:
            pool = self._pools.pop(key, None) or make()
            self._pools[key] = pool
            return pool

    def trim(self) -> None:
        """Let go of what was used longest ago, until the rest fits."""
        with self._lock:
            while self._pools and self.size > self.most:
                self._pools.popitem(last=False)

    @property
    def size(self) -> int:
        """Bytes of all pools together."""
        return sum(pool.size for pool in self._pools.values())

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._pools.clear()


pools = PoolCache(96 << 20)
"""Those of this process."""


def same_law(target: Target) -> Hashable:
    """A key that targets have in common only where their laws are the same."""
    if target.config is not None:
        return target.config.key
    law = target.law
    if isinstance(law, GaussianMixture):
        digest = hashlib.sha256()
        for name, tensor in sorted(law.state().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
    return id(target)  # the pool holds the target, so that no other one gets its number
