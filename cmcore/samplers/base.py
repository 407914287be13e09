r"""What a sampler is, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import Chain, JumpMap, land, make_chain
from cmcore.grids import TimeGrid
from cmcore.registry import Registry

__all__ = ["SAMPLERS", "JumpMap", "Sampler", "Trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """One draw: every state on the way, and what it cost.

    Attributes:
        grid: the times t_0 > … > t_K = δ.
        states: x_{t_k}, [K + 1, n, d]; `states[0]` is the noise.
        landings: where each jump landed before fresh noise was added, [K, n, d]; equal to `states[1:]` without.
        calls: network (or score) evaluations per sample.
        sampler: the registered name.
        chain: the stages it made.
    """

    grid: TimeGrid
    states: Float[Tensor, "k1 n d"]
    landings: Float[Tensor, "k n d"]
    calls: int
    sampler: str
    chain: Chain

    @property
    def points(self) -> Float[Tensor, "n d"]:
        """The samples at time δ; compare them with p_δ."""
        return self.states[-1]

    @property
    def delta(self) -> float:
        """δ, the time the samples belong to."""
        return self.grid.delta


@dataclass(frozen=True)
class Sampler:
    """A way to draw: which map makes a jump, and whether noise is added after it.

    Attributes:
        name: the registered name.
        label: for people.
        description: one sentence.
        needs: what it draws from: a two-time "map", or a "score" (x, t) → ∇ log p_t(x).
        noisy: whether it adds fresh noise after a jump.
        jump: makes the map of one jump out of what is needed.
        calls: evaluations of the network (or score) on a grid.
        calls_per_jump: evaluations in one jump.
    """

    name: str
    label: str
    description: str
    needs: Literal["map", "score"]
    noisy: bool
    jump: Callable[[Any], JumpMap]
    calls: Callable[[TimeGrid], int]
    calls_per_jump: int = 1

    def chain(
        self, grid: TimeGrid, *, renoise: float = 0.5, noiseless_end: bool = False, earliest: float = 0.0
    ) -> Chain:
        """What this sampler does on a grid; all but the grid matters to noisy samplers alone."""
        name = "renoise" if self.noisy else "deterministic"
        return make_chain(grid, sampler=name, renoise=renoise, noiseless_end=noiseless_end, earliest=earliest)

    @torch.no_grad()
    def draw(
        self,
        source: Any,
        noise: Float[Tensor, "n d"],
        grid: TimeGrid,
        *,
        generator: torch.Generator,
        renoise: float = 0.5,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Trajectory:
        """Draw from the given starting noise, x_0 ~ N(0, I).

        Args:
            source: a map (x, t, s) → x_s or a score (x, t) → ∇ log p_t(x), as `needs` says.
            generator: source of the fresh noise; untouched where none is added.
            renoise: η_{k+1} as a share of t_{k+1}.
            noiseless_end, earliest: see :func:`cmcore.chain.make_chain`.
        """
        f = self.jump(source)
        states, landings = [noise], []
        chain = self.chain(grid, renoise=renoise, noiseless_end=noiseless_end, earliest=earliest)
        for stage in chain.stages:
            landing = land(f, states[-1], stage)
            landings.append(landing)
            if stage.spread > 0:
                fresh = torch.randn(landing.shape, generator=generator, dtype=torch.float64, device=generator.device)
                landing = stage.scale * landing + stage.spread * fresh.to(landing)
            states.append(landing)
        return Trajectory(grid, torch.stack(states), torch.stack(landings), self.calls(grid), self.name, chain)


SAMPLERS: Registry[Sampler] = Registry("sampler")
"""Every way to draw, by name."""
