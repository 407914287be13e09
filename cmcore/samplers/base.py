r"""What a sampler is: it makes a plan for a grid of times, and draws a trajectory by it.

A sampler turns a source (a map, or a score) and a grid into a :class:`Plan`: the map of its stages and the chain of
them. Draws follow the plan and :func:`cmcore.divergences.kl_of_chain` measures it, so that what is measured is what
is drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cmcore.chain import CHUNK, Chain, JumpMap, Stage, land
from cmcore.grids import TimeGrid
from cmcore.registry import Registry
from cmcore.samplers.scores import Score, following
from cmcore.streams import normal_rows
from cmcore.threads import in_pieces, piecewise

Path = Callable[[Float[Tensor, "n d"]], Float[Tensor, "k1 n d"]]
"""x_0 → the states at all times of a grid."""

ChainOf = Callable[..., Chain]
"""(grid, *, renoise, noiseless_end, earliest) → Chain; all but the grid matters to samplers that renoise alone."""


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
class Plan:
    """What a sampler will do, known before anything is drawn.

    Attributes:
        f: the map of the stages; a module where it follows a network, so that its weights say where it is evaluated.
        chain: the stages.
        calls: network (or score) evaluations per sample.
        path: for a solver that remembers earlier steps, whose chain is one stage: the states at all times of the grid
            it was planned for.
    """

    f: JumpMap
    chain: Chain
    calls: int
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A way to draw samples from a flow map, or from a score.

    Attributes:
        name: the registered name.
        label: for people; which score a solver follows is said by :meth:`labelled`.
        description: one sentence.
        needs: what it draws from: a two-time "map", or a "score" (x, t) → ∇ log p_t(x).
        noisy: whether it adds fresh noise.
        share_of: what `renoise` is a share of: the "time" t a jump ends at, the "step" h, or None where it has no say.
        ends_noiseless: whether its last stage adds none though others do.
        calls_per_jump: the most evaluations of the network (or score) in one step.
    """

    name: str
    label: str
    description: str
    needs: Literal["map", "score"]
    noisy: bool = False
    share_of: Literal["time", "step"] | None = None
    ends_noiseless: bool = False
    calls_per_jump: int = 1

    @abstractmethod
    def plan(
        self,
        source: Any,
        grid: TimeGrid,
        *,
        renoise: float | None = None,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Plan:
        """What this sampler does on a grid.

        Args:
            source: a map (x, t, s) → x_s or a score (x, t) → ∇ log p_t(x), as `needs` says.
            grid: the times.
            renoise: η_{k+1} as a share of t_{k+1}, or of the step, for samplers that renoise; see `share_of`. By
                default as :func:`cmcore.chain.make_chain` has it.
            noiseless_end, earliest: see :func:`cmcore.chain.make_chain`.
        """

    def labelled(self, score: Score | None) -> str:
        """The label with the score that is followed: "DDIM, exact score"; the plain label for a map's sampler."""
        return self.label if self.needs == "map" or score is None else f"{self.label}, {_WHOSE[score]} score"

    @torch.no_grad()
    @piecewise()
    def draw(
        self,
        source: Any,
        noise: Float[Tensor, "n d"],
        grid: TimeGrid,
        *,
        generator: torch.Generator,
        renoise: float | None = None,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Trajectory:
        """Draw from the given starting noise, x_0 ~ N(0, I); arguments as of :meth:`plan`.

        Args:
            generator: source of the fresh noise; untouched where none is added.
        """
        plan = self.plan(source, grid, renoise=renoise, noiseless_end=noiseless_end, earliest=earliest)
        states, landings = _solved(plan.path, noise) if plan.path else _walked(plan, noise, generator)
        return Trajectory(grid, states, landings, plan.calls, self.name, plan.chain)


_ROWS = 16 * CHUNK
"""Points that walk together: as many pieces as threads may share."""
_WHOSE = {"exact": "exact", "model": "learned"}


def _solved(path: Path, noise: Tensor) -> tuple[Tensor, Tensor]:
    states = torch.cat(in_pieces(path, noise, rows=CHUNK), dim=1)
    return states, states[1:]


def _walked(plan: Plan, noise: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """All stages for some points, then for the next; a stage that stays at its time replaces the state of that time.

    The noise of all stages is drawn point by point, so that no point of it depends on how many follow. Beside the
    answer there is memory for a piece of the points only.
    """
    (n, dim), stages = noise.shape, plan.chain.stages
    noisy, steps = sum(stage.spread > 0 for stage in stages), sum(stage.t != stage.s for stage in stages)
    states = noise.new_empty(steps + 1, n, dim)
    straight = not noisy and steps == len(stages)
    landings = states[1:] if straight else noise.new_empty(steps, n, dim)
    fresh = normal_rows(noisy * dim, generator=generator) if noisy else None
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        x, k = noise[rows], 0
        states[0, rows] = x
        added = iter(fresh(len(x)).to(noise).split(dim, dim=1) if fresh else ())
        for stage in stages:
            x = landing = land(plan.f, x, stage)
            if stage.spread > 0:
                x = stage.scale * x + stage.spread * next(added)
            if stage.t != stage.s:
                k += 1
                landings[k - 1, rows] = landing
            states[k, rows] = x
    return states, landings


def _each_jump(grid: TimeGrid, **_: Any) -> Chain:
    """The deterministic chain: a stage for every step, and no noise."""
    return Chain(grid, tuple(Stage(t, s) for t, s in grid.jumps))


def one_stage(grid: TimeGrid) -> Chain:
    """The deterministic chain whose only stage goes from T to δ."""
    return _each_jump(TimeGrid((grid.horizon, grid.delta), grid.name))


def _one_a_step(grid: TimeGrid) -> int:
    return grid.steps


@dataclass(frozen=True, kw_only=True)
class StageSampler(Sampler):
    """A sampler whose stages are independent of each other.

    Attributes:
        step: makes the map of one stage out of what is needed.
        chain: the stages on a grid.
        calls: evaluations on a grid.
    """

    step: Callable[[Any], JumpMap]
    chain: ChainOf = _each_jump
    calls: Callable[[TimeGrid], int] = _one_a_step

    def plan(
        self,
        source: Any,
        grid: TimeGrid,
        *,
        renoise: float | None = None,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Plan:
        chain = self.chain(grid, renoise=renoise, noiseless_end=noiseless_end, earliest=earliest)
        f = self.step(source) if self.needs == "map" else following(source, self.step)
        return Plan(f, chain, self.calls(grid))


@dataclass(frozen=True, kw_only=True)
class PathSampler(Sampler):
    """A solver that remembers earlier steps, one call in each: one stage from T to δ, whose map is the whole solver.

    Attributes:
        path: makes the solver out of a score and a grid.
    """

    path: Callable[[Any, TimeGrid], Path]

    def plan(
        self,
        source: Any,
        grid: TimeGrid,
        *,
        renoise: float | None = None,
        noiseless_end: bool = False,
        earliest: float = 0.0,
    ) -> Plan:
        def step(score: Any) -> JumpMap:
            along = self.path(score, grid)
            return lambda x, t, s: along(x)[-1]

        return Plan(following(source, step), one_stage(grid), grid.steps, self.path(source, grid))


SAMPLERS: Registry[Sampler] = Registry("sampler")
"""Every way to draw, by name."""
