r"""E10: whether the factor d of the general theorem shows in a law.

The count K ~ d of the paper's non-smooth case comes from :math:`E\|\nabla^2\log p_t\|_F \le (d + \sqrt d)/\sigma_t^2`,
which holds for any law with a second moment. Here both sides are measured for laws in d dimensions.
"""

import math
import time
from collections.abc import Generator
from typing import Annotated, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from cmcore.chain import with_jacobian
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Series
from cmcore.experiments.lines import power_fit
from cmcore.process import sigma
from cmcore.streams import stream
from cmcore.targets import Empirical, GaussianMixture, Product, Target
from cmcore.theory.interval import Interval, mean

_PIECE = 256


@EXPERIMENTS.register("curvature")
class Curvature(Experiment):
    """The size of the score's Jacobian against the dimension, for products of atoms and for atoms at random."""

    code: ClassVar[str] = "E10"
    label: ClassVar[str] = "Where a factor d would come from"
    question: ClassVar[str] = "Does the score's Jacobian grow with the dimension as fast as the general theorem allows?"
    expects: ClassVar[str] = (
        "For any law with a second moment E‖∇² log p_t‖_F σ² ≤ d + √d, from which the paper's K = O(d log(d/ε)) "
        "follows (derived in this project from what is reported of the proof). Whether a law comes near is to be seen."
    )

    dims: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (2, 4, 8, 16), min_length=3, max_length=7, description="d"
    )
    at_times: tuple[Annotated[float, Field(ge=0.005, le=4)], ...] = Field(
        (0.02, 0.1, 0.3, 1.0), min_length=1, max_length=8, description="t; the largest value over them is shown"
    )
    atoms: int = Field(64, ge=2, le=512, description="atoms at random, at N(0, I)")
    samples: int = Field(4096, ge=256, le=1_000_000, description="of p_t")

    @field_validator("dims")
    @classmethod
    def _increasing(cls, dims: tuple[int, ...]) -> tuple[int, ...]:
        if list(dims) != sorted(set(dims)):
            raise ValueError("The dimensions must increase: remove repeated ones and sort them.")
        return dims

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        found: dict[tuple[str, str], list[Interval]] = {}
        for i, dim in enumerate(self.dims):
            for name, target in self._laws(dim).items():
                yield Progress(i / len(self.dims), f"{name}, d = {dim}")
                pairs = [curvature(target, t, seed=self.seed, n=self.samples) for t in self.at_times]
                for k, what in enumerate(("norm", "top")):
                    worst = max((pair[k] for pair in pairs), key=lambda value: value.value)
                    found.setdefault((what, name), []).append(worst)
        series = [*self._lines(found), self._limit()]
        fits = [power_fit(line.label, line.x, line.y, expected=None, note="exponent of d") for line in series[:-1]]
        return Result(
            experiment="curvature",
            config=self.model_dump(mode="json"),
            panels=PANELS,
            series=tuple(series),
            fits=tuple(fit for fit in fits if fit),
            reading=self._reading(series),
            facts={f"{line.label}, d = {d:g}": y for line in series for d, y in zip(line.x, line.y, strict=True)},
            seconds=time.perf_counter() - started,
        )

    def _laws(self, dim: int) -> dict[str, Target]:
        generator = stream(self.seed, f"atoms in {dim}")
        points = torch.randn(self.atoms, dim, generator=generator, dtype=torch.float64)
        pair = GaussianMixture([1, 1], [[-1.0], [1.0]], 0.0, name="two atoms")
        return {"product of two atoms": Product([(pair, dim)]), f"{self.atoms} atoms at random": Empirical(points)}

    def _lines(self, found: dict[tuple[str, str], list[Interval]]) -> list[Series]:
        words = {"norm": "E‖∇² log p_t‖_F σ²/d", "top": "E λ_max⁺ σ²"}
        how = f"the largest over t = {', '.join(f'{t:g}' for t in self.at_times)}; {self.samples} samples of p_t"
        return [
            Series(
                label=f"{words[what]}, {name}",
                role="exact",
                panel=what,
                x=self.dims,
                y=tuple(v.value for v in values),
                low=tuple(v.low for v in values),
                high=tuple(v.high for v in values),
                how=how,
            )
            for (what, name), values in found.items()
        ]

    def _limit(self) -> Series:
        y = tuple(1 + 1 / math.sqrt(d) for d in self.dims)
        return Series(label="1 + 1/√d, for any law", role="bound", panel="norm", x=self.dims, y=y, how="derived here")

    def _reading(self, series: list[Series]) -> str:
        norms = [line for line in series if line.panel == "norm" and line.role == "exact"]
        told = "; ".join(f"{line.label.partition(', ')[2]}: {', '.join(f'{y:.2f}' for y in line.y)}" for line in norms)
        falls = "falls" if all(line.y[-1] < line.y[0] for line in norms) else "does not fall"
        return (
            f"E‖∇² log p_t‖_F σ²/d at d = {', '.join(map(str, self.dims))}: {told}. It {falls} with d and stays below "
            "1 + 1/√d: the factor d of the general count does not show in these laws. That is an observation on two "
            "families, and says nothing of the worst case."
        )


PANELS = (
    Panel(name="norm", x=Axis(label="dimension d", log=True), y=Axis(label="E‖∇² log p_t‖_F σ² / d", log=True)),
    Panel(name="top", x=Axis(label="dimension d", log=True), y=Axis(label="E λ_max⁺ σ²")),
)


def curvature(target: Target, t: float, *, seed: int, n: int) -> tuple[Interval, Interval]:
    """E‖∇² log p_t‖_F σ²/d and E max(λ_max, 0) σ² under p_t, from n samples.

    ∇² log p_t = −I/σ² + α² Cov(X₀|x)/σ⁴, and for atoms the covariance of the posterior is a sum over them.
    """
    x = target.sample(n, t=t, generator=stream(seed, f"curvature at {t:g}"))
    norms, tops = [], []
    for piece in x.split(_PIECE):
        hessian = _hessian(target, piece, t)
        norms.append(torch.linalg.matrix_norm(hessian))
        tops.append(torch.linalg.eigvalsh(hessian)[:, -1].clamp_min(0))
    square = float(sigma(torch.tensor(t, dtype=torch.float64))) ** 2
    return mean(torch.cat(norms)).scaled(square / target.dim), mean(torch.cat(tops)).scaled(square)


def _hessian(target: Target, x: Tensor, t: float) -> Tensor:
    """∇² log p_t at points, [n, d, d], by autograd of the score."""
    slope = with_jacobian(lambda x, t, _: target.score(x, t), x, t, t)[1]
    return (slope + slope.mT) / 2
