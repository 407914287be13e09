r"""E11: why a one-time model gets worse with more steps, and a two-time map does not.

**In closed form**, for N(0, c²) and maps wrong by a factor. Let r be the variance of a sample over what it should be. A
one-time model jumps to 0 with the relative error ε and is renoised to :math:`t_k`, where the data have the share
:math:`a_k = \alpha_k^2 c^2/(\alpha_k^2 c^2 + \sigma_k^2)` of the variance, so

.. math:: r_{k+1} = (1 + \varepsilon)^2 (a_k r_k + 1 - a_k),

and :math:`u = r - 1` grows towards 2εK where :math:`a_k \to 1`. A two-time map with the error :math:`\varepsilon h_k/T`
in a jump of length :math:`h_k` is wrong by about :math:`(1 + \varepsilon)` after any number of jumps. Align Your Flow
(arXiv:2506.14603) shows this analytically and on images.

**Learned**: maps trained by one-time and by two-time objectives for the same number of steps, each drawn in its way.
"""

import math
import time
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from cmcore.divergences import MODEL_DATA, Direction
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Role, Series
from cmcore.experiments.lines import measured
from cmcore.grids import GRIDS, TimeGrid, make_grid
from cmcore.measure import kl_versus_steps
from cmcore.objectives import OBJECTIVES, make_objective
from cmcore.targets.gallery import make_target
from cmcore.training import train

Jumps = Annotated[int, Field(ge=1, le=256)]


def variance_kl(ratio: float) -> float:
    """KL(N(0, r v)‖N(0, v)) = ½(r − 1 − log r), in nats; in either direction of a small error nearly the same."""
    return (ratio - 1 - math.log(ratio)) / 2


def one_time_ratio(grid: TimeGrid, variance: float, error: float) -> float:
    """r after the last jump to 0 of one-time sampling on a grid that ends at 0, data N(0, variance)."""
    ratio = 1 / _variance(grid.horizon, variance)
    for k, t in enumerate(grid.times[:-1]):
        share = math.exp(-2 * t) * variance / _variance(t, variance)
        ratio = (1 + error) ** 2 * (ratio if k == 0 else share * ratio + 1 - share)
    return ratio


def two_time_ratio(grid: TimeGrid, variance: float, error: float) -> float:
    """r after deterministic jumps, each wrong by the factor 1 + ε h_k/T."""
    ratio = 1 / _variance(grid.horizon, variance)
    for t, later in grid.jumps:
        ratio *= (1 + error * (t - later) / grid.horizon) ** 2
    return ratio


def _variance(t: float, variance: float) -> float:
    """Of the data at time t."""
    return 1 + (variance - 1) * math.exp(-2 * t)


