"""Coverage of the 95 % intervals of every exact estimator, and floors of the others.

`estimators.py --coverage` and `--floors` print these tables. The KL of every pair of laws is known: a formula for
Gaussians, the trapezoid rule on the line for the rest. Models are closed-form maps of N(0, I), handed to the estimator
itself so that no closed form is taken. Repeats differ in the seed alone.
"""

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq

from cmcore.chain import make_chain
from cmcore.divergences import (
    DATA_MODEL,
    MODEL_DATA,
    Direction,
    Estimate,
    classifier_accuracy,
    energy_distance,
    kl_1d,
    kl_change_of_variables,
    kl_convolution_grid,
    kl_neighbours,
    kl_neighbours_with_density,
    kl_of_chain,
    kl_sandwich,
    kl_through_last_jump,
    kl_to_noised,
    mmd,
    sliced_wasserstein,
)
from cmcore.divergences.product import kl_product
from cmcore.divergences.tools import model_draw
from cmcore.experiments.one_time import one_time_ratio, variance_kl
from cmcore.grids import custom, make_grid
from cmcore.samplers import ddim
from cmcore.streams import stream
from cmcore.targets import GaussianMixture, Product, make_target

SIZES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ONE = make_grid("uniform_angle", 1, horizon=3.0, delta=0.0)
LINE = GaussianMixture([1.0], [[0.0]], 1.0)


def standard(dim):
    return GaussianMixture([1.0], [[0.0] * dim], 1.0)


@dataclass(frozen=True)
class Row:
    """One row of the table: an estimator on one or more pairs of laws, its repeats shared out among them.

    `share` is its part of the repeats asked for, less where an estimate is dear.
    """

    label: str
    truth: float
    estimates: dict[str, Callable[[int], Estimate]]
    share: float = 1.0


# ---- maps and their KL, size by size --------------------------------------------------------------------------------
def shifted(c):
    return lambda x, t, s: x + c / math.sqrt(x.shape[1])


def scaled(c):
    return lambda x, t, s: c * x


def warped(c):
    return lambda x, t, s: x + c * torch.sin(4 * x + 1)


def bent(c):
    return lambda z: 1 + 4 * c * torch.cos(4 * z + 1)


def identity(x, t, s):
    return x


def far_component(weight):
    """1 − w of N(0, 1) and w of N(2, 1), in one dimension."""
    return GaussianMixture([1 - weight, weight], [[0.0], [2.0]], 1.0)


def scale_kl(c, dim, direction):
    c = c if direction == MODEL_DATA else 1 / c
    return dim * (c * c - 1 - 2 * math.log(c)) / 2


NODES = torch.linspace(-12, 12, 6001, dtype=torch.float64)[:, None]


def by_trapezoids(f, slope, target, direction):
    """KL of an increasing map of the line, over noise z: both laws have density at f(z), and dx = f'(z) dz."""
    log_q = LINE.log_prob(NODES) - slope(NODES[:, 0]).log()
    log_p = target.log_prob(f(NODES, 0.0, 0.0))
    first, second = (log_q, log_p) if direction == MODEL_DATA else (log_p, log_q)
    return float((first.exp() * (first - second) * slope(NODES[:, 0])).sum() * (NODES[1] - NODES[0]))


def pairs(size: float, dim: int, direction: Direction) -> Iterator[tuple[str, Callable, object, float]]:
    """(name, map, target, KL) of every kind whose KL reaches the size."""
    yield "shift", shifted(math.sqrt(2 * size)), standard(dim), size
    for name, bracket in (("narrow", (1e-3, 1.0)), ("wide", (1.0, 20.0))):
        c = brentq(lambda c: scale_kl(c, dim, direction) - size, *bracket, xtol=1e-14)
        yield name, scaled(c), standard(dim), size
    for name, most, kl in (
        ("warp", 0.24, lambda c: dim * by_trapezoids(warped(c), bent(c), LINE, direction)),
        ("mixture", 0.9, lambda w: by_trapezoids(identity, torch.ones_like, far_component(w), direction)),
    ):
        if kl(most) > size:
            c = brentq(lambda c: kl(c) - size, 1e-6, most, rtol=1e-6)  # noqa: B023 - called at once
            target = standard(dim) if name == "warp" else Product([far_component(c), (LINE, dim - 1)])
            yield name, warped(c) if name == "warp" else identity, target, kl(c)


