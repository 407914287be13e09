r"""E1: what a constant step buys, with the exact flow map.

The exact map takes :math:`p_T` to :math:`p_\delta` whatever the grid, so deterministic jumps started at γ end with
:math:`KL(p_\delta\|q) = KL(p_T\|\gamma)`: one jump from T does as well as K of them. K enters because h is held fixed
and :math:`T = \delta + K h`. With n the order of the first cumulant in which the data differs from N(0, I),

.. math:: KL(p_T\|\gamma) \sim c_n\, e^{-2nT},

since the n-th Hermite coefficient of :math:`p_T/\gamma` decays as :math:`e^{-nT}`. Renoising for a time η multiplies
that coefficient by :math:`e^{-n\eta}` at every jump far from the data, so there the slope is −2n(h + η) a jump.
"""

import math
import time
from collections.abc import Generator, Iterator
from typing import ClassVar

from pydantic import Field, model_validator

from cmcore.chain import make_chain, renoised_chain
from cmcore.divergences import DATA_MODEL, Estimate, kl_of_chain
from cmcore.experiments.base import EXPERIMENTS, Axis, Experiment, Fit, Panel, Progress, Result, Series
from cmcore.experiments.lines import CASES, coordinate, measured, settled_fit, verdict
from cmcore.flow import ExactFlow
from cmcore.grids import constant_step, growing_horizon
from cmcore.targets.base import Target
from cmcore.theory import initialisation_kl

_EARLIEST = 0.5
"""The smallest horizon whose KL is a quadrature to rounding."""
_ABOVE_FLOOR = 30
_FEW = 8
"""Renoised points of a line: their cost grows as K²."""


