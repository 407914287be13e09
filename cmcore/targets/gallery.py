"""The named toys, each a few lines on the laws of this package.

Two-dimensional toys fit in a disc of radius about 2.5, so that the horizon T = 3 suffices. Curves and sheets are
mixtures of many small Gaussians along them, set closely enough that the beads do not show.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from reprlib import repr as shortened
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from cmcore.config import TargetConfig, checked_setting
from cmcore.registry import Registry
from cmcore.targets.base import Target, default_delta
from cmcore.targets.box_mixture import BoxMixture
from cmcore.targets.circle_mixture import CircleMixture
from cmcore.targets.empirical import Empirical
from cmcore.targets.gaussian_mixture import GaussianMixture
from cmcore.targets.product import Product, random_rotation
from cmcore.targets.size import Size, boxes, gaussians
from cmcore.targets.sketch import beads_along, read_strokes, sketch_law
from cmcore.targets.table_fit import Density
from cmcore.targets.table_target import TableTarget
from cmcore.targets.tables import real_table


@dataclass(frozen=True)
class Toy:
    """A named target and how to build it.

    Attributes:
        label: what people call it.
        description: one line.
        dims: "1", "2", "3", or "any" where `dim` is a parameter.
        smooth: whether p₀ has a density with a Lipschitz score.
        build: the function from parameters to the target.
        sized: the function from the same parameters to its size, which refuses what cannot be made.
    """

    label: str
    description: str
    dims: Literal["1", "2", "3", "any"]
    smooth: bool
    build: Callable[..., Target]
    sized: Callable[..., Size]

    @property
    def has_score(self) -> bool:
        """Every toy's density is known."""
        return True

    @property
    def name(self) -> str:
        """What people call it."""
        return self.label

    @property
    def default_delta(self) -> float:
        """The δ to stop at unless told, as of a :class:`Target`."""
        return default_delta(smooth=self.smooth)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Names and defaults of the parameters."""
        return {name: p.default for name, p in inspect.signature(self.build).parameters.items()}

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """What the parameters that are words may be."""
        kinds = {name: p.annotation for name, p in inspect.signature(self.build).parameters.items()}
        return {name: get_args(kind) for name, kind in kinds.items() if get_origin(kind) is Literal}

    def __call__(self, **parameters: Any) -> Target:
        """The target. Raises ValueError for a parameter that does not exist or does not fit."""
        self.size(**parameters)
        return self.build(**self._checked(parameters))

    def size(self, **parameters: Any) -> Size:
        """How large the target would be, without making it. Raises ValueError as making it does."""
        return self.sized(**{**self.parameters, **self._checked(parameters)})

    def _checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters, each of its own kind."""
        fitted = {}
        unknown = [name for name in parameters if name not in self.parameters]
        if unknown:
            names = ", ".join(self.parameters) or "none"
            raise ValueError(f"{self.label} has no parameter {shortened(unknown[0])}. Its parameters: {names}.")
        for name, value in parameters.items():
            try:
                checked_setting(value)
            except ValueError as problem:
                raise ValueError(f"{name}: {problem}.") from None
            if name in self.choices and value not in self.choices[name]:
                raise ValueError(f"{name} must be one of {', '.join(self.choices[name])}; got {shortened(value)}.")
            _check(name, value, self.parameters[name])
            fitted[name] = type(self.parameters[name])(value)  # 3 is 3.0 where lengths are meant
        return fitted


GALLERY: Registry[Toy] = Registry("target")
"""The toys by name; each is called with its parameters."""


def make_target(name: str, **parameters: Any) -> Target:
    """The gallery target `name` with its parameters. Raises ValueError for an unknown name or a bad parameter."""
    target = GALLERY[name](**parameters)
    if not isinstance(target, Target):
        raise ValueError(
            f"The target {name} of {GALLERY.origins.get(name, 'this lab')} builds {type(target).__name__}."
        )
    target.name = name
    target.config = TargetConfig(name=name, parameters=parameters)
    return target


def _toy(
    label: str,
    dims: Literal["1", "2", "3", "any"] = "2",
    *,
    smooth: bool = True,
    components: int = 0,
    size: Callable[..., Size] | None = None,
) -> Callable:
    """Decorator that registers a builder under its own name, with its docstring's first line as description.

    Args:
        label, dims, smooth: as of a :class:`Toy`.
        components: of a mixture of Gaussians, where the parameters do not decide it.
        size: from the parameters to the size, where they do; ValueError where that is too large.
    """

    def file(build: Callable[..., Target]) -> Callable[..., Target]:
        description = (build.__doc__ or "").strip().splitlines()[0].rstrip(".")
        sized = size or (lambda **_: gaussians(int(dims), components))
        GALLERY.register(build.__name__)(Toy(label, description, dims, smooth, build, sized))
        return build

    return file


