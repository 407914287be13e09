r"""E4: how much to renoise when the error of the map is fixed.

Bound A charges :math:`\varepsilon_k^2/(2(e^{2\eta_k} - 1))` for each jump, which falls with η. The measured KL need
not: with much noise little is left of earlier errors, but nothing after it forgets the error of the last landing.
"""

import time
from collections.abc import Generator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from cmcore.chain import make_chain
from cmcore.divergences import DATA_MODEL, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Series
from cmcore.experiments.lines import CASES, coordinate, measured
from cmcore.experiments.perturbed import perturbed
from cmcore.grids import uniform_angle
from cmcore.theory import bound_a

_BOUND_POINTS = 4096


@EXPERIMENTS.register("renoising")
class Renoising(Experiment):
    """KL and Bound A against the share η/t of renoising, at fixed map error."""

    code: ClassVar[str] = "E4"
    label: ClassVar[str] = "How much to renoise"
    question: ClassVar[str] = "At a fixed error of the map, which amount of renoising gives the smallest KL?"
    expects: ClassVar[str] = (
        "Derived in this project: Bound A falls as η grows. Where the smallest KL lies is not predicted, but reported."
    )

    shares: tuple[float, ...] = Field(
        (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0),
        min_length=3,
        max_length=16,
        description="η/t, each between 0.02 and 1",
    )
    amplitude: float = Field(0.05, ge=0.001, le=0.3, description="a, the size of the map's error")
    jumps: tuple[int, ...] = Field((2, 4, 8), min_length=1, max_length=4, description="K, each between 1 and 16")
    case: Literal["off_centre", "centred", "skewed"] = Field("centred", description="the law")
    sd: float = Field(0.5, ge=0.3, le=0.9, description="of its two Gaussians")
    horizon: float = Field(6.0, ge=2, le=12, description="T")
    delta: float = Field(0.1, ge=0.02, le=1, description="δ")

    @model_validator(mode="after")
    def _possible(self) -> "Renoising":
        if any(not 0.02 <= share <= 1 for share in self.shares):
            raise ValueError("η/t lies between 0.02 and 1: without fresh noise Bound A is infinite.")
        if any(not 1 <= k <= 16 for k in self.jumps):
            raise ValueError("K lies between 1 and 16.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        series: list[Series] = []
        for i, jumps in enumerate(self.jumps):
            yield Progress(i / len(self.jumps), f"{jumps} jumps")
            series += self._lines(jumps)
        best = {line.label: _lowest(line) for line in series}
        return Result(
            experiment="renoising",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=tuple(series),
            reading=self._reading(series),
            facts={f"best η/t, {label}": share for label, share in best.items()},
            seconds=time.perf_counter() - started,
        )

    def _lines(self, jumps: int) -> list[Series]:
        target = coordinate(self.case, self.sd)
        f = perturbed(target, self.amplitude)
        grid = uniform_angle(jumps, horizon=self.horizon, delta=self.delta)
        estimates: list[Estimate] = []
        bounds = []
        shares = sorted(self.shares)
        for share in shares:
            chain = make_chain(grid, sampler="renoise", renoise=share)
            estimates.append(kl_of_chain(f, target, chain, seed=self.seed, direction=DATA_MODEL))
            bounds.append(bound_a(f, target, grid, seed=self.seed, renoise=share, n=_BOUND_POINTS).total)
        how = f"{DATA_MODEL}, quadrature"
        bound = Series(
            label=f"Bound A, K = {jumps}",
            role="bound",
            panel="share",
            x=tuple(shares),
            y=tuple(b.value for b in bounds),
            low=tuple(b.low for b in bounds),
            high=tuple(b.high for b in bounds),
            how=f"ε_k² from {_BOUND_POINTS} exact samples of p_t",
        )
        return [measured(f"measured, K = {jumps}", shares, estimates, panel="share", role="model", how=how), bound]

    def _panels(self) -> tuple[Panel, ...]:
        title = f"{CASES[self.case][1]}, map error a = {self.amplitude:g} at every jump, T = {self.horizon:g}"
        x = Axis(label="renoising η/t", log=True)
        return (Panel(name="share", x=x, y=Axis(label=f"{DATA_MODEL}, nats", log=True), title=title),)

    def _reading(self, series: list[Series]) -> str:
        sentences = []
        for line, bound in zip(series[::2], series[1::2], strict=True):
            at, last = _lowest(line), line.x[-1]
            rise = f"at η/t = {last:g} it is {line.y[-1] / min(line.y):.3g} times that"
            where = "the largest share tried" if at == last else rise
            above = sum(b > y for y, b in zip(line.y, bound.y, strict=True))
            falls = "falls throughout" if list(bound.y) == sorted(bound.y, reverse=True) else "does not always fall"
            sentences.append(
                f"{line.label}: smallest KL {min(line.y):.3g} at η/t = {at:g} ({where}); Bound A {falls} and lies "
                f"above in {above} of {len(line.y)} runs"
            )
        return f"{'. '.join(sentences)}. What the bound favours and what the KL favours are {self._agree(series)}."

    def _agree(self, series: list[Series]) -> str:
        same = all(_lowest(a) == _lowest(b) for a, b in zip(series[::2], series[1::2], strict=True))
        return "the same share here" if same else "not the same share here"


def _lowest(line: Series) -> float:
    return line.x[line.y.index(min(line.y))]
