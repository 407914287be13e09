"""Pools of trajectories that grow piece by piece; those of one law are shared between the runs of one process.

Following trajectories is most of what is prepared before a training. A pool is followed in pieces, so that whoever is
short of time stops after any of them: a smaller pool is the first rows of a larger one, whatever made it. Runs that
start from one target, horizon, δ and seed take over what others have followed.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cmcore.flow import WIDE, Trajectories, TrajectoryPool, VelocityField, exact_trajectories, trajectories_along
from cmcore.targets import GaussianMixture, Target
from cmcore.threads import piecewise

LARGEST = 4096
"""Rows of a piece."""
LEARNED = 1024
"""The same along a learned velocity, whose every look asks a network."""


class GrowingPool:
    """Trajectories, as many as were asked for so far; threads may ask at once.

    Args:
        begin: finds out from the first noise how trajectories are followed.
        dim: d.
        rows: how many are followed at a time.
        levels: how many times are stored.
        wide_share: share of the trajectories that start wider, from N(0, 1.5² I), spread evenly among them.
        generator: of the noise.
        device: where the trajectories are kept.
    """

    def __init__(
        self,
        begin: Callable[[Tensor], Trajectories],
        *,
        dim: int,
        rows: int,
        levels: int,
        wide_share: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.dim, self.rows, self.levels, self.device = dim, rows, levels, device
        self.followed, self.error = 0, 0.0
        self._begin, self._generator, self._wide_share = begin, generator, wide_share
        self._lock = threading.Lock()
        self._follow: Callable[[Tensor], Tensor] | None = None
        self._angles = torch.empty(0)
        self._states = torch.empty(levels, 0, dim)
        self._latest: TrajectoryPool | None = None

    @property
    def size(self) -> int:
        """Bytes of what was followed."""
        return self.followed * self.levels * self.dim * self._states.element_size()

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
        noise = torch.randn(self.rows, self.dim, generator=self._generator, device=self._generator.device)
        counted = torch.arange(self.followed, self.followed + self.rows + 1, dtype=torch.float64) * self._wide_share
        wide = counted.floor().diff()[:, None] > 0
        noise = torch.where(wide.to(noise.device), WIDE * noise, noise).to(self.device, torch.float64)
        if self._follow is None:
            self._angles, self._follow, self.error = self._begin(noise)
        end = self.followed + self.rows
        self._states[:, self.followed : end] = self._follow(noise)
        self.followed = end

    def _make_room(self, trajectories: int) -> None:
        if self._states.shape[1] < trajectories:
            room = -(-trajectories // self.rows) * self.rows
            longer = torch.empty(self.levels, room, self.dim, device=self.device)
            longer[:, : self.followed] = self._states[:, : self.followed].to(longer)
            self._states = longer

    def pool(self, trajectories: int) -> TrajectoryPool:
        """The first so many; what was computed about them is kept for who asks for as many next."""
        self.grow(trajectories)
        with self._lock:
            if self._latest is None or self._latest.states.shape[1] != trajectories:
                self._latest = TrajectoryPool(self._angles.float(), self._states[:, :trajectories], self.error)
            return self._latest


def exact_pool(target: Target, *, horizon: float, delta: float, levels: int, **choice: Any) -> GrowingPool:
    """A pool of the exact flow from T = horizon to δ; `choice` are the further arguments of :class:`GrowingPool`."""
    begin = partial(exact_trajectories, target, horizon=horizon, delta=delta, levels=levels)
    rows = max(256, min(LARGEST, LARGEST * 32 // max(32, target.components)))
    return GrowingPool(begin, dim=target.dim, rows=rows, levels=levels, **choice)


def learned_pool(
    velocity: VelocityField, dim: int, *, horizon: float, delta: float, levels: int, **choice: Any
) -> GrowingPool:
    """The same along a velocity (x, θ) → dx/dθ that is known as a function alone."""
    begin = partial(trajectories_along, velocity, horizon=horizon, delta=delta, levels=levels)
    return GrowingPool(begin, dim=dim, rows=LEARNED, levels=levels, **choice)


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
