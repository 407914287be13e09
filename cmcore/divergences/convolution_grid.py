r"""The law of a renoised sampler in the plane, on a grid.

The last stage adds Gaussian noise of standard deviation :math:`s = \sqrt{1 - e^{-2\eta_K}}` to scaled landings
:math:`m = e^{-\eta_K} y`, so :math:`q = \mathbb E\, N(\cdot\,; m, s^2 I)`. Landings are counted in cells of side
h = s/5 and the counts are convolved with a Gaussian that is narrower by what the counting widens (Sheppard). Both KL
divergences are sums over cell centres, which converge faster than any power of h/s.

A finite number M of landings biases the KL upward by about C/M. The estimate KL(M) from all landings and the mean
KL(M/4) of the estimates from the four quarters remove that term: (4 KL(M) − KL(M/4))/3.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from cmcore.chain import Chain, JumpMap, land, like_map
from cmcore.divergences.estimate import DATA_MODEL, ESTIMATORS, MODEL_DATA, Direction, Estimate, Estimator, direction_of
from cmcore.divergences.problem import Problem, fits
from cmcore.divergences.tools.line_law import TooFine
from cmcore.divergences.tools.off_mode import density_level, off_mode_mass
from cmcore.streams import stream
from cmcore.targets.base import Target

ESTIMATORS.register("convolution_grid")(
    Estimator("convolution on a grid", "The exact noise of the last stage, spread over where the last jumps land.")
)

LANDINGS = 1 << 19
"""M, the default number of landings."""

_BLOCKS = 16
_QUARTERS = 4
_CELLS_PER_SPREAD = 5
_MOST_CELLS_PER_SIDE = 2048
_CHUNK = 1 << 16
_TINY = 1e-300
_UNCOVERED = 1e-4


@dataclass(frozen=True)
class GridLaw:
    """The law of the last stage at the centres of square cells.

    Attributes:
        axes: the cell centres along each coordinate.
        side: h, the side of a cell.
        blocks: the density from each of 16 independent blocks of landings, [16, rows, columns]; their mean is q.
        landings: M, over all blocks.
        outside: share of landings outside the grid.
    """

    axes: tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]]
    side: float
    blocks: Float[Tensor, "blocks rows columns"]
    landings: int
    outside: float

    @property
    def density(self) -> Float[Tensor, "rows columns"]:
        """q at the cell centres, from all landings."""
        return self.blocks.mean(0)

    @property
    def centres(self) -> Float[Tensor, "cells 2"]:
        """The cell centres, row by row."""
        return torch.cartesian_prod(*self.axes)


def kl_convolution_grid(
    f: JumpMap,
    target: Target,
    chain: Chain,
    *,
    seed: int,
    n: int = LANDINGS,
    direction: Direction = DATA_MODEL,
) -> Estimate:
    """KL between the law q of a renoised chain in the plane and p_δ, in either direction, in nats.

    Args:
        f: the map of the jumps.
        target: the truth.
        chain: the stages; the last must add noise.
        seed: of the starting and the fresh noise.
        n: M, the number of landings; bias and floor fall as 1/M, the time grows as M.
        direction: which KL.

    Returns:
        The extrapolated estimate; its interval is a jackknife over 16 blocks of landings.
    """
    direction = direction_of(direction)
    law = grid_law(f, target, chain, n=n, seed=seed)
    log_p = target.log_prob(law.centres, chain.delta).reshape(law.blocks.shape[1:])
    kl = _BlockKL(law, log_p, direction)
    value, replicates = kl.extrapolated(), kl.pseudo_values()
    half = float(stdtrit(_BLOCKS - 1, 0.975)) * float(replicates.std()) / math.sqrt(_BLOCKS)
    note = _note(direction, kl, law.outside, value, half)
    # Few landings lift it as they lift the plain value, so it falls by the same extrapolation.
    apart = kl.plain - kl.with_the_uncovered_as_one() if note and direction == DATA_MODEL else 0.0
    surely = value - max(0.0, apart)
    return Estimate(
        value=value,
        low=surely - half if math.isfinite(surely) else 0.0,
        high=math.inf if note else value + half,
        direction=direction,
        delta=chain.delta,
        estimator="convolution_grid",
        n=law.landings,
        floor=half,
        trusted=not note,
        note=note,
        diagnostics={
            "plain": kl.plain,
            "outside_share": law.outside,
            "uncovered_share": kl.uncovered,
            "off_mode_mass": off_mode_mass(target, kl.log_p, kl.full, delta=chain.delta),
            "off_mode_floor": density_level(target, chain.delta)[1],
        },
        replicates=tuple(replicates.tolist()) if math.isfinite(half) else (),
    )


def _note(direction: Direction, kl: "_BlockKL", outside: float, value: float, half: float) -> str:
    """Why the number is none, in a sentence; empty where it is one."""
    uncovered = kl.uncovered
    if not math.isfinite(value + half):
        return "The map gives values that are not numbers, or throws mass far away, so the KL could not be computed."
    # log q is guessed to within some ten nats there, so a share below a tenth of the interval does not show.
    if direction == DATA_MODEL and uncovered > max(_UNCOVERED, half / 10):
        return f"Hardly a sample lands where {uncovered:.2%} of the data is; the KL there is large and only guessed."
    if direction == MODEL_DATA and outside > 1e-5:
        return f"{outside:.2%} of the model's mass lies far outside the data and is left out; the true KL is larger."
    return ""


# ---- the law on a grid ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class CountedLandings:
    """Scaled landings of a last stage, counted in square cells.

    Attributes:
        axes: the cell centres along each coordinate.
        side: h, the side of a cell.
        spread: s, of the noise that the stage adds.
        counts: how many landings of each of 16 independent blocks fall in each cell, [16, rows, columns].
        each: landings in a block, in a cell or not.
    """

    axes: tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]]
    side: float
    spread: float
    counts: Float[Tensor, "blocks rows columns"]
    each: int

    @property
    def variance(self) -> float:
        """s² − h²/12: of the Gaussian around each cell's centre, narrower by what counting in cells widens."""
        return self.spread**2 - self.side**2 / 12