@EXPERIMENTS.register("constant_step")
class ConstantStep(Experiment):
    """KL against the number of jumps K of constant step h with the exact flow map, T = δ + K h."""

    code: ClassVar[str] = "E1"
    label: ClassVar[str] = "Constant steps"
    question: ClassVar[str] = "How does the KL fall with the number of jumps when the step is constant?"
    expects: ClassVar[str] = (
        "The abstract of arXiv:2505.01049 states KL = O(ε²) in O(log(d/ε)) iterations of constant step for smooth "
        "data. Derived in this project: with the exact map the KL is that of the start, whatever the grid; its slope "
        "per jump is −2h, −4h or −6h as the data first differs from N(0, I) in mean, covariance or third cumulant, and "
        "renoising for η at each jump makes it −2n(h + η), n = 1, 2, 3."
    )

    step: float = Field(0.25, ge=0.05, le=1, description="h, the constant step")
    jumps: int = Field(24, ge=6, le=100, description="K, the most jumps; the horizon is T = δ + K h")
    delta: float = Field(0.05, ge=0.01, le=0.5, description="δ, where the jumps end")
    renoise: float = Field(0.5, ge=0, le=1, description="η as a share of h, for the renoised lines; 0 leaves them out")
    sd: float = Field(0.5, ge=0.1, le=0.9, description="of the two Gaussians of a coordinate")
    fixed_horizon: float = Field(2.0, ge=0.7, le=4, description="T of the panel in which K alone varies")
    fixed_jumps: tuple[int, ...] = Field(
        (1, 2, 4), min_length=1, max_length=5, description="K of that panel, each ≤ 16"
    )

    @model_validator(mode="after")
    def _possible(self) -> "ConstantStep":
        horizon = self.delta + self.step * self.jumps
        if not 2 <= horizon <= 9:
            raise ValueError(
                f"K jumps of h end at T = {horizon:.3g}: below T = 2 no slope settles, and beyond 9 the KL falls below "
                "floating-point precision. Choose K h between 2 and 9."
            )
        if any(not 1 <= k <= 16 for k in self.fixed_jumps):
            raise ValueError("The panel of fixed T takes between 1 and 16 jumps.")
        return self

    def measure(self) -> Generator[Progress, None, Result]:
        started = time.perf_counter()
        series: list[Series] = []
        fits: list[Fit | None] = []
        for i, case in enumerate(CASES):
            yield Progress(i / 4, CASES[case][1])
            target = coordinate(case, self.sd)
            order, words = CASES[case]
            line = self._exact(target, words)
            series.append(line)
            fits.append(_slope(line, -2 * order * self.step))
            if self.renoise:
                line = self._renoised(target, words)
                series.append(line)
                fits.append(_slope(line, -2 * order * self.step * (1 + self.renoise)))
        yield Progress(0.75, "one jump or many")
        same, apart = self._one_or_many()
        fitted = tuple(fit for fit in fits if fit)
        return Result(
            experiment="constant_step",
            config=self.model_dump(mode="json"),
            panels=self._panels(),
            series=(*series, *same),
            fits=fitted,
            reading=self._reading(fitted, apart),
            facts={"one_or_many_apart": apart} | {f"per unit T, {fit.label}": fit.slope / self.step for fit in fitted},
            seconds=time.perf_counter() - started,
        )

    # ---- the lines --------------------------------------------------------------------------------------------------
    def _counts(self) -> tuple[int, ...]:
        return tuple(k for k in range(1, self.jumps + 1) if self.delta + k * self.step >= _EARLIEST)

    def _exact(self, target: Target, words: str) -> Series:
        ks = self._counts()
        values = tuple(initialisation_kl(target, self.delta + k * self.step, seed=self.seed).value for k in ks)
        how = (
            "KL(p_δ‖q) = KL(p_T‖γ) for the exact map, by quadrature of p (r − 1 − log r), r = γ/p, in float64: no noise"
        )
        return Series(label=f"exact map, {words}", role="exact", panel="steps", x=ks, y=values, how=how)

    def _renoised(self, target: Target, words: str) -> Series:
        resolved_part = list(self._while_resolved(target))
        ks, estimates = [k for k, _ in resolved_part], [e for _, e in resolved_part]
        how = (
            f"{DATA_MODEL} of the exact map renoised for η = {self.renoise:g} h a jump, quadrature; shown while above "
            f"{_ABOVE_FLOOR} times its floor"
        )
        return measured(f"renoised, {words}", ks, estimates, panel="steps", role="exact", how=how)

    def _while_resolved(self, target: Target) -> Iterator[tuple[int, Estimate]]:
        """The first few K, as long as the KL stands clear of its floor."""
        for k in self._counts()[:_FEW]:
            grid = growing_horizon(k, step=self.step, delta=self.delta)
            chain = renoised_chain(grid, [min(self.renoise * self.step, t) for t in grid.times[1:]])
            estimate = kl_of_chain(ExactFlow(target), target, chain, seed=self.seed, direction=DATA_MODEL)
            if not estimate.trusted or estimate.value < _ABOVE_FLOOR * estimate.floor:
                return
            yield k, estimate

    def _one_or_many(self) -> tuple[list[Series], float]:
        """KL at fixed T for several K, by pushing the noise through all jumps; and the largest relative distance."""
        target = coordinate("centred", self.sd)
        truth = initialisation_kl(target, self.fixed_horizon, seed=self.seed).value
        estimates = []
        for k in self.fixed_jumps:
            chain = make_chain(constant_step(k, horizon=self.fixed_horizon, delta=self.delta))
            estimates.append(kl_of_chain(ExactFlow(target), target, chain, seed=self.seed, direction=DATA_MODEL))
        apart = max(abs(e.value / truth - 1) for e in estimates)
        ks = self.fixed_jumps
        how = f"{DATA_MODEL} of K exact jumps, quadrature through the composed map and its derivative"
        line = measured("K exact jumps, T fixed", ks, estimates, panel="fixed", role="exact", how=how)
        level = (truth,) * len(ks)
        start = Series(label="KL(p_T‖γ)", role="bound", panel="fixed", x=ks, y=level, how="quadrature in float64")
        return [line, start], apart

    # ---- words ------------------------------------------------------------------------------------------------------
    def _panels(self) -> tuple[Panel, ...]:
        kl = Axis(label=f"{DATA_MODEL}, nats", log=True)
        many = f"T = δ + K h grows, h = {self.step:g}, δ = {self.delta:g}"
        fixed = f"T = {self.fixed_horizon:g} fixed, h = (T − δ)/K, {CASES['centred'][1]}"
        return (
            Panel(name="steps", x=Axis(label="jumps K"), y=kl, title=many),
            Panel(name="fixed", x=Axis(label="jumps K"), y=kl, title=fixed),
        )

    def _reading(self, fits: tuple[Fit, ...], apart: float) -> str:
        slopes = "; ".join(f"{fit.label}: {fit.slope / self.step:.3f}" for fit in fits)
        same = "the same to" if apart < 1e-3 else "apart by as much as"
        return (
            f"Slopes of log KL per unit of T, where they have settled: {slopes}. {verdict(fits)} "
            f"With T fixed, one exact jump and several end at KLs that are {same} {apart:.1g} of their value: for "
            f"the exact map K counts only through T = δ + K h."
        )


def _slope(line: Series, expected: float) -> Fit | None:
    return settled_fit(line.label, line.x, [math.log(y) for y in line.y], expected=expected)