@EXPERIMENTS.register("one_time")
class OneTime(Experiment):
    """KL against the number of jumps of one-time and two-time maps: in closed form, and trained on the same budget."""

    code: ClassVar[str] = "E11"
    label: ClassVar[str] = "One time or two"
    question: ClassVar[str] = (
        "Does a consistency model of one time get worse with more steps, and one of two times not?"
    )
    expects: ClassVar[str] = (
        "In closed form for Gaussian data, as Align Your Flow (arXiv:2506.14603) shows: with a relative error in each "
        "jump to 0 the KL of one-time sampling rises with K once the start no longer counts; a two-time map with the "
        "same error in all ends at the same KL for every K. What trained maps do is to be seen."
    )

    jumps: tuple[Jumps, ...] = Field((1, 2, 4, 8, 16, 32), min_length=2, max_length=9, description="K")
    error: float = Field(0.02, ge=0.001, le=0.3, description="ε, relative")
    spread: float = Field(0.5, ge=0.1, le=2, description="c, the standard deviation of the Gaussian data")
    horizon: float = Field(3.0, ge=1, le=8, description="T")
    grid: str = Field("uniform_angle", max_length=64, description="time grid")
    target: str = Field("eight_gaussians", max_length=64, description="of the trained maps; d = 1 or 2, smooth")
    objectives: tuple[str, ...] = Field(
        ("ct", "ect", "lsd", "mean_flow"), max_length=6, description="of the trained maps; none leaves them out"
    )
    learned_jumps: tuple[Jumps, ...] = Field(
        (1, 2, 4, 8, 16), min_length=2, max_length=7, description="K, trained maps"
    )
    steps: int = Field(3000, ge=20, le=1_000_000, description="training steps of each map")
    samples: int = Field(4096, ge=512, le=1_000_000, description="behind each KL of a trained map")

    @field_validator("objectives")
    @classmethod
    def _exist(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if make_objective(name).velocity_only:
                raise ValueError(f"{OBJECTIVES[name].label} learns no jumps: choose objectives of one time or two.")
        return objectives

    @field_validator("jumps", "learned_jumps")
    @classmethod
    def _increasing(cls, jumps: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(jumps)):
            raise ValueError("The numbers of jumps must increase: remove repeated ones and sort them.")
        return jumps

    # ---- measuring --------------------------------------------------------------------------------------------------
    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        GRIDS[self.grid]
        series = self._closed_form()
        for i, name in enumerate(self.objectives):
            yield Progress(i / len(self.objectives), f"training by {OBJECTIVES[name].label}")
            series.append(self._learned(name))
        return Result(
            experiment="one_time",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            reading=_reading(series),
            facts={f"{line.label}, K = {k:g}": y for line in series for k, y in zip(line.x, line.y, strict=True)},
            seconds=time.perf_counter() - started,
        )

    def _closed_form(self) -> list[Series]:
        variance = self.spread**2
        grids = [make_grid(self.grid, k, horizon=self.horizon, delta=0.0) for k in self.jumps]
        ways = {"one time, jump to 0 and renoise": one_time_ratio, "two times, straight on": two_time_ratio}
        exact = variance_kl(1 / _variance(self.horizon, variance))
        lines = [
            self._line(label, "model", [variance_kl(ratio(grid, variance, self.error)) for grid in grids])
            for label, ratio in ways.items()
        ]
        return [*lines, self._line("exact map", "exact", [exact] * len(grids))]

    def _line(self, label: str, role: Role, values: Sequence[float]) -> Series:
        how = f"closed form, {MODEL_DATA}, data N(0, {self.spread:g}²), δ = 0"
        return Series(label=label, role=role, panel="closed", x=self.jumps, y=tuple(values), how=how)

    def _learned(self, name: str) -> Series:
        """KL(model‖data) against K, drawn as the objective taught it."""
        target = make_target(self.target)
        model = train(target, objective=name, steps=self.steps, seed=self.seed, horizon=self.horizon, threads=1)
        one = make_objective(name).single_time
        direction: Direction = MODEL_DATA
        curve = kl_versus_steps(
            model, target, self.learned_jumps, seed=self.seed, sampler="one_time" if one else "deterministic",
            grid=self.grid, n=self.samples, direction=direction,
        )  # fmt: skip
        how = f"{MODEL_DATA} at δ = {model.delta:g}, {self.steps:,} training steps; {curve.estimates[-1].estimator}"
        label = f"{OBJECTIVES[name].label}, {'one time' if one else 'two times'}"
        return measured(
            label, self.learned_jumps, curve.estimates, panel="learned", role="baseline" if one else "model", how=how
        )

    # ---- words ------------------------------------------------------------------------------------------------------
    def _panels(self) -> tuple[Panel, ...]:
        x, y = Axis(label="jumps K", log=True), Axis(label=f"{MODEL_DATA}, nats", log=True)
        closed = Panel(
            name="closed", x=x, y=y, title=f"In closed form, ε = {self.error:g}, data N(0, {self.spread:g}²)"
        )
        words = make_target(self.target).name.replace("_", " ")
        learned = Panel(name="learned", x=x, y=y, title=f"Trained on {words}, the same budget")
        return (closed, learned) if self.objectives else (closed,)


def _reading(series: Sequence[Series]) -> str:
    one, two = series[:2]
    rise = "rises" if one.y[-1] > one.y[1] else "does not rise"
    text = (
        f"In closed form the KL of one-time sampling {rise} from {one.y[0]:.2g} with {one.x[0]:g} jump to "
        f"{one.y[-1]:.2g} with {one.x[-1]:g}; that of the two-time map goes from {two.y[0]:.2g} to {two.y[-1]:.2g}."
    )
    told = [
        f"{line.label}: least {min(line.y):.2g} at K = {line.x[line.y.index(min(line.y))]:g}, {line.y[-1]:.2g} at K = "
        f"{line.x[-1]:g}"
        for line in series
        if line.panel == "learned"
    ]
    return f"{text} Trained, one seed each: {'; '.join(told)}." if told else text