# ---- maps that fold -------------------------------------------------------------------------------------------------
def folding(x, t, s):
    return torch.cat([x[:, :1] + 0.4 * torch.sin(3 * x[:, :1]), x[:, 1:]], dim=1)


FOLD = 0.896911
"""KL of z + 0.4 sin 3z against N(0, 1), by tanh-sinh quadrature between the folds and their images."""


@dataclass(frozen=True)
class Dent:
    """z − 0.7 exp(−((z − c)/0.3)²/2) in the first coordinate: a fold, and less of a KL the farther out c is."""

    c: float

    def line(self, z):
        return z - 0.7 * torch.exp(-(((z - self.c) / 0.3) ** 2) / 2)

    def slope(self, z):
        u = (z - self.c) / 0.3
        return 1 + 0.7 / 0.3 * u * torch.exp(-(u**2) / 2)

    def __call__(self, x, t, s):
        return torch.cat([self.line(x[:, :1]), x[:, 1:]], dim=1)

    @property
    def folds(self):
        """The two noises where the slope vanishes; it is least at c − 0.3."""
        slope = lambda z: float(self.slope(torch.tensor(z, dtype=torch.float64)))  # noqa: E731
        least = self.c - 0.3
        return brentq(slope, least - 3, least, xtol=1e-15), brentq(slope, least, self.c, xtol=1e-15)

    def log_q(self, x):
        """The density of the image under N(0, 1), summed over the preimages between the folds and beside them."""
        low, high = self.folds
        total = torch.zeros_like(x)
        for left, right in ((-14.0, low), (low, high), (high, 14.0)):
            a, b = torch.full_like(x, left), torch.full_like(x, right)
            rising = self.line(b) > self.line(a)
            within = (x - self.line(a)) * (x - self.line(b)) < 0
            for _ in range(60):
                middle = (a + b) / 2
                below = (self.line(middle) < x) == rising
                a, b = torch.where(below, middle, a), torch.where(below, b, middle)
            total += torch.where(within, LINE.log_prob(a[:, None]).exp() / self.slope(a).abs(), 0.0)
        return total.log()

    def kl(self, direction):
        """By Gauss–Legendre between the images of the folds, where log q has its singularities."""
        ends = sorted([-13.0, 13.0, *self.line(torch.tensor(self.folds, dtype=torch.float64)).tolist()])
        t, w = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(400))
        t = (t + 1) / 2
        flat, slope = t**3 * (10 - 15 * t + 6 * t**2), 30 * t**2 * (1 - t) ** 2  # flat at both ends
        total = 0.0
        for left, right in pairwise(ends):
            x = left + (right - left) * flat
            log_q, log_p = self.log_q(x), LINE.log_prob(x[:, None])
            first, second = (log_q, log_p) if direction == MODEL_DATA else (log_p, log_q)
            total += float((first.exp() * (first - second) * slope * w).sum()) * (right - left) / 2
        return total


# ---- what is measured -----------------------------------------------------------------------------------------------
def change_of_variables_rows() -> Iterator[Row]:
    for direction in (MODEL_DATA, DATA_MODEL):
        for dim in (2, 8):
            n = 512 if (dim, direction) == (8, DATA_MODEL) else 2048
            for size in SIZES:
                estimates = {
                    name: lambda seed, f=f, target=target, n=n, direction=direction: kl_change_of_variables(
                        f, target, ONE, seed=seed, n=n, direction=direction
                    )
                    for name, f, target, _ in pairs(size, dim, direction)
                }
                yield Row(f"change of variables, {direction}, d = {dim}, n = {n:,}", size, estimates)


