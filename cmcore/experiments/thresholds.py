r"""E7: two atoms and a map whose thresholds are off: few steps, and when to take them.

The consistency function of two equal atoms 0 and D is a threshold, :math:`f(x, t) = D\,[x > \alpha_t D/2]`; here the
threshold is off by e times the noise's σ_t. Jump to 0, renoise to t, jump again: the chain lives on the two atoms and

.. math:: P(D \mid y) = \Phi\Big(\frac{\alpha_t (y - D/2)}{\sigma_t} - e_t\Big),

so that the law after K steps is exact. On the line W₂ is the quantile coupling: with a share p at D,
:math:`W_2 = D \sqrt{|p - 1/2|}`.
"""

import math
import time
from collections.abc import Generator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from scipy.special import ndtr

from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Panel, Progress, Result, Series
from cmcore.streams import stream


def share_after(times: Sequence[float], errors: Sequence[float], *, distance: float) -> float:
    """P(D) after jumps from the given decreasing times to 0, renoised in between, started from N(0, 1)."""
    share = 0.0
    for k, (t, error) in enumerate(zip(times, errors, strict=True)):
        left, spread = math.exp(-t), math.sqrt(-math.expm1(-2 * t))
        half = left * distance / 2 / spread
        if k == 0:
            share = float(ndtr(-left * distance / 2 - error * spread))
        else:
            share = share * float(ndtr(half - error)) + (1 - share) * float(ndtr(-half - error))
    return share


