"""The quadrature of the line against an independent one: random mixtures, maps that tear and fold, and renoised chains.

    python benchmarks/line_quadrature.py [--cases 120] [--first 0]

A map follows one component after the other, left to right, and passes from each to the next within a width of noise
drawn between 1 and 1e-5, so that slopes reach 1e5; some overshoot there, some wave, some compute in float32. The truth
is made by scipy's adaptive quadrature between breakpoints at the tears, in numpy, with preimages by bisection (Brent),
and shares no code with the estimator. KL(data‖model) is integrated over x, the estimator does so over noise.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from scipy.integrate import IntegrationWarning, quad
from scipy.optimize import brentq
from scipy.special import ndtri

from cmcore.chain import Chain, Stage
from cmcore.divergences import DATA_MODEL, MODEL_DATA, kl_1d
from cmcore.grids import custom
from cmcore.targets import GaussianMixture

FAR = 40.0
"""Where the map is nearly flat, data is reached by noise as far as this, of probability 1e-349."""
STEPS = (0.0, 0.5, 1.5, 4.0, 12.0, 36.0, 100.0)
PANEL = 0.25


@dataclass(frozen=True)
class Case:
    """A mixture, a torn map of noise, and where noise is added after it.

    Attributes:
        weights, means, spreads: of the mixture, components in order.
        scales, offsets: the affine map onto each component, before it is torn.
        tears, widths: where the map passes to the next component, and how wide that is.
        overshoot: by how much it overshoots there.
        wave, pitch: a sine of this amplitude and frequency on top of all.
        noise: spreads of the noise after each jump; none for a deterministic chain.
        single: whether the map computes in float32.
    """

    weights: np.ndarray
    means: np.ndarray
    spreads: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    tears: np.ndarray
    widths: np.ndarray
    overshoot: float = 0.0
    wave: float = 0.0
    pitch: float = 3.0
    noise: tuple[float, ...] = ()
    single: bool = False

    @property
    def kind(self) -> str:
        words = ["renoised" * bool(self.noise), "folds" * bool(self.wave or self.overshoot), "float32" * self.single]
        return ", ".join(word for word in words if word) or "tears"

    @property
    def steepest(self) -> float:
        """The largest slope at the middle of a tear."""
        return max(abs(self.slope(c)) for c in self.tears.tolist())

    # ---- the map, twice ---------------------------------------------------------------------------------------------
    def jump(self, x, t, s):
        """For the estimator."""
        z = x.float() if self.single else x
        parts = [b + a * z for a, b in zip(self.scales.tolist(), self.offsets.tolist(), strict=True)]
        y = parts[0] + self.wave * torch.sin(self.pitch * z)
        for k, (c, w) in enumerate(zip(self.tears.tolist(), self.widths.tolist(), strict=True)):
            u = (z - c) / w
            y = y + torch.sigmoid(u) * (parts[k + 1] - parts[k]) + self.overshoot * u * torch.exp(-u * u)
        return y.to(x)

    def image(self, z: float) -> float:
        """For the truth, in plain floats: so small a map is ten times faster without arrays."""
        value = self.offsets[0] + self.scales[0] * z + self.wave * math.sin(self.pitch * z)
        for c, w, offset, scale in self._tears:
            u = (z - c) / w
            value += sigmoid(u) * (offset + scale * z) + self.overshoot * bump(u)
        return value

    def slope(self, z: float) -> float:
        value = self.scales[0] + self.wave * self.pitch * math.cos(self.pitch * z)
        for c, w, offset, scale in self._tears:
            u, one = (z - c) / w, sigmoid((z - c) / w)
            value += one * scale + one * sigmoid(-u) / w * (offset + scale * z)
            value += self.overshoot * (math.exp(-u * u) * (1 - 2 * u * u) / w if abs(u) < 26 else 0.0)
        return value

    @cached_property
    def _tears(self) -> list[tuple[float, float, float, float]]:
        """Centre and width of each tear, and the affine map by which the next component differs from the last."""
        parts = (self.tears, self.widths, np.diff(self.offsets), np.diff(self.scales))
        return list(zip(*(part.tolist() for part in parts), strict=True))

    # ---- both laws --------------------------------------------------------------------------------------------------
    @property
    def target(self) -> GaussianMixture:
        return GaussianMixture(self.weights, self.means[:, None], self.spreads**2)

    @property
    def chain(self) -> Chain:
        jumps = max(1, len(self.noise))
        grid = custom(np.linspace(3.0, 0.0, jumps + 1).tolist())
        spreads = self.noise or (0.0,)
        return Chain(grid, tuple(Stage(t, s, 1.0, e) for (t, s), e in zip(grid.jumps, spreads, strict=True)))

    def log_p(self, x: float) -> float:
        terms = [c - ((x - m) / s) ** 2 / 2 for c, m, s in self._components]
        top = max(terms)
        return top + math.log(sum(math.exp(term - top) for term in terms))

    @cached_property
    def _components(self) -> list[tuple[float, float, float]]:
        logs = np.log(self.weights / self.spreads) - math.log(math.tau) / 2
        return list(zip(logs.tolist(), self.means.tolist(), self.spreads.tolist(), strict=True))

    def mesh(self, low: float, high: float) -> np.ndarray:
        """Ends of panels on each of which the map is smooth."""
        near = [
            c + sign * step * w
            for c, w in zip(self.tears, self.widths, strict=True)
            for step in STEPS
            for sign in (-1, 1)
        ]
        edges = np.unique([*np.arange(max(low, -8), min(high, 8), PANEL), *np.arange(low, high), high, *near])
        return edges[(edges >= low) & (edges <= high)]


def sigmoid(u: float) -> float:
    return 1 / (1 + math.exp(-u)) if u > 0 else math.exp(max(u, -745.0)) / (1 + math.exp(max(u, -745.0)))


def bump(u: float) -> float:
    return u * math.exp(-u * u) if abs(u) < 26 else 0.0


def integral(f: Callable[[float], float], edges: Sequence[float] | np.ndarray) -> float:
    """Adaptive quadrature (QUADPACK's QAGS) between neighbouring edges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IntegrationWarning)
        parts = [quad(f, a, b, epsabs=1e-13, epsrel=1e-8, limit=200)[0] for a, b in pairwise(edges)]
    return math.fsum(parts)


def root(f: Callable[[float], float], low: float, high: float) -> float:
    return cast("float", brentq(f, low, high, xtol=1e-15))


def log_normal(z: float) -> float:
    return -z * z / 2 - math.log(math.tau) / 2


class Pushed:
    """The law of the map of N(0, 1): monotone pieces, and bisection on each."""

    def __init__(self, case: Case) -> None:
        self.case = case
        mesh = case.mesh(-FAR, FAR)
        fine = np.unique(np.concatenate([np.linspace(a, b, 25) for a, b in pairwise(mesh)]))
        slopes = np.array([case.slope(z) for z in fine])
        turning = np.flatnonzero(np.sign(slopes[1:]) != np.sign(slopes[:-1]))
        self.folds = [root(case.slope, fine[i], fine[i + 1]) for i in turning]
        self.ends = [-FAR, *self.folds, FAR]
        self.images = [case.image(z) for z in self.ends]

    def preimages(self, x: float) -> list[float]:
        found = []
        for a, b, ya, yb in zip(self.ends[:-1], self.ends[1:], self.images[:-1], self.images[1:], strict=True):
            if (ya - x) * (yb - x) < 0:
                found.append(root(lambda z: self.case.image(z) - x, a, b))
        return found

    def log_q(self, x: float, z: float | None = None) -> float:
        """log q(x); z is one preimage that is there already."""
        if not self.folds and z is not None:
            return log_normal(z) - math.log(self.case.slope(z))
        logs = [log_normal(z) - math.log(abs(self.case.slope(z)) or 1e-300) for z in self.preimages(x)]
        return float(np.logaddexp.reduce(logs)) if logs else -math.inf

    def edges(self) -> np.ndarray:
        """Of noise: the mesh, the folds, and everything else that lands where a fold does."""
        beside = [z for image in self.images[1:-1] for z in self.preimages(image)]
        return np.unique([*self.case.mesh(-9.0, 9.0), *self.folds, *beside])

    def kl(self, direction: str) -> float:
        case = self.case
        if direction == MODEL_DATA:
            return integral(
                lambda z: math.exp(log_normal(z)) * (self.log_q(case.image(z), z) - case.log_p(case.image(z))),
                self.edges(),
            )
        low, high = (case.means - 9 * case.spreads).min(), (case.means + 9 * case.spreads).max()
        low, high = max(low, min(self.images)), min(high, max(self.images))
        modes = [m + s * k for m, s in zip(case.means, case.spreads, strict=True) for k in range(-9, 10)]
        steps = [case.image(z) for z in case.mesh(-FAR, FAR)]
        edges = np.unique([low, high, *modes, *steps, *self.images])
        edges = edges[(edges >= low) & (edges <= high)]

        def share(x: float) -> float:
            (one, *rest) = self.preimages(x) or [None]
            if one is None:
                return 0.0
            log_q = self.log_q(x) if rest else log_normal(one) - math.log(abs(case.slope(one)) or 1e-300)
            return math.exp(case.log_p(x)) * (case.log_p(x) - log_q)

        return integral(share, edges)


class Renoised:
    """The law after jumps with noise: Gauss–Legendre on panels of each state, 12 nodes each."""

    def __init__(self, case: Case) -> None:
        self.case = case
        nodes, weights = np.polynomial.legendre.leggauss(12)
        self.places, self.logs, self.spread = np.zeros(1), np.zeros(1), 1.0
        for spread in case.noise:
            low, high = self.places.min() - 10 * self.spread, self.places.max() + 10 * self.spread
            edges = case.mesh(low, high)
            half = np.diff(edges)[:, None] / 2
            z = (edges[:-1, None] + half + half * nodes).ravel()
            logs = np.array([self.log_q(v) for v in z]) + np.log((half * weights).ravel())
            self.places, self.logs, self.spread = np.array([case.image(v) for v in z]), logs, spread

    def log_q(self, x: float) -> float:
        terms = self.logs - ((x - self.places) / self.spread) ** 2 / 2
        top = terms.max()
        return float(top + math.log(np.exp(terms - top).sum()) - math.log(self.spread * math.sqrt(math.tau)))

    def kl(self, direction: str) -> float:
        case = self.case
        low = min(self.places.min() - 9 * self.spread, (case.means - 9 * case.spreads).min())
        high = max(self.places.max() + 9 * self.spread, (case.means + 9 * case.spreads).max())
        modes = [m + s * k for m, s in zip(case.means, case.spreads, strict=True) for k in range(-9, 10, 3)]
        edges = np.unique([*np.arange(low, high, 2 * self.spread), high, *modes])
        edges = edges[(edges >= low) & (edges <= high)]

        def share(x: float) -> float:
            log_p, log_q = case.log_p(x), self.log_q(x)
            first, second = (log_q, log_p) if direction == MODEL_DATA else (log_p, log_q)
            return math.exp(first) * (first - second)

        return integral(share, edges)


# ---- random cases ---------------------------------------------------------------------------------------------------
def random_case(seed: int) -> Case:
    """Four kinds in turn: torn, torn and folded, torn and renoised, torn in float32."""
    draw = np.random.default_rng(seed)
    kind = ("tears", "folds", "renoised", "tears", "folds", "renoised", "tears", "float32")[seed % 8]
    k = int(draw.integers(2, 5))
    weights = draw.dirichlet(np.full(k, 3.0))
    means = np.sort(draw.uniform(-2.5, 2.5, k)) + 0.6 * np.arange(k)
    spreads = 10 ** draw.uniform(-1.0, -0.3, k)
    off = 10 ** draw.uniform(-3, -0.7)  # how far the map is from the truth
    cumulative = np.concatenate([[0], weights.cumsum()]).clip(0, 1)
    tears = ndtri(cumulative[1:-1]) + off * draw.normal(size=k - 1) / 3
    centres = ndtri((cumulative[1:] + cumulative[:-1]) / 2)
    scales = (
        1.6 * spreads * (1 + off * draw.uniform(-1, 1, k)) / np.maximum(0.6, np.diff(np.clip(ndtri(cumulative), -2, 2)))
    )
    offsets = means - scales * centres + off * draw.normal(size=k) * spreads
    widths = 10 ** draw.uniform(-3 if kind == "float32" else -5, -1, k - 1)
    order = tears.argsort()
    case = Case(weights, means, spreads, scales, offsets, tears[order], widths[order])
    if kind == "folds":
        wave, overshoot = (draw.uniform(0.1, 0.6), 0.0) if draw.random() < 0.5 else (0.0, draw.uniform(0.1, 0.5))
        return Case(**{**vars(case), "wave": wave, "overshoot": overshoot, "pitch": draw.uniform(2, 5)})
    if kind == "renoised":
        noise = tuple(10 ** draw.uniform(-1.3, -0.3, int(draw.integers(1, 3))))
        return Case(**{**vars(case), "noise": noise})
    return Case(**{**vars(case), "single": kind == "float32"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--first", type=int, default=0)
    choices = parser.parse_args()
    torch.set_num_threads(1)
    head = f"{'case':>4} {'kind':10} {'slope':>6} {'direction':15} {'truth':>12} {'error':>8} {'stated':>8}"
    print(f"{head} {'width':>8} {'ms':>4}")
    ratios, halves, held, total = [], [], 0, 0
    for seed in range(choices.first, choices.first + choices.cases):
        case = random_case(seed)
        law = Renoised(case) if case.noise else Pushed(case)
        for direction in (MODEL_DATA, DATA_MODEL):
            truth = law.kl(direction)
            started = time.thread_time()
            found = kl_1d(case.jump, case.target, case.chain, direction=direction)
            spent = 1000 * (time.thread_time() - started)
            error, half = abs(found.value - truth), (found.high - found.low) / 2
            inside = found.trusted and found.low - 1e-9 <= truth <= found.high + 1e-9
            ratios.append(max(0.0, error - 1e-9) / half)
            halves.append(half / truth)
            held, total = held + inside, total + 1
            print(
                f"{seed:4d} {case.kind:10} {case.steepest:6.0f} {direction:15} {truth:12.5e} {error:8.1e} {half:8.1e} "
                f"{half / truth:8.1e} {spent:4.0f}{'' if inside else '  MISSED ' + found.note}",
                flush=True,
            )
    print(
        f"\n{held} of {total} intervals hold the truth; the largest error is {max(ratios):.2g} of its half width, "
        f"the largest half width {max(halves):.2g} of its value"
    )


if __name__ == "__main__":
    main()