_LARGEST_ROTATION = 4_096
_MOST = {"dim": 1 << 20, "side": 32, "level": 7, "stage": 5, "components": 512, "arms": 16, "cells": 32}


def _check(name: str, value: Any, default: Any) -> None:
    """The value has the kind of the default; lengths are positive; counts stay in what fits a screen and a memory."""
    if isinstance(default, bool | str):
        if type(value) is not type(default):
            raise ValueError(
                f"{name} must be {'true or false' if isinstance(default, bool) else 'a word'}; got {shortened(value)}."
            )
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {shortened(value)}.")
    elif isinstance(default, int):
        low, high = (0, 2**63 - 1) if name == "seed" else (1, _MOST[name])
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}; got {shortened(value)}.")
    elif name != "offset" and value <= 0:
        raise ValueError(f"{name} must be positive; got {shortened(value)}.")


def _curves(*lengths: float, dim: int = 2, rows: int = 1) -> Callable[..., Size]:
    """The size of strings of beads along curves of at most these lengths, each in so many rows."""
    return lambda sd, **_: gaussians(dim, rows * sum(_count(length, sd) for length in lengths))


# ---- in the plane, smooth ---------------------------------------------------------------------------------------
@_toy("Eight Gaussians", components=8)
def eight_gaussians(radius: float = 2.0, sd: float = 0.15) -> GaussianMixture:
    """Eight round blobs on a ring."""
    return _beads(radius * _circle(_turns(8)), sd)


@_toy("Grid of Gaussians", size=lambda side, **_: gaussians(2, side**2))
def gaussian_grid(side: int = 5, spacing: float = 0.8, sd: float = 0.08) -> GaussianMixture:
    """A square grid of small blobs, 25 of them by default."""
    line = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return _beads(torch.cartesian_prod(line, line), sd)


@_toy("Two moons", size=_curves(4.1, 4.1))
def moons(sd: float = 0.1) -> GaussianMixture:
    """Two half circles, each reaching into the other."""
    upper = 1.3 * _circle(_along(0.0, 0.5, 1.3 * math.pi, sd)) + torch.tensor([-0.65, -0.3], dtype=torch.float64)
    return _beads(torch.cat([upper, -upper]), sd)


@_toy("Two circles", components=2)
def circles(inner: float = 1.0, outer: float = 2.0, thickness: float = 0.08) -> CircleMixture:
    """Two concentric circles with a little thickness."""
    return CircleMixture([1, 2], torch.zeros(2, 2), [inner, outer], thickness)


@_toy("Pinwheel", size=lambda arms, **_: gaussians(2, 14 * arms))
def pinwheel(arms: int = 5, twist: float = 1.1, width: float = 0.11) -> GaussianMixture:
    """Curved arms that widen outwards."""
    radius = torch.linspace(0.5, 2.2, 14, dtype=torch.float64)
    phase = _turns(arms)[:, None] + twist / math.tau * radius
    sd = (width * radius.sqrt()).expand(arms, -1).reshape(-1)
    weights = torch.exp(-((radius - 1.3) ** 2) / 0.5).expand(arms, -1).reshape(-1)
    return GaussianMixture(weights, (radius[:, None] * _circle(phase)).reshape(-1, 2), sd**2)


@_toy("Two spirals", size=_curves(12.0, 12.0))
def two_spirals(sd: float = 0.08) -> GaussianMixture:
    """Two interleaved spirals of one turn and a quarter."""
    arm = _spiral(0.35, 2.2, 1.25, sd)
    return _beads(torch.cat([arm, -arm]), sd)


@_toy("Swiss roll", size=_curves(18.0))
def swiss_roll(sd: float = 0.08) -> GaussianMixture:
    """One spiral of almost two turns."""
    return _beads(_spiral(0.4, 2.2, 1.9, sd), sd)