def fold_rows() -> Iterator[Row]:
    plane = standard(2)
    for direction in (MODEL_DATA, DATA_MODEL):
        name = "all preimages" if direction == MODEL_DATA else "inversion where a map folds"
        for size in SIZES[:-1]:
            c = brentq(lambda c: math.log(Dent(c).kl(direction) / size), 0.3, 6.0, rtol=1e-6)  # noqa: B023
            n = 4096 if size == SIZES[0] else 1024  # its fold holds a hundred-thousandth of the noise
            estimate = {
                "dent": lambda seed, f=Dent(c), n=n, direction=direction: kl_change_of_variables(
                    f, plane, ONE, seed=seed, n=n, direction=direction
                )
            }
            yield Row(f"{name}, {direction}, d = 2, n = {n:,}", Dent(c).kl(direction), estimate)
    fold = {"fold": lambda seed: kl_change_of_variables(folding, plane, ONE, seed=seed, n=1024)}
    yield Row("all preimages, KL(model‖data), d = 2, n = 1,024", FOLD, fold)


def other_rows() -> Iterator[Row]:
    for size in SIZES:
        v = brentq(lambda v: noised_kl(v, 8, 0.1) - size, 1e-4, 1 - 1e-9, xtol=1e-14)  # noqa: B023 - called at once
        target = GaussianMixture([1.0], [[0.0] * 8], v)
        estimate = {"narrow": lambda seed, target=target: kl_to_noised(target, 0.1, seed=seed, n=2048)}
        yield Row("exact densities, KL(p₀‖p_δ), d = 8, n = 2,048", size, estimate)
    plane = standard(2)
    for delta, n, sizes, share in ((0.5, 1 << 12, SIZES, 1.0), (0.1, 1 << 19, (1e-3,), 0.01)):
        chain = make_chain(make_grid("uniform_angle", 1, horizon=3.0, delta=delta), sampler="renoise", renoise=1.0)
        for direction in (MODEL_DATA, DATA_MODEL):
            for size in sizes:
                f = shifted(math.sqrt(2 * size) / chain.stages[0].scale)
                estimate = {
                    "shift": lambda seed, f=f, n=n, chain=chain, direction=direction: kl_convolution_grid(
                        f, plane, chain, seed=seed, n=n, direction=direction
                    )
                }
                yield Row(f"convolution on a grid, {direction}, δ = {delta}, n = {n:,}", size, estimate, share)


def last_jump_rows() -> Iterator[Row]:
    """Multistep consistency sampling: of a Gaussian, in closed form, and of a product of mixtures, by quadrature."""
    variance = 0.3
    blob = GaussianMixture([1.0], [[0.0, 0.0]], variance)
    chain = make_chain(custom((3.0, 1.0, 0.3, 0.0)), sampler="one_time")
    two = make_target("product_of_mixtures", dim=2, case="off_centre", sd=0.5)
    noisy = make_chain(custom((3.0, 0.8, 0.3, 0.05)), sampler="one_time", earliest=0.05)
    step = ddim(two.score)
    for direction in (MODEL_DATA, DATA_MODEL):
        for size in (1e-3, 1e-2, 1e-1):
            f = GaussianJump.of_size(size, chain.grid, variance, direction)
            estimate = {
                "scaled": lambda seed, f=f, direction=direction: kl_through_last_jump(
                    f, blob, chain, seed=seed, direction=direction, n=1 << 12
                )
            }
            yield Row(f"through the last jump, {direction}, n = 4,096", size, estimate, 0.25)
        truth = kl_of_chain(step, two, noisy, seed=0, direction=direction)
        estimate = {
            "DDIM": lambda seed, direction=direction: kl_through_last_jump(
                step, two, noisy, seed=seed, direction=direction, n=1 << 13
            )
        }
        yield Row(f"through the last jump, {direction}, n = 8,192", truth.value, estimate, 0.25)