@EXPERIMENTS.register("thresholds")
class Thresholds(Experiment):
    """W₂ of two atoms under a consistency function with wrong thresholds, for two-step, even and halving schedules."""

    code: ClassVar[str] = "E7"
    label: ClassVar[str] = "Two atoms, wrong thresholds"
    question: ClassVar[str] = "Do more steps, and which, repair a map whose thresholds are off?"
    expects: ClassVar[str] = (
        "arXiv:2505.03194 suggests two-step schedules, as its abstract says; how it perturbs its example was not at "
        "hand, so nothing here is compared with its numbers. Reported, not predicted."
    )

    distance: float = Field(100.0, ge=0.5, le=1e4, description="D: the atoms are 0 and D, in data units")
    error: float = Field(0.2, ge=0.001, le=1, description="e, the size of the thresholds' errors, in units of σ_t")
    signs: Literal["same", "random"] = Field("same", description="whether all thresholds are off to one side")
    repeats: int = Field(200, ge=16, le=5000, description="draws of random signs")
    horizon: float = Field(10.0, ge=2, le=20, description="T")
    earliest: float = Field(0.05, ge=1e-4, le=1, description="the last time renoised to, at the earliest")
    most_steps: int = Field(16, ge=2, le=64, description="K, at most")
    times: int = Field(60, ge=8, le=400, description="second times tried by the two-step schedule")

    @model_validator(mode="after")
    def _possible(self) -> "Thresholds":
        if self.distance * math.exp(-self.horizon) > 2:
            raise ValueError("At T the atoms are still apart by more than two sd of the noise: raise T or lower D.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        yield Progress(0.0, "two steps")
        two = self._two_steps()
        yield Progress(0.5, "schedules")
        lines = [self._schedule(name) for name in ("even", "halving")]
        one_jump = self._w2([self.horizon])[0]
        perfect = self.distance * math.sqrt(abs(share_after([self.horizon], [0.0], distance=self.distance) - 0.5))
        start = Series(
            label="one exact jump from N(0, 1)", role="floor", panel="second", x=(two.x[0], two.x[-1]),
            y=(perfect, perfect), how="what starting at N(0, 1) instead of p_T costs",
        )  # fmt: skip
        best = min(range(len(two.x)), key=lambda i: two.y[i])
        facts = {"one step": one_jump, "best two steps": two.y[best], "best second time": two.x[best]}
        facts |= {"exact map": perfect} | {f"{line.label}, best": min(line.y) for line in lines}
        return Result(
            experiment="thresholds",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=(two, start, *lines),
            reading=self._reading(lines, facts),
            facts=facts,
            seconds=time.perf_counter() - started,
        )

    # ---- schedules --------------------------------------------------------------------------------------------------
    def _two_steps(self) -> Series:
        ratio = self.horizon / self.earliest
        seconds = [self.earliest * ratio ** (i / self.times) for i in range(self.times)]
        return self._line("two steps", "second", seconds, [[self.horizon, t] for t in seconds])

    def _schedule(self, name: str) -> Series:
        counts = list(range(1, self.most_steps + 1))
        grids = [getattr(self, f"_{name}")(k) for k in counts]
        return self._line(f"{name} times", "steps", counts, grids)

    def _even(self, steps: int) -> list[float]:
        """Equal steps in t from T towards 0."""
        return [self.horizon * (1 - k / steps) for k in range(steps)]

    def _halving(self, steps: int) -> list[float]:
        """The noise level σ/α halves from jump to jump."""
        level = math.sqrt(math.expm1(2 * self.horizon))
        return [math.log1p((level / 2**k) ** 2) / 2 for k in range(steps)]

    def _line(self, label: str, panel: str, x: Sequence[float | int], grids: Sequence[list[float]]) -> Series:
        errors = [self._w2(times) for times in grids]
        random = self.signs == "random"
        signs = f"root mean square over {self.repeats} draws of random signs" if random else "all thresholds too high"
        return Series(
            label=label,
            role="model",
            panel=panel,
            x=tuple(float(v) for v in x),
            y=tuple(w for w, _, _ in errors),
            low=tuple(low for _, low, _ in errors) if random else (),
            high=tuple(high for _, _, high in errors) if random else (),
            how=f"W₂ = D √|p − 1/2|, p exact by the chain on two atoms; {signs}",
        )

    def _w2(self, times: list[float]) -> tuple[float, float, float]:
        """W₂ and, for random signs, the ends of a 95 % interval of the root mean square."""
        if self.signs == "same":
            off = abs(share_after(times, [self.error] * len(times), distance=self.distance) - 0.5)
            w2 = self.distance * math.sqrt(off)
            return w2, w2, w2
        generator = stream(self.seed, "signs of the thresholds")
        signs = torch.randint(0, 2, (self.repeats, len(times)), generator=generator) * 2 - 1
        shares = [share_after(times, [self.error * v for v in row], distance=self.distance) for row in signs.tolist()]
        squares = self.distance**2 * (torch.tensor(shares, dtype=torch.float64) - 0.5).abs()
        half = 1.96 * float(squares.std()) / math.sqrt(self.repeats)
        mean = float(squares.mean())
        low, high = max(0.0, mean - half), mean + half
        return math.sqrt(mean), math.sqrt(low), math.sqrt(high)

    # ---- words ------------------------------------------------------------------------------------------------------
    def _panels(self) -> tuple[Panel, ...]:
        y = Axis(label="W₂ to the two atoms, data units", log=True)
        off = f"thresholds off by {self.error:g} σ_t, {self.signs} signs"
        return (
            Panel(name="second", x=Axis(label="second time t", log=True), y=y, title=f"Two steps, {off}"),
            Panel(name="steps", x=Axis(label="steps K"), y=y, title=f"More steps, D = {self.distance:g}"),
        )

    def _reading(self, lines: list[Series], facts: dict[str, float]) -> str:
        one_jump, two = facts["one step"], facts["best two steps"]
        helps = f"{two / one_jump:.2f} of that" if two < one_jump else "no better"
        more = "; ".join(
            f"{line.label} reach {min(line.y):.3g} at K = {int(line.x[line.y.index(min(line.y))])}"
            f" and end at {line.y[-1]:.3g} with K = {int(line.x[-1])}"
            for line in lines
        )
        least = min(min(line.y) for line in lines)
        beyond = "below" if least < two * 0.99 else "not below"
        return (
            f"One step is off by W₂ = {one_jump:.3g}, the best two steps by {two:.3g} ({helps}), taken at t = "
            f"{facts['best second time']:.2g}. {more}: the best of them is {beyond} the best two steps. An exact map "
            f"would be off by {facts['exact map']:.3g}, from its start at N(0, 1)."
        )