@_toy("Smiley", size=_curves(12.6, 2.8, 0.0))
def smiley(sd: float = 0.08) -> GaussianMixture:
    """A face: an outline, two eyes and a mouth."""
    outline = 2.0 * _circle(_along(0.0, 1.0, 4 * math.pi, sd)[:-1])
    mouth = 1.15 * _circle(_along(0.56, 0.94, 0.38 * math.tau * 1.15, sd))
    eyes = torch.tensor([[-0.7, 0.65], [0.7, 0.65]], dtype=torch.float64)
    weights = torch.tensor([0.55 / len(outline), 0.25 / len(mouth), 0.1], dtype=torch.float64)
    counts = torch.tensor([len(outline), len(mouth), 2])
    widths = torch.tensor([sd, sd, 2 * sd], dtype=torch.float64)
    parts = torch.cat([outline, mouth, eyes])
    return GaussianMixture(weights.repeat_interleave(counts), parts, widths.repeat_interleave(counts) ** 2)


def _size_of_strokes(strokes: str) -> Size:
    """Of a drawing; ValueError says why it is none."""
    try:
        drawn = read_strokes(strokes)
    except ValueError as problem:
        raise ValueError(f"That is not a drawing: {problem}.") from None
    return gaussians(2, sum(beads_along(drawn)))


@_toy("Drawing", size=_size_of_strokes)
def sketch(
    strokes: str = "AQwVADj_PAAUIBQZDQoOAw39DfYb3SjBDfAU9BQCDgoUGS5JDhANChQCB_4N9hTnFOAUAADE_37_FAAAPAB-_w",
) -> GaussianMixture:
    """Strokes of a brush, drawn by hand."""
    return sketch_law(read_strokes(strokes))