@dataclass(frozen=True)
class GaussianJump:
    """The exact flow of N(0, v I), too far by the factor 1 + ε."""

    variance: float
    error: float

    @classmethod
    def of_size(cls, size, grid, variance, direction):
        """That whose one-time sampling has this KL in the plane."""

        def too_large(error):
            ratio = one_time_ratio(grid, variance, error)
            return 2 * variance_kl(ratio if direction == MODEL_DATA else 1 / ratio) - size

        return cls(variance, brentq(too_large, 1e-4, 2.0, xtol=1e-14))

    def __call__(self, x, t, s):
        before, after = (1 + (self.variance - 1) * torch.as_tensor(u, dtype=x.dtype).mul(-2).exp() for u in (t, s))
        scale = (1 + self.error) * (after / before).sqrt()
        return x * (scale[:, None] if scale.ndim else scale)


def bracket_rows() -> Iterator[Row]:
    """Intervals that hold the truth by construction, so that more than 95 % is right."""
    space = standard(3)
    fold = {"fold": lambda seed: kl_change_of_variables(folding, space, ONE, seed=seed, n=512)}
    yield Row("bracket where a map folds, d = 3, n = 512", FOLD, fold)
    chain = make_chain(make_grid("uniform_angle", 1, horizon=3.0, delta=0.3), sampler="renoise", renoise=1.0)
    for size in (1e-2, 1e-1, 1.0):
        f = shifted(math.sqrt(2 * size) / chain.stages[0].scale)
        estimate = {"shift": lambda seed, f=f: kl_sandwich(f, space, chain, seed=seed, n=512)}
        yield Row("sandwich, KL(model‖data), d = 3, n = 512", size, estimate)


def noised_kl(v, dim, delta):
    """KL(N(0, v I)‖p_δ)."""
    ratio = v / (v * math.exp(-2 * delta) - math.expm1(-2 * delta))
    return dim * (ratio - 1 - math.log(ratio)) / 2


# ---- the tables -----------------------------------------------------------------------------------------------------
def coverage(repeats: int, *, only: str = "", out: Path | None = None) -> None:
    """The tables of the rows whose label contains `only`; `out` takes them as JSON, a line each, as they come."""
    # It depends on no seed, and all repeats of a row may share it.
    model_draw.pilot = lru_cache(maxsize=8)(model_draw.pilot)
    head = f"{'estimator':60} {'KL':>7} {'repeats':>7} {'coverage':>8} {'too high':>8} {'too low':>8} {'hardest':>15}"
    for title, rows in (
        ("nominal 95 % intervals; asked: coverage of 92 to 98 %", nominal_rows()),
        ("brackets; asked: at least 95 %", bracket_rows()),
    ):
        print(f"\n{title}\n{head} {'half width':>10} {'ms':>6}  estimators, laws")
        for row in rows:
            if only in row.label:
                found = covered(row, max(10, round(repeats * row.share)))
                print(line(found), flush=True)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        print(json.dumps(found, ensure_ascii=False), file=file)
    if not only:
        quadratures()


def nominal_rows() -> Iterator[Row]:
    yield from change_of_variables_rows()
    yield from fold_rows()
    yield from other_rows()
    yield from last_jump_rows()