def counted_landings(f: JumpMap, target: Target, chain: Chain, *, n: int, seed: int) -> CountedLandings:
    """About n landings of the chain's last stage, one block at a time, in bounded memory."""
    last = chain.stages[-1]
    if target.dim != 2 or last.spread <= 0:
        raise ValueError("The convolution grid needs a chain in the plane whose last stage adds noise.")
    side, each = last.spread / _CELLS_PER_SPREAD, max(256, n // _BLOCKS)
    low, shape = _frame(f, target, chain, seed, side)
    axes = tuple(low[i] + side * torch.arange(shape[i], dtype=torch.float64) for i in (0, 1))
    counts = torch.zeros(_BLOCKS, *shape, dtype=torch.float64)
    for block in range(_BLOCKS):
        for landings in _scaled_landings(f, chain, each, seed=seed, block=block):
            counts[block] += _counted(landings, low, side, shape)
    return CountedLandings((axes[0], axes[1]), side, last.spread, counts, each)


def grid_law(f: JumpMap, target: Target, chain: Chain, *, n: int, seed: int) -> GridLaw:
    """The law of the chain's last stage from about n landings."""
    counted = counted_landings(f, target, chain, n=n, seed=seed)
    rows, columns = (_kernel(len(axis), counted.variance, counted.side) for axis in counted.axes)
    landings, inside = counted.each * _BLOCKS, float(counted.counts.sum())
    blocks = counted.counts
    for block in blocks:
        block.copy_(rows @ block @ columns / counted.each)
    return GridLaw(counted.axes, counted.side, blocks, landings, 1 - inside / landings)


def _scaled_landings(f: JumpMap, chain: Chain, n: int, *, seed: int, block: int) -> Iterator[Tensor]:
    """e^{-η_K} y_K for n fresh draws, in pieces; block −1 is a pilot that no estimate uses."""
    dtype, device = like_map(f)
    generator = stream(seed, f"landings {block}")
    for start in range(0, n, _CHUNK):
        size = (min(_CHUNK, n - start), 2)
        x = torch.randn(size, generator=generator, dtype=dtype).to(device)
        for stage in chain.stages[:-1]:
            x = land(f, x, stage)
            if stage.spread > 0:
                x = stage.scale * x + stage.spread * torch.randn(size, generator=generator, dtype=dtype).to(device)
        yield chain.stages[-1].scale * land(f, x, chain.stages[-1]).double().cpu()


def _frame(
    f: JumpMap, target: Target, chain: Chain, seed: int, side: float
) -> tuple[Float[Tensor, "2"], tuple[int, int]]:
    """The lowest cell centre and the numbers of cells: room for the data, the landings, and six spreads around."""
    data = target.sample(20_000, t=chain.delta, generator=stream(seed, "frame"))
    landings = torch.cat(list(_scaled_landings(f, chain, 1 << 12, seed=seed, block=-1)))
    # A diverged map may land anywhere; what falls outside three times the data's range is counted as outside.
    centre, reach = data.mean(0), 3 * (data - data.mean(0)).abs().amax(0)
    points = torch.cat([data, landings.clamp(centre - reach, centre + reach).nan_to_num()])
    margin = (6 * _CELLS_PER_SPREAD + 1) * side
    low, high = points.amin(0) - margin, points.amax(0) + margin
    shape = ((high - low) / side).ceil().int().tolist()
    if max(shape) > _MOST_CELLS_PER_SIDE:
        raise TooFine
    return low, (shape[0], shape[1])


def _counted(points: Tensor, low: Tensor, side: float, shape: tuple[int, int]) -> Tensor:
    """How many points fall in each cell; points outside are dropped."""
    index = ((points - low) / side).round()
    limits = torch.tensor(shape, dtype=torch.float64)
    index = index[((index >= 0) & (index < limits)).all(1)].long()
    return torch.bincount(index[:, 0] * shape[1] + index[:, 1], minlength=shape[0] * shape[1]).reshape(shape)


def _kernel(size: int, variance: float, side: float) -> Float[Tensor, "size size"]:
    """The Gaussian from every cell centre to every other, narrower by what counting in cells widens: Toeplitz.

    Landings moved to the centres of their cells have a variance larger by h²/12 (Sheppard), which at h = s/5 would
    change a KL of 0.001 by per cents and no number of landings would mend; so its variance is to be s² − h²/12. The
    rest is of order (h/s)⁴. A product with this matrix costs no more than an FFT at these sizes, and its far tails are
    exact where an FFT's drown in rounding; a KL needs their logarithm.
    """
    distance = side * torch.arange(size, dtype=torch.float64)
    values = (-distance.square() / (2 * variance)).exp() / math.sqrt(2 * math.pi * variance)
    index = torch.arange(size)
    return values[(index[:, None] - index[None, :]).abs()]


# ---- both divergences -----------------------------------------------------------------------------------------------
class _BlockKL:
    """KL by quadrature as a function of which blocks make up q."""

    def __init__(self, law: GridLaw, log_p: Tensor, direction: Direction) -> None:
        self.area = law.side**2
        self.blocks = law.blocks.flatten(1)
        self.log_p = log_p.flatten()
        self.p = self.log_p.exp()
        self.forward = direction == DATA_MODEL
        self.full = self.blocks.mean(0)
        self.quarters = self.blocks.reshape(_QUARTERS, -1, self.blocks.shape[1]).mean(1)
        self.quarter_kls = [self._kl(q) for q in self.quarters]
        self.plain = self._kl(self.full)
        # Where q is below that of one landing three spreads away, its value rests on landings that did not happen.
        spread = law.side * _CELLS_PER_SPREAD
        single = math.exp(-4.5) / (2 * math.pi * spread**2 * law.landings)
        self.covered = self.full >= single
        self.uncovered = float((self.p * ~self.covered).sum()) * self.area
        self.landings = law.landings

    def extrapolated(self) -> float:
        """(4 KL(M) − KL(M/4))/3."""
        return _extrapolate(self.plain, self.quarter_kls)

    def pseudo_values(self) -> Tensor:
        """Those of a jackknife that leaves out one block at a time: like the values of independent blocks."""
        per_quarter = _BLOCKS // _QUARTERS
        values = []
        for b in range(_BLOCKS):
            mine = b // per_quarter
            quarter = (per_quarter * self.quarters[mine] - self.blocks[b]).clamp_min(0) / (per_quarter - 1)
            kls = [self._kl(quarter) if k == mine else kl for k, kl in enumerate(self.quarter_kls)]
            rest = (_BLOCKS * self.full - self.blocks[b]).clamp_min(0) / (_BLOCKS - 1)
            values.append(_extrapolate(self._kl(rest), kls))
        return _BLOCKS * self.extrapolated() - (_BLOCKS - 1) * torch.tensor(values, dtype=torch.float64)

    def with_the_uncovered_as_one(self) -> float:
        """KL(p‖q) where all of the plane that hardly a landing covers is one place: at most the KL (data processing).

        There only q's mass is estimated, and at most three landings more than were seen are likely.
        """
        p, q = self.p[self.covered], self.full[self.covered]
        rest = max(0.0, 1 - float(q.sum()) * self.area) + 3 / self.landings
        apart = float((p * (self.log_p[self.covered] - q.log())).sum()) * self.area
        return apart + self.uncovered * math.log(self.uncovered / rest) if self.uncovered > 0 else apart

    def _kl(self, q: Tensor) -> float:
        """∫ a log(a/b) − a + b with (a, b) = (p, q) or (q, p); the last terms cancel what the grid's edge cuts off.

        In the forward direction ∫q = 1 is known, wherever the landings are; a sum over the grid would forgive a map for
        what it throws far away.
        """
        log_q = q.clamp_min(_TINY).log()
        if self.forward:
            return float((self.p * (self.log_p - log_q) - self.p).sum()) * self.area + 1
        return float((q * (log_q - self.log_p) - q + self.p).sum()) * self.area


def _extrapolate(full: float, quarters: list[float]) -> float:
    return (4 * full - sum(quarters) / len(quarters)) / 3


@fits(40)
def _attempt(problem: Problem) -> Estimate | None:
    """In the plane, noise at the end."""
    if problem.target.dim != 2 or not problem.noisy_end:
        return None
    n, direction = problem.n or LANDINGS, problem.direction
    return kl_convolution_grid(problem.f, problem.target, problem.chain, seed=problem.seed, n=n, direction=direction)