# ---- in the plane, not smooth -----------------------------------------------------------------------------------
@_toy("Checkerboard", smooth=False, size=lambda cells, **_: boxes(2, -(-(cells**2) // 2), 2 * cells))
def checkerboard(cells: int = 4, width: float = 4.0) -> BoxMixture:
    """Uniform on the dark squares of a board."""
    cell = torch.arange(cells, dtype=torch.float64)
    corners = torch.cartesian_prod(cell, cell)
    dark = corners[(corners.sum(1) % 2) == 0].reshape(-1, 2)
    lower = width * (dark / cells - 0.5)
    # Both corners come from one formula, so that neighbours share their edges to the last digit.
    return BoxMixture(torch.ones(len(dark)), lower, width * ((dark + 1) / cells - 0.5))


@_toy("Two atoms", smooth=False, components=2)
def two_atoms(distance: float = 2.0) -> GaussianMixture:
    """All mass on two points."""
    return GaussianMixture([1, 1], [[-distance / 2, 0.0], [distance / 2, 0.0]], 0.0)


@_toy("Thin ring", smooth=False, components=1)
def thin_ring(radius: float = 1.5) -> CircleMixture:
    """Uniform on a circle with no thickness."""
    return CircleMixture([1], torch.zeros(1, 2), radius)


@_toy("Sierpiński triangle", smooth=False, size=lambda level, **_: gaussians(2, 3**level))
def sierpinski(level: int = 5, radius: float = 2.0) -> Empirical:
    """The centres of the triangles of Sierpiński's fractal, all mass on points."""
    corners = radius * _circle(_turns(3) + 0.25)
    points = torch.zeros(1, 2, dtype=torch.float64)
    for _ in range(level):
        points = ((points[:, None] + corners) / 2).reshape(-1, 2)
    return Empirical(points)


# ---- on the line ------------------------------------------------------------------------------------------------
@_toy("Three Gaussians", "1", components=3)
def three_gaussians(distance: float = 1.5) -> GaussianMixture:
    """Three bumps on a line, of different weight and width."""
    return GaussianMixture([0.3, 0.2, 0.5], [[-distance], [0.0], [distance]], [0.2**2, 0.1**2, 0.3**2])


# ---- in space ---------------------------------------------------------------------------------------------------
@_toy("Swiss roll in space", "3", size=_curves(12.0, dim=3, rows=3))
def swiss_roll_3d(sd: float = 0.12) -> GaussianMixture:
    """A rolled-up sheet."""
    return _sheet(_spiral(0.4, 1.8, 1.5, sd), sd)


@_toy("Torus knot", "3", size=_curves(23.0, dim=3))
def torus_knot(sd: float = 0.1) -> GaussianMixture:
    """The trefoil: a closed curve, knotted around a torus."""
    phase = math.tau * _turns(_count(23.0, sd))  # the curve is 23 long
    radius = 1.3 + 0.6 * (3 * phase).cos()
    knot = [radius * (2 * phase).cos(), radius * (2 * phase).sin(), 0.9 * (3 * phase).sin()]
    return _beads(torch.stack(knot, dim=1), sd)


@_toy("S-curve", "3", size=_curves(4.3, 4.3, dim=3, rows=3))
def s_curve(sd: float = 0.12) -> GaussianMixture:
    """A sheet bent into the letter S."""
    arc = 0.9 * _circle(_along(0.0, 0.75, 0.9 * 0.75 * math.tau, sd)) + torch.tensor([0.0, 0.9], dtype=torch.float64)
    return _sheet(torch.cat([arc, -arc[:-1]]), sd)


# ---- in any dimension -------------------------------------------------------------------------------------------
@_toy("Gaussian", "any", size=lambda dim, **_: gaussians(dim, 1))
def gaussian(dim: int = 2, offset: float = 1.0, condition: float = 16.0) -> GaussianMixture:
    """One Gaussian off the origin; everything about it is closed form."""
    variances = condition ** (torch.linspace(0, -1, dim, dtype=torch.float64))
    return GaussianMixture([1], torch.full((1, dim), offset / math.sqrt(dim)), variances[None])


def _size_of_product(dim: int, sd: float, rotated: bool, **_: Any) -> Size:
    """Of independent coordinates, which are one law, and of the rotation, if there is one."""
    if sd >= 1:
        raise ValueError(f"sd must be below 1, so that two components can make variance 1; got {sd}.")
    if rotated and dim > _LARGEST_ROTATION:
        raise ValueError(
            f"A rotation of {dim} coordinates needs {dim}² numbers; ask for at most {_LARGEST_ROTATION}, "
            "or rotated=false."
        )
    return Size(dim, 2, gaussians(1, 2).numbers + (dim**2 if rotated else 0))


@_toy("Product of mixtures", "any", size=_size_of_product)
def product_of_mixtures(
    dim: int = 2,
    case: Literal["off_centre", "centred", "skewed"] = "centred",
    sd: float = 0.3,
    rotated: bool = False,
    seed: int = 0,
) -> Product:
    """Independent coordinates, each a mixture of two Gaussians; rotated, it hides that it is a product.

    The case decides how fast KL(p_T‖N(0, I)) decays in T, as e^{-2T}, e^{-4T} and e^{-6T}:
    "off_centre" has mean ≠ 0; "centred" has mean 0 and variance ≠ 1; "skewed" has mean 0, variance 1 and a third
    cumulant ≠ 0.
    """
    between = math.sqrt(1 - sd**2)  # with it, the whole variance is 1
    if case == "skewed":
        weights, means = (0.7, 0.3), (-between * math.sqrt(3 / 7), between * math.sqrt(7 / 3))
    elif case == "centred":
        weights, means = (0.5, 0.5), (-1.25 * between, 1.25 * between)
    else:
        weights, means = (0.5, 0.5), (0.5 - between, 0.5 + between)
    factor = GaussianMixture(weights, torch.tensor(means, dtype=torch.float64)[:, None], sd**2, name=f"{case} mixture")
    rotation = random_rotation(dim, generator=torch.Generator().manual_seed(seed)) if rotated else None
    return Product([(factor, dim)], rotation=rotation)


@_toy("Corners of a cube", "any", size=lambda dim, **_: Size(dim, 2, gaussians(1, 2).numbers))
def hypercube_corners(dim: int = 3, sd: float = 0.15) -> Product:
    """Blobs on all 2^d corners of a cube."""
    return Product([(GaussianMixture([1, 1], [[-1.0], [1.0]], sd**2, name="two corners"), dim)])


def _size_of_mixture(dim: int, components: int, **_: Any) -> Size:
    """Of a mixture with full covariances."""
    if components * dim**2 > 1 << 22:
        raise ValueError("That mixture is too large: keep components × dim² below four million.")
    return gaussians(dim, components, full=True)


@_toy("Random mixture", "any", size=_size_of_mixture)
def random_mixture(dim: int = 2, components: int = 6, seed: int = 0) -> GaussianMixture:
    """Gaussians with random weights, places and shapes, fixed by the seed."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    means = torch.randn(components, dim, **draw)
    means *= 1.1 / means.square().mean().sqrt()
    axes = torch.linalg.qr(torch.randn(components, dim, dim, **draw)).Q
    sds = 0.1 + 0.4 * torch.rand(components, dim, **draw)
    covariances = (axes * sds[:, None] ** 2) @ axes.mT
    return GaussianMixture(0.5 + torch.rand(components, **draw), means, (covariances + covariances.mT) / 2)


@_toy(
    "Cantor dust",
    "any",
    smooth=False,
    size=lambda dim, stage, **_: Size(dim, 2**stage, boxes(1, 2**stage, 2**stage).numbers),
)
def cantor_dust(dim: int = 2, stage: int = 3, width: float = 3.6) -> Product:
    """Uniform on the boxes left at one stage of Cantor's construction, in every coordinate."""
    left = torch.zeros(1, dtype=torch.float64)
    for i in range(1, stage + 1):
        left = torch.cat([left, left + 2 / 3**i])
    lower, upper = (width * (edge - 0.5)[:, None] for edge in (left, left + 3.0**-stage))
    return Product([(BoxMixture(torch.ones(len(left)), lower, upper, name="Cantor intervals"), dim)])


# ---- real tables ------------------------------------------------------------------------------------------------
def _size_of_table(rows: int, columns: int, *, dim: int, **_: Any) -> Size:
    """Of so many rows, and of the kernels or of the few Gaussians that stand for them."""
    if dim > columns:
        raise ValueError(f"A table of {columns} columns has 1 to {columns} principal components, not {dim}.")
    law = max(gaussians(dim, rows), gaussians(dim, 12, full=True), key=lambda size: size.numbers)
    return Size(dim, rows, law.numbers + rows * dim + (2 * dim + 1) * columns)


@_toy("Iris flowers", "any", size=partial(_size_of_table, 150, 4))
def iris(dim: int = 2, density: Density = "gaussian_mixture") -> TableTarget:
    """150 flowers, four measures each; principal components, smoothed."""
    return real_table("iris", dim=dim, density=density)


@_toy("Wines", "any", size=partial(_size_of_table, 178, 13))
def wine(dim: int = 2, density: Density = "gaussian_mixture") -> TableTarget:
    """178 wines, thirteen measures each; principal components, smoothed."""
    return real_table("wine", dim=dim, density=density)


@_toy("Handwritten digits", "any", size=partial(_size_of_table, 1_797, 64))
def digits(dim: int = 2, density: Density = "gaussian_mixture") -> TableTarget:
    """1,797 images of 8 × 8 pixels; principal components, smoothed."""
    return real_table("digits", dim=dim, density=density)


# ---- curves as strings of beads ---------------------------------------------------------------------------------
_SPACING = 1.75
"""Distance between neighbouring beads in units of their sd; the density along a line then ripples by 0.3 %."""


def _beads(points: Tensor, sd: float) -> GaussianMixture:
    return GaussianMixture(torch.ones(len(points)), points, sd**2)


def _turns(n: int) -> Tensor:
    """n even fractions of a turn."""
    return torch.arange(n, dtype=torch.float64) / n


def _circle(turns: Tensor) -> Tensor:
    """Points of the unit circle at fractions of a turn, [..., 2]."""
    return torch.stack([(math.tau * turns).cos(), (math.tau * turns).sin()], dim=-1)


def _count(length: float, sd: float) -> int:
    return max(2, min(1024, math.ceil(length / (_SPACING * sd)) + 1))


def _along(start: float, end: float, length: float, sd: float) -> Tensor:
    """Fractions of a turn from start to end, as many as a curve of this length needs beads."""
    return torch.linspace(start, end, _count(length, sd), dtype=torch.float64)


def _spiral(inner: float, outer: float, turns: float, sd: float) -> Tensor:
    """An Archimedean spiral, its beads evenly spaced along its length."""
    u = torch.linspace(0, 1, 4001, dtype=torch.float64)
    curve = (inner + (outer - inner) * u)[:, None] * _circle(turns * u)
    length = torch.cat([torch.zeros(1, dtype=torch.float64), curve.diff(dim=0).norm(dim=1).cumsum(0)])
    marks = torch.linspace(0, 1, _count(float(length[-1]), sd), dtype=torch.float64) * length[-1]
    return curve[torch.searchsorted(length, marks).clamp(max=4000)]


def _sheet(curve: Tensor, sd: float) -> GaussianMixture:
    """The curve in (x, z) swept along y, as three rows of beads that are long in y."""
    y = torch.tensor([-0.8, 0.0, 0.8], dtype=torch.float64)
    x, z = (c.repeat_interleave(len(y)) for c in curve.T)
    means = torch.stack([x, y.repeat(len(curve)), z], dim=1)
    return GaussianMixture(
        torch.ones(len(means)), means, torch.tensor([sd, 0.45, sd], dtype=torch.float64).square().expand(len(means), 3)
    )