def covered(row: Row, repeats: int) -> dict[str, Any]:
    """One row: coverage, misses on either side, the hardest law's, and half the width as a share of the KL."""
    started, high, low, widths, names, by_law = time.process_time(), 0, 0, [], Counter(), {}
    each = -(-repeats // len(row.estimates))
    for law, estimate in row.estimates.items():
        found = [estimate(seed) for seed in range(each)]
        above, below = (sum(e.low > row.truth for e in found), sum(e.high < row.truth for e in found))
        high, low = high + above, low + below
        by_law[law] = 1 - (above + below) / each
        widths += [(e.high - e.low) / 2 / row.truth for e in found]
        names.update(e.estimator for e in found)
    total = each * len(row.estimates)
    hardest = min(by_law, key=lambda law: by_law[law])
    return {
        "estimator": row.label,
        "KL": row.truth,
        "repeats": total,
        "coverage": 1 - (high + low) / total,
        "too_high": high / total,
        "too_low": low / total,
        "hardest": {"law": hardest, "coverage": by_law[hardest], "repeats": each},
        "by_law": by_law,
        "half_width": statistics.median(widths),
        "milliseconds": (time.process_time() - started) / total * 1000,
        "estimators": dict(names),
    }


def line(found: dict[str, Any]) -> str:
    hardest = f"{found['hardest']['law']} {found['hardest']['coverage']:.1%}"
    return (
        f"{found['estimator']:60} {found['KL']:7.1e} {found['repeats']:7d} {found['coverage']:8.1%} "
        f"{found['too_high']:8.1%} {found['too_low']:8.1%} {hardest:>15} "
        f"{found['half_width']:10.1%} {found['milliseconds']:6.1f}  "
        f"{', '.join(found['estimators'])}; {', '.join(found['by_law'])}"
    )


def quadratures() -> None:
    """Deterministic estimators: their error beside the error they state."""
    print(f"\nquadratures, nothing drawn\n{'case':44} {'KL':>12} {'error':>9} {'stated':>9}")
    chain = make_chain(ONE)
    for size in SIZES:
        for direction in (MODEL_DATA, DATA_MODEL):
            c = brentq(lambda c: scale_kl(c, 1, direction) - size, 1.0, 20.0, xtol=1e-15)  # noqa: B023
            found = kl_1d(scaled(c), LINE, chain, direction=direction)
            report(f"quadrature, wide, {direction}", found, size)
    report("quadrature, fold, KL(model‖data)", kl_1d(folding, LINE, chain, direction=MODEL_DATA), FOLD)
    c = brentq(lambda c: scale_kl(c, 50, MODEL_DATA) - 0.1, 1.0, 20.0, xtol=1e-15)
    found = kl_product(scaled(c), Product([(LINE, 50)]), chain, direction=MODEL_DATA)
    report("sum over 50 coordinates, wide", found, 0.1)


def report(label: str, found: Estimate, truth: float) -> None:
    print(f"{label:44} {truth:12.4e} {abs(found.value - truth):9.1e} {found.high - found.value:9.1e}", flush=True)


def floors(repeats: int) -> None:
    """What estimators that see samples alone say of two samples of one law."""
    print(f"\ntwo samples of the eight Gaussians (d = 2) or of N(0, I); {repeats} repeats")
    print(f"{'estimator':52} {'mean':>9} {'sd':>8} {'floor':>8} {'0 or band holds it':>19} {'s':>6}")
    for dim, n in ((1, 10_000), (2, 10_000), (2, 50_000), (3, 10_000)):
        target = make_target("eight_gaussians") if dim == 2 else standard(dim)
        some = repeats if n < 50_000 else max(5, repeats // 8)
        floor(f"nearest neighbours, d = {dim}, n = {n:,}", some, lambda s: kl_neighbours(*two(target, n, s)))  # noqa: B023
        floor(
            f"nearest neighbours, p known, d = {dim}, n = {n:,}",
            some,
            lambda s: kl_neighbours_with_density(two(target, n, s)[0], target, seed=s),  # noqa: B023
        )
    for dim in (2, 8):
        for label, distance in (
            ("energy distance", energy_distance),
            ("MMD²", mmd),
            ("sliced W₂²", sliced_wasserstein),
            ("accuracy of a classifier", classifier_accuracy),
        ):
            floor(f"{label}, d = {dim}, n = 1,000", repeats, lambda s: distance(*two(standard(dim), 1000, s), seed=s))  # noqa: B023


def two(target, n, seed):
    return tuple(target.sample(n, generator=stream(seed, purpose)) for purpose in ("points", "data"))


def floor(label, repeats, measure) -> None:
    started = time.perf_counter()
    found = [measure(seed) for seed in range(repeats)]
    seconds = (time.perf_counter() - started) / repeats
    values = [e.value for e in found]
    if isinstance(found[0], Estimate):
        held = sum(e.low <= 0 <= e.high for e in found)
        least = statistics.median(e.floor for e in found)
    else:
        held = sum(e.null_low <= e.value <= e.null_high for e in found)
        least = statistics.median(e.null_high for e in found)
    numbers = f"{statistics.mean(values):9.5f} {statistics.stdev(values):8.5f} {least:8.5f}"
    print(f"{label:52} {numbers} {held / repeats:19.0%} {seconds:6.2f}", flush=True)
